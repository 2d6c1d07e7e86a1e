/** What a kernel in memory holds, as sorted text without indexes: two hosts with the same text are configured the same. */
import type { FakeHost, OtherHand } from "../../kernel/fake/host.ts";
import type { Route, RouteTable } from "../../kernel/rtnetlink/types.ts";
import { NFT_TABLE, VXLAN_DEVICE } from "../../model/marks.ts";

const SYSCTLS = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
/** Table local: the kernel's own. */
const LOCAL_TABLE = 255;

export function describeHost(host: FakeHost, node: string, pods: readonly string[]): string {
  const hand = host.otherHand(node);
  const inside = pods.flatMap((pod) => describeRoutes(host.otherHand(pod).routes).map((line) => `${pod}: ${line}`));
  return [
    ...describeRoutes(hand.routes),
    ...describeTable(hand),
    ...describeSysctls(hand),
    ...describeFeatures(hand),
    ...inside,
  ].join("\n");
}

/** Links, addresses, routes, neighbours, forwarding entries and rules, a line each. */
export function describeRoutes(routes: RouteTable): string[] {
  const links = routes.links();
  const name = (index: number | undefined) => links.find((link) => link.index === index)?.name ?? "-";
  return [
    ...links.map(({ name: link, kind, mac, mtuBytes, up, group, vxlan }) => {
      const tunnel =
        vxlan === undefined ? "" : ` ${JSON.stringify({ ...vxlan, underlayIndex: name(vxlan.underlayIndex) })}`;
      return `link ${link} ${kind} ${mac} mtu ${mtuBytes} ${up ? "up" : "down"} group ${group}${tunnel}`;
    }),
    ...routes.addresses().map(({ index, address, length }) => `address ${address}/${length} dev ${name(index)}`),
    ...routes
      .routes()
      .filter((route) => route.table !== LOCAL_TABLE)
      .map((route) => `route ${describeRoute(route, name(route.oif))}`),
    ...routes
      .neighbours()
      .map(
        ({ index, ip, mac, permanent }) => `neighbour ${ip} ${mac} dev ${name(index)} ${permanent ? "permanent" : ""}`,
      ),
    ...routes.fdb().map(({ index, mac, destination }) => `fdb ${mac} ${destination} dev ${name(index)}`),
    ...routes.rules().map((rule) => `rule ${JSON.stringify(rule)}`),
  ].sort();
}

function describeRoute(route: Route, device: string): string {
  const { destination, gateway, table, protocol, onlink, mtuBytes, metric } = route;
  const mtu = mtuBytes === undefined ? "" : ` mtu ${mtuBytes}`;
  return `${destination} via ${gateway ?? "-"} dev ${device} table ${table} proto ${protocol} metric ${metric ?? 0}${onlink ? " onlink" : ""}${mtu}`;
}

function describeTable({ nftables }: OtherHand): string[] {
  const table = nftables.table(NFT_TABLE);
  if (table === undefined) return ["no nftables table"];
  const sets = table.sets.map(({ name, key, elements }) => `set ${name} ${key} { ${elements.join(", ")} }`);
  const chains = table.chains.map(({ name, fingerprints }) => `chain ${name} { ${fingerprints.join(", ")} }`);
  const flowtables = (table.flowtables ?? []).map(({ name, devices }) => `flowtable ${name} { ${devices.join(", ")} }`);
  return [...flowtables.sort(), ...sets.sort(), ...chains.sort()];
}

function describeFeatures({ features }: OtherHand): string[] {
  return [`${VXLAN_DEVICE} rx-gro ${features.read(VXLAN_DEVICE, "rx-gro")}`];
}

function describeSysctls({ sysctl }: OtherHand): string[] {
  return SYSCTLS.map((name) => `sysctl ${name} ${sysctl.read(name)}`);
}
