/** Compares what the kernel holds with what the API asks for, from the start: nothing that we remember counts. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { diffNft } from "../../diff/nft.ts";
import { observeFrontends } from "../../diff/services.ts";
import { compareServer } from "../../diff/verify-ipvs.ts";
import { compareFrontend } from "../../diff/verify-services.ts";
import type { ServiceSource } from "../../kube/service-source.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import { parseFrontendKey } from "../../model/ipvs.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ObservedTable } from "../../model/nft-changes.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import type { ServiceDifference, Verification } from "../../model/service-report.ts";
import { planServiceChains } from "../../plan/services/chains.ts";
import { planService, type ServiceContext } from "../../plan/services/frontends.ts";
import { elementFamily, type ServiceLedger } from "../../plan/services/ledger.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import type { IpvsServices } from "./ipvs-services.ts";
import type { ServiceTable } from "./service-table.ts";

export interface VerificationOptions {
  readonly tables: readonly ServiceTable[];
  readonly ipvs: Pick<IpvsServices, "observe" | "wanted" | "wrongSettings" | "isAddressNeeded">;
  readonly source: Pick<ServiceSource, "services" | "slicesOf">;
  readonly ledger: ServiceLedger;
  readonly context: () => ServiceContext;
  readonly config: ServiceConfig;
  /** Another number whenever the tables, the ledger or the context have changed. */
  readonly version: () => number;
}

/** Services that are planned before others may run. */
const SERVICES_AT_ONCE = 500;
/** Attempts in pieces; where something changed during each, one without a pause follows. */
const ATTEMPTS = 3;

/** Reads and compares in pieces, between which others run. @throws BreakwaterError when the kernel cannot be read */
export async function verifyTables(options: VerificationOptions): Promise<Verification> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const version = options.version();
    try {
      const observed: (ObservedTable | undefined)[] = [];
      // One at a time: they share a socket.
      for (const table of options.tables) observed.push(await table.readInPieces());
      const steps = compare(options, observed);
      let step = steps.next();
      while (step.done !== true && options.version() === version) {
        await nextTurn();
        step = steps.next();
      }
      if (step.done === true && options.version() === version) return step.value;
    } catch (error) {
      if (!isBreakwaterError(error, "BW_NETLINK_DUMP")) throw error;
    }
  }
  const steps = compare(
    options,
    options.tables.map((table) => table.read()),
  );
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** Stops where others may run. */
function* compare(
  { tables, ipvs, source, ledger, context, config }: VerificationOptions,
  observed: readonly (ObservedTable | undefined)[],
): Generator<undefined, Verification> {
  const differences: ServiceDifference[] = [];
  let services = 0;
  for (const [key, service] of source.services()) {
    // What was planned step by step has to be what a plan from the start is.
    const fresh = planService(service, source.slicesOf(key), context());
    if (!isDeepStrictEqual(fresh, ledger.plan(key))) differences.push(difference(`plan of ${key}`, "planned", "other"));
    if (++services % SERVICES_AT_ONCE === 0) yield;
  }
  let elements = 0;
  for (const [i, table] of tables.entries()) {
    for (const set of observed[i]?.sets ?? []) elements += set.elements.length;
    differences.push(...compareTable(table, observed[i], ledger, context(), config));
    yield;
  }
  const virtual = yield* compareIpvs(ipvs, ledger);
  elements += virtual.elements;
  differences.push(...virtual.differences);
  return { services, frontends: [...ledger.frontends()].length, elements, differences };
}

/** Virtual servers, their destinations, the addresses on the device, the settings of IPVS. */
function* compareIpvs(
  ipvs: VerificationOptions["ipvs"],
  ledger: ServiceLedger,
): Generator<undefined, { elements: number; differences: ServiceDifference[] }> {
  const { servers, bound } = yield* ipvs.observe();
  const differences: ServiceDifference[] = [];
  let elements = servers.size + bound.size;
  const unneeded = new Set(bound);
  for (const key of new Set([...ledger.frontends(), ...servers.keys()])) {
    const frontend = ledger.frontend(key);
    const observed = servers.get(key);
    elements += observed?.destinations.size ?? 0;
    differences.push(...compareServer(frontend?.service ?? null, ipvs.wanted(key), observed));
    const { address } = parseFrontendKey(key);
    if (!ipvs.isAddressNeeded(key)) continue;
    unneeded.delete(address);
    if (!bound.has(address)) differences.push(difference("ipvs addresses", address, null));
  }
  for (const address of unneeded) differences.push(difference("ipvs addresses", null, address));
  for (const { name, value, found } of ipvs.wrongSettings()) {
    differences.push(difference("ipvs settings", `${name} ${value}`, `${name} ${found}`));
  }
  return { elements, differences };
}

function compareTable(
  table: ServiceTable,
  observed: ObservedTable | undefined,
  ledger: ServiceLedger,
  context: ServiceContext,
  config: ServiceConfig,
): ServiceDifference[] {
  const { family } = table;
  const name = `${SERVICE_TABLES[family].family} ${SERVICE_TABLES[family].name}`;
  const frontends = observeFrontends(observed?.sets ?? []);
  const keys = [...ledger.frontends()].filter((key) => elementFamily(key) === family);
  const differences = [...new Set([...keys, ...frontends.keys()])]
    .sort()
    .flatMap((key) => compareFrontend(name, key, ledger.frontend(key), frontends.get(key), table.frontends().get(key)));
  const shared = [
    ["cluster-ips", ledger.clusterIps()],
    ["hairpin", ledger.hairpins()],
  ] as const;
  for (const [set, wanted] of shared) {
    const found = new Set(observed?.sets.find((each) => each.name === set)?.elements);
    const ours = new Set([...wanted].filter((element) => elementFamily(element) === family));
    for (const element of ours.difference(found)) differences.push(difference(`${name} ${set}`, element, null));
    for (const element of found.difference(ours)) differences.push(difference(`${name} ${set}`, null, element));
  }
  if (observed === undefined && keys.length === 0) return differences;
  return [...differences, ...compareChains(table, observed, ledger, context, config)];
}

function difference(set: string, api: string | null, kernel: string | null): ServiceDifference {
  return { set, service: null, api, kernel };
}

/** What waits for its deletion is no difference. */
function compareChains(
  table: ServiceTable,
  observed: ObservedTable | undefined,
  ledger: ServiceLedger,
  { podCidrs }: ServiceContext,
  config: ServiceConfig,
): ServiceDifference[] {
  const { family } = table;
  const ofFamily = (prefix: string) => elementFamily(prefix) === family;
  const chains = planServiceChains({
    family,
    podCidrs: podCidrs.filter(ofFamily),
    serviceCidrs: config.serviceCidrs.filter(ofFamily),
    needs: ledger.needs(family),
    dropInvalid: config.dropInvalid,
    ipvs: config.ipvs !== undefined,
  });
  const name = `${SERVICE_TABLES[family].family} ${SERVICE_TABLES[family].name}`;
  const known = observed && {
    ...observed,
    sets: observed.sets.map((set) => ({ ...set, elements: [] })).filter((set) => !table.isWaiting(set.name)),
    chains: observed.chains.filter((chain) => !table.isWaiting(chain.name)),
  };
  const sets = planServiceSets(family, config.counters);
  const changes = diffNft({ ...SERVICE_TABLES[family], sets, chains }, known);
  const touched = new Set(
    changes.map((change) => {
      if ("chain" in change) return `chain ${typeof change.chain === "string" ? change.chain : change.chain.name}`;
      if ("set" in change) return `set ${typeof change.set === "string" ? change.set : change.set.name}`;
      return "table";
    }),
  );
  return [...touched].map((what) => difference(`${name} ${what}`, "as planned", "other or missing"));
}
