/**
 * A node's plan as BIRD 2 reads it. Everything that is let through is named; what no rule names is refused. The text is
 * the same for the same plan, so that an unchanged plan changes nothing.
 */
import type { BgpCommunity, BgpFilter, BgpPlan, BgpSession } from "../../model/bgp.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import { BGP_METRIC, ROUTE_PROTOCOL } from "../../model/marks.ts";
import type { Prefix } from "../../model/prefix.ts";

/** BIRD reads and writes nothing else. */
export interface BirdFiles {
  readonly log: string;
}

const LOG_BYTES = 1 << 20;
/** Kernel tables are read again so often, seconds: events tell of changes at once, this finds what they missed. */
const SCAN_SECONDS = 20;
/** Next hops of one route in the kernel at most. */
const MOST_NEXT_HOPS = 16;
/**
 * Prefixes of a family that are remembered of a session at most, refused ones among them: what is refused is kept to be
 * looked at. This many times the limit of what is taken, and this many at least; some 100 bytes each.
 */
const KEPT_FACTOR = 10;
const LEAST_KEPT = 100_000;
/** After a restart the kernel's routes are kept until peers have sent theirs, for so long at most, seconds. */
const RECOVERY_SECONDS = 60;
/** RFC 4271, section 10, suggests 90 and a third of it. */
const HOLD_SECONDS = 90;
/** A session of which only one side knows is tried anew after this, seconds; RFC 4271 suggests four minutes. */
const STARTUP_HOLD_SECONDS = 30;

export function formatBirdConfig(plan: BgpPlan, files: BirdFiles): string {
  const families = familiesOf(plan);
  return [
    `# BIRD of node ${plan.nodeName}, written by breakwater agent: changes made here are lost.`,
    `log "${files.log}" ${LOG_BYTES} "${files.log}.1" { info, warning, error, fatal, remote, auth, bug };`,
    // Seconds since 1970: read by the agent.
    'timeformat protocol "%s";',
    `router id ${plan.routerId};`,
    `graceful restart wait ${RECOVERY_SECONDS};`,
    "",
    ...block("protocol device", ["scan time 10;"]),
    // Next hops that are not a peer's own are looked up in these.
    ...(looksUpNextHops(plan)
      ? block(
          "protocol direct",
          families.map((family) => `ipv${family};`),
        )
      : []),
    ...(plan.sessions.some(({ bfd }) => bfd) ? block("protocol bfd", ['interface "*";', "multihop { };"]) : []),
    ...families.flatMap((family) => definePods(plan, family)),
    ...families.flatMap((family) => formatFamily(plan, family)),
    ...plan.sessions.flatMap((session) => formatSession(session, plan)),
  ].join("\n");
}

function familiesOf({ podCidrs, sessions }: BgpPlan): Family[] {
  const used = new Set<Family>(podCidrs.map(ipFamily));
  for (const { nextHops } of sessions) for (const { family } of nextHops) used.add(family);
  return [...used].sort();
}

function block(head: string, lines: readonly string[]): string[] {
  return [`${head} {`, ...lines.map((line) => `  ${line}`), "}", ""];
}

/** Pod CIDRs of the other nodes, once for all filters. BIRD has no empty set. */
function definePods({ otherPodCidrs, keptPodCidrs }: BgpPlan, family: Family): string[] {
  const [others, kept] = [ofFamily(otherPodCidrs, family), ofFamily(keptPodCidrs, family)];
  return [
    ...(others.length === 0 ? [] : [`define ${podsName(family)} = ${formatSet(others, "")};`, ""]),
    ...(kept.length === 0 ? [] : [`define ${keptName(family)} = ${formatSet(kept, "+")};`, ""]),
  ];
}

function keptName(family: Family): string {
  return `KEPT_PODS${family}`;
}

function podsName(family: Family): string {
  return `OTHER_PODS${family}`;
}

function formatFamily(plan: BgpPlan, family: Family): string[] {
  const own = ofFamily(plan.podCidrs, family);
  return [
    // Announced; the node's own routes lead there, and end what no pod has (planEnds of src/plan/plan.ts).
    ...block(`protocol static pods${family}`, [
      `ipv${family};`,
      ...own.map((prefix) => `route ${prefix} unreachable;`),
    ]),
    ...formatServices(plan, family),
    ...block(`filter to_kernel${family}`, [
      "if source != RTS_BGP then reject;",
      ...plan.narrow.flatMap(({ mtuBytes, prefixes }) => {
        const set = ofFamily(prefixes, family);
        return set.length === 0 ? [] : [`if net ~ ${formatSet(set, "")} then krt_mtu = ${mtuBytes};`];
      }),
      "accept;",
    ]),
    ...(looksUpNextHops(plan) ? formatKernelImport(family) : []),
    ...block(`protocol kernel kernel${family}`, [
      `ipv${family} { import ${looksUpNextHops(plan) ? `filter from_kernel${family}` : "none"}; export filter to_kernel${family}; };`,
      ...(looksUpNextHops(plan) ? ["learn yes;"] : []),
      ...(looksUpNextHops(plan) ? [] : [KERNEL_RUNS]),
      `metric ${BGP_METRIC};`,
      `merge paths yes limit ${MOST_NEXT_HOPS};`,
      // Routes outlive BIRD, and wait for its peers when it comes back.
      "persist yes;",
      "graceful restart yes;",
      `scan time ${SCAN_SECONDS};`,
    ]),
  ];
}

/** A switch of kernel protocols, and of nothing else. Where next hops are looked up in the kernel's routes they are always on. */
const [KERNEL_RUNS, KERNEL_WAITS] = ["disabled no;", "disabled yes;"];
/** No password can have it: none has a line end. */
const asLine = (words: string) => `\n  ${words}\n`;

/** The same configuration, with which BIRD neither reads nor changes the kernel's routes. */
export function withKernelWaiting(text: string): string {
  return text.replaceAll(asLine(KERNEL_RUNS), asLine(KERNEL_WAITS));
}

/** Undoes {@link withKernelWaiting}. */
export function withKernelRunning(text: string): string {
  return text.replaceAll(asLine(KERNEL_WAITS), asLine(KERNEL_RUNS));
}

/** A peer some hops away may name a next hop that is as far: the way there is the node's own routes' to say. */
function looksUpNextHops({ sessions }: BgpPlan): boolean {
  return sessions.some(({ multihop }) => multihop !== undefined);
}

/** Routes that others made, the default one too; not the agent's, which lead to pods. They are announced to nobody. */
function formatKernelImport(family: Family): string[] {
  return block(`filter from_kernel${family}`, [`if krt_source = ${ROUTE_PROTOCOL} then reject;`, "accept;"]);
}

/** For peers alone: the filter of the kernel lets none of them through, for the node serves them without a route. */
function formatServices({ serviceAddresses }: BgpPlan, family: Family): string[] {
  if (serviceAddresses === undefined) return [];
  const routes = ofFamily(serviceAddresses, family).map((prefix) => `route ${prefix} unreachable;`);
  return block(`protocol static services${family}`, [`ipv${family};`, ...routes]);
}

function formatSession(session: BgpSession, plan: BgpPlan): string[] {
  const { protocol, kind, peer, address, asNumber, port, local, localAsNumber, localPort, multihop } = session;
  return block(`protocol bgp '${protocol}'`, [
    `description "${kind === "node" ? "Node" : "BGPPeer"} ${peer}";`,
    `local ${local} port ${localPort} as ${localAsNumber};`,
    `neighbor ${address} port ${port} as ${asNumber};`,
    // Only connections to this very address are taken.
    "strict bind yes;",
    multihop === undefined ? "direct;" : `multihop ${multihop};`,
    ...(session.ttlSecurity ? ["ttl security yes;"] : []),
    ...(session.password === undefined ? [] : [`password "${session.password}";`]),
    ...(session.bfd ? ["bfd yes;"] : []),
    ...(session.restartSeconds === 0
      ? ["graceful restart no;"]
      : ["graceful restart yes;", `graceful restart time ${session.restartSeconds};`]),
    `hold time ${HOLD_SECONDS};`,
    `keepalive time ${HOLD_SECONDS / 3};`,
    `startup hold time ${STARTUP_HOLD_SECONDS};`,
    "connect delay time 1;",
    "connect retry time 10;",
    "error wait time 1, 30;",
    ...(session.reflectorClient ? ["rr client;"] : []),
    ...(session.allowOwnAs === 0 ? [] : [`allow local as ${session.allowOwnAs};`]),
    ...session.nextHops.flatMap(({ family, address }) => formatChannel(session, family, address, plan)),
  ]);
}

function formatChannel(session: BgpSession, family: Family, nextHop: string, plan: BgpPlan): string[] {
  const inner = [
    ...(ipFamily(session.local) === family ? [] : [`next hop address ${nextHop};`]),
    session.multihop === undefined ? "gateway direct;" : "gateway recursive;",
    // What is beyond is not taken; the session stays, with what came before.
    `import limit ${session.importLimit} action block;`,
    // To tell which prefixes are refused; a flood ends here.
    "import keep filtered yes;",
    `receive limit ${Math.max(LEAST_KEPT, KEPT_FACTOR * session.importLimit)} action block;`,
    // Each node that comes or goes is another filter: what the peer said is looked at anew here, not asked for anew. A
    // thousand nodes would ask their routers for everything, and BIRD 2.0 as a peer takes three seconds to say it.
    ...(session.import.pods ? ["import table yes;"] : []),
    ...nested("import filter", importRules(session, family, plan)),
    ...nested("export filter", exportRules(session, family, plan)),
  ];
  return [`ipv${family} {`, ...inner.map((line) => `  ${line}`), "};"];
}

/** A filter ends with "};". */
function nested(head: string, lines: readonly string[]): string[] {
  return [`${head} {`, ...lines.map((line) => `  ${line}`), "};"];
}

const NO_DEFAULT_ROUTE = "if net.len = 0 then reject;";

function importRules(session: BgpSession, family: Family, plan: BgpPlan): string[] {
  const own = ofFamily(plan.podCidrs, family);
  const guarded = [
    ...(own.length === 0 ? [] : [formatSet(own, "+")]),
    ...(ofFamily(plan.keptPodCidrs, family).length === 0 ? [] : [keptName(family)]),
  ];
  const accept =
    session.localPreference === undefined ? "accept;" : `{ bgp_local_pref = ${session.localPreference}; accept; }`;
  return [
    NO_DEFAULT_ROUTE,
    // Whatever is allowed: nobody draws away what is this node's own, nor what it has its own routes to.
    ...(session.import.within.length === 0 ? [] : guarded.map((set) => `if net ~ ${set} then reject;`)),
    ...tests(session.import, plan, family).map((test) => `if ${test} then ${accept}`),
    "reject;",
  ];
}

function exportRules(session: BgpSession, family: Family, plan: BgpPlan): string[] {
  const own = [
    ...(session.announcedPreference === undefined ? [] : [`bgp_local_pref = ${session.announcedPreference};`]),
    ...session.communities.map(addCommunity),
    "accept;",
  ];
  const then = own.length === 1 ? own[0] : `{ ${own.join(" ")} }`;
  return [
    NO_DEFAULT_ROUTE,
    `if proto = "pods${family}" then ${then}`,
    // Nodes serve these addresses themselves.
    ...(session.kind === "node" || plan.serviceAddresses === undefined
      ? []
      : [`if proto = "services${family}" then ${then}`]),
    ...tests(session.export, plan, family).map((test) => `if source = RTS_BGP && ${test} then accept;`),
    "reject;",
  ];
}

function addCommunity(community: BgpCommunity): string {
  const attribute = community.length === 2 ? "bgp_community" : "bgp_large_community";
  return `${attribute}.add((${community.join(", ")}));`;
}

function tests({ pods, exact, within }: BgpFilter, plan: BgpPlan, family: Family): string[] {
  const [whole, inside] = [ofFamily(exact, family), ofFamily(within, family)];
  return [
    ...(pods && ofFamily(plan.otherPodCidrs, family).length > 0 ? [`net ~ ${podsName(family)}`] : []),
    ...(whole.length === 0 ? [] : [`net ~ ${formatSet(whole, "")}`]),
    ...(inside.length === 0 ? [] : [`net ~ ${formatSet(inside, "+")}`]),
  ];
}

function ofFamily(prefixes: readonly Prefix[], family: Family): Prefix[] {
  return prefixes.filter((prefix) => ipFamily(prefix) === family);
}

/** @param suffix "+": prefixes inside count, too */
function formatSet(prefixes: readonly Prefix[], suffix: "" | "+"): string {
  return `[ ${prefixes.map((prefix) => `${prefix}${suffix}`).join(", ")} ]`;
}
