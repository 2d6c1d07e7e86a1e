/**
 * Rules as kube-proxy writes them, of our own making, for iptables-restore and nft: some Services, and between them the
 * rules of the kubelet, Docker, the portmap plugin and an admin, which are nobody's business but theirs.
 */
import { createHash } from "node:crypto";

export type Family = 4 | 6;

/** What is in a namespace: kube-proxy's state beside everybody else's, or everybody else's alone. */
export interface Rules {
  /** How many Services; 0: no kube-proxy. */
  readonly services: number;
  readonly family?: Family;
  /** Rules of others that use KUBE-MARK-MASQ, as portmap's with externalSetMarkChain and CRI-O's host ports do. */
  readonly othersUseMark?: boolean;
}

interface Service {
  readonly index: number;
  readonly name: string;
  readonly ip: string;
  readonly endpoints: readonly string[];
  readonly nodePort?: number;
  readonly sourceRange?: string;
}

/** One Service in eleven has no endpoints, one in ten a NodePort, one in twenty a load balancer with source ranges. */
function service(index: number, family: Family): Service {
  const endpoint = (i: number) =>
    family === 4 ? `10.244.${index >> 7}.${((index & 127) << 1) + i}` : `fd00:244::${(index * 2 + i).toString(16)}`;
  return {
    index,
    name: `shop/web${index}:http`,
    ip: family === 4 ? `10.96.${index >> 8}.${index & 255}` : `fd00:96::${index.toString(16)}`,
    endpoints: index % 11 === 7 ? [] : [endpoint(0), endpoint(1)],
    ...(index % 10 === 3 ? { nodePort: 30000 + index } : {}),
    ...(index % 20 === 13 ? { sourceRange: family === 4 ? "192.0.2.0/24" : "2001:db8::/32" } : {}),
  };
}

/** 16 characters of base32 over SHA-256, as portProtoHash of pkg/proxy/iptables/proxier.go. */
function hash(text: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = BigInt(`0x${createHash("sha256").update(text).digest("hex").slice(0, 20)}`);
  let name = "";
  for (let i = 0; i < 16; i++, bits >>= 5n) name = alphabet[Number(bits & 31n)] + name;
  return name;
}

class Table {
  readonly chains: string[] = [];
  readonly rules: string[] = [];
  readonly #name: string;
  readonly #builtIn: readonly string[];
  constructor(name: string, builtIn: readonly string[]) {
    this.#name = name;
    this.#builtIn = builtIn;
  }

  chain(...names: string[]): void {
    this.chains.push(...names);
  }

  rule(...rules: string[]): void {
    for (const rule of rules) this.rules.push(`-A ${rule}`);
  }

  text(): string {
    const counted = this.rules.map((rule) => `[${counters(rule)}] ${rule}`);
    return [
      `*${this.#name}`,
      ...this.#builtIn.map((name, i) => `:${name} ACCEPT [${i + 1}:${(i + 1) * 60}]`),
      ...this.chains.map((name) => `:${name} - [0:0]`),
      ...counted,
      "COMMIT",
      "",
    ].join("\n");
  }
}

/** Packets and bytes that follow from the rule itself: whoever stays is told by them, whatever went before it. */
function counters(rule: string): string {
  const packets = createHash("sha256").update(rule).digest().readUInt16LE(0);
  return `${packets}:${packets * 84}`;
}

/** Text for iptables-restore -c, or ip6tables-restore -c. */
export function restoreText({ services, family = 4, othersUseMark = false }: Rules): string {
  const nat = new Table("nat", ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]);
  const filter = new Table("filter", ["INPUT", "FORWARD", "OUTPUT"]);
  const mangle = new Table("mangle", ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]);
  const raw = new Table("raw", ["PREROUTING", "OUTPUT"]);
  const proxied = services > 0;
  const all = Array.from({ length: services }, (_, index) => service(index, family));
  declareOthers(nat, filter, mangle, family);
  if (proxied) declareKubeProxy(nat, filter, mangle);
  if (othersUseMark && !proxied) nat.chain("KUBE-MARK-MASQ", "KUBE-POSTROUTING");
  builtInRules(nat, filter, raw, family, proxied, othersUseMark);
  if (proxied || othersUseMark) markRules(nat);
  if (othersUseMark) {
    nat.rule('CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j KUBE-MARK-MASQ');
  }
  if (proxied) for (const one of all) serviceRules(nat, filter, one, family);
  if (proxied)
    nat.rule(
      'KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    );
  if (proxied) {
    filter.rule(
      "KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
      'KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
      'KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    );
  }
  return [mangle, raw, nat, filter].map((table) => table.text()).join("");
}

function declareOthers(nat: Table, filter: Table, mangle: Table, family: Family): void {
  nat.chain(
    "DOCKER",
    "CNI-HOSTPORT-DNAT",
    "CNI-HOSTPORT-MASQ",
    "CNI-HOSTPORT-SETMARK",
    "CNI-DN-4a6f3d3c9b1d",
    "KUBE-MARK-DROP",
    "KUBE-KUBELET-CANARY",
  );
  filter.chain("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-USER", "KUBE-FIREWALL", "KUBE-KUBELET-CANARY");
  mangle.chain("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY");
  const [bridge, pod] = family === 4 ? ["172.17.0.0/16", "10.244.1.9"] : ["fd00:17::/64", "fd00:244::9"];
  const to = family === 4 ? `${pod}:80` : `[${pod}]:80`;
  nat.rule(
    "DOCKER -i docker0 -j RETURN",
    `DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination ${to}`,
    "CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
    'CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
    'CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"breakwater\\" id: \\"4a6f\\"" -m multiport --dports 8443,9443 -j CNI-DN-4a6f3d3c9b1d',
    `CNI-DN-4a6f3d3c9b1d -s ${pod} -p tcp -m tcp --dport 8443 -j CNI-HOSTPORT-SETMARK`,
    `CNI-DN-4a6f3d3c9b1d -p tcp -m tcp --dport 8443 -j DNAT --to-destination ${to}`,
    "KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000",
  );
  filter.rule(
    `DOCKER -d ${pod} ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT`,
    "DOCKER-ISOLATION-STAGE-1 -j RETURN",
    `DOCKER-USER -s ${bridge} -m limit --limit 3/min --limit-burst 7 -j LOG --log-prefix "docker "`,
    "DOCKER-USER -j RETURN",
    'KUBE-FIREWALL -m comment --comment "kubernetes firewall for dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP',
  );
}

function declareKubeProxy(nat: Table, filter: Table, mangle: Table): void {
  nat.chain("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-PROXY-CANARY");
  filter.chain("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-FORWARD");
  filter.chain("KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY");
  mangle.chain("KUBE-PROXY-CANARY");
}

const NEW = "-m conntrack --ctstate NEW";
const comment = (text: string) => `-m comment --comment "${text}"`;

/** Everybody's jumps stand between each other's, as they do on a node that lives for a while. */
function builtInRules(nat: Table, filter: Table, raw: Table, family: Family, proxied: boolean, mark: boolean): void {
  const kube = (table: Table, rule: string, text: string, to: string) => {
    if (proxied || (mark && to === "KUBE-POSTROUTING")) table.rule(`${rule} ${comment(text)} -j ${to}`);
  };
  const admin = family === 4 ? "203.0.113.0/24" : "2001:db8:113::/48";
  raw.rule(`PREROUTING -s ${admin} -p udp -m udp --dport 53 -j CT --notrack`);
  kube(nat, "PREROUTING", "kubernetes service portals", "KUBE-SERVICES");
  nat.rule("PREROUTING -m addrtype --dst-type LOCAL -j DOCKER");
  nat.rule(`PREROUTING -p tcp -m tcp --dport 2222 ${comment("own way in")} -j REDIRECT --to-ports 22`);
  nat.rule("PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT");
  nat.rule("PREROUTING -i eth9");
  nat.rule("OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT");
  kube(nat, "OUTPUT", "kubernetes service portals", "KUBE-SERVICES");
  nat.rule(`POSTROUTING ${comment("CNI portfwd requiring masquerade")} -j CNI-HOSTPORT-MASQ`);
  kube(nat, "POSTROUTING", "kubernetes postrouting rules", "KUBE-POSTROUTING");
  nat.rule(`POSTROUTING -s ${family === 4 ? "172.17.0.0/16" : "fd00:17::/64"} ! -o docker0 -j MASQUERADE`);
  kube(filter, `INPUT ${NEW}`, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL");
  kube(filter, "INPUT", "kubernetes health check service ports", "KUBE-NODEPORTS");
  filter.rule("INPUT -j KUBE-FIREWALL");
  kube(filter, `INPUT ${NEW}`, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES");
  filter.rule(`INPUT -s ${admin} -p tcp -m tcp --dport 22 ${comment("ssh for the admin")} -j ACCEPT`);
  filter.rule("FORWARD -j DOCKER-USER");
  kube(filter, `FORWARD ${NEW}`, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL");
  kube(filter, "FORWARD", "kubernetes forwarding rules", "KUBE-FORWARD");
  filter.rule("FORWARD -j DOCKER-ISOLATION-STAGE-1");
  kube(filter, `FORWARD ${NEW}`, "kubernetes service portals", "KUBE-SERVICES");
  kube(filter, `FORWARD ${NEW}`, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES");
  filter.rule("FORWARD -o docker0 -j DOCKER");
  kube(filter, `OUTPUT ${NEW}`, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL");
  filter.rule("OUTPUT -j KUBE-FIREWALL");
  kube(filter, `OUTPUT ${NEW}`, "kubernetes service portals", "KUBE-SERVICES");
}

function markRules(nat: Table): void {
  nat.rule(
    "KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
    `KUBE-POSTROUTING ${comment("kubernetes service traffic requiring SNAT")} -j MASQUERADE --random-fully`,
  );
}

function serviceRules(nat: Table, filter: Table, one: Service, family: Family): void {
  const { name, ip, endpoints, nodePort, sourceRange } = one;
  const name16 = hash(`${name}tcp`);
  const [svc, ext] = [`KUBE-SVC-${name16}`, `KUBE-EXT-${name16}`];
  const to = `-p tcp -m tcp --dport 80`;
  const local = family === 4 ? "10.244.0.0/16" : "fd00:244::/64";
  if (endpoints.length === 0) {
    const reject = family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable";
    filter.rule(
      `KUBE-SERVICES -d ${ip} ${to} ${comment(`${name} has no endpoints`)} -j REJECT --reject-with ${reject}`,
    );
    return;
  }
  nat.chain(svc);
  nat.rule(`KUBE-SERVICES -d ${ip} ${to} ${comment(`${name} cluster IP`)} -j ${svc}`);
  nat.rule(`${svc} ! -s ${local} -d ${ip} ${to} ${comment(`${name} cluster IP`)} -j KUBE-MARK-MASQ`);
  if (nodePort !== undefined) {
    nat.chain(ext);
    nat.rule(`KUBE-NODEPORTS -p tcp -m tcp --dport ${nodePort} ${comment(name)} -j ${ext}`);
    nat.rule(`${ext} ${comment(`masquerade traffic for ${name} external destinations`)} -j KUBE-MARK-MASQ`);
    nat.rule(`${ext} -j ${svc}`);
  }
  if (sourceRange !== undefined) {
    const firewall = `KUBE-FW-${name16}`;
    nat.chain(firewall);
    nat.rule(
      `${firewall} -s ${sourceRange} ${comment(`${name} loadbalancer IP`)} -j ${nodePort === undefined ? svc : ext}`,
    );
    nat.rule(`${firewall} ${comment("other traffic is marked to be dropped")} -j KUBE-MARK-DROP`);
  }
  for (const [i, endpoint] of endpoints.entries()) {
    const sep = `KUBE-SEP-${hash(`${name}tcp${endpoint}:8080`)}`;
    const chance = i === endpoints.length - 1 ? "" : " -m statistic --mode random --probability 0.50000000000";
    const destination = family === 4 ? `${endpoint}:8080` : `[${endpoint}]:8080`;
    nat.chain(sep);
    nat.rule(`${svc} ${comment(`${name} -> ${destination}`)}${chance} -j ${sep}`);
    nat.rule(`${sep} -s ${endpoint} ${comment(name)} -j KUBE-MARK-MASQ`);
    nat.rule(`${sep} -p tcp ${comment(name)} -m tcp -j DNAT --to-destination ${destination}`);
  }
}

/** kube-proxy's tables of nftables mode, for nft -f. */
export function nftText(services: number): string {
  return [4, 6].map((family) => nftTable(services, family as Family)).join("\n");
}

function nftTable(services: number, family: Family): string {
  const ip = family === 4 ? "ip" : "ip6";
  const all = Array.from({ length: services }, (_, index) => service(index, family)).filter(
    ({ endpoints }) => endpoints.length > 0,
  );
  const chainName = ({ index, name }: Service) => `service-${hash(name).slice(0, 8)}-shop/web${index}/tcp/http`;
  const to = (endpoint: string) => (family === 4 ? `${endpoint}:8080` : `[${endpoint}]:8080`);
  const elements = all.map((one) => `${one.ip} . tcp . 80 : goto ${chainName(one)}`).join(",\n      ");
  const chains = all.map((one) => {
    const [first = "", second = ""] = one.endpoints;
    return `  chain ${chainName(one)} {
    ${ip} daddr ${one.ip} tcp dport 80 ${ip} saddr != ${family === 4 ? "10.244.0.0/16" : "fd00:244::/64"} jump mark-for-masquerade
    numgen random mod 2 vmap { 0 : goto endpoint-${hash(first)}-${one.index}, 1 : goto endpoint-${hash(second)}-${one.index} }
  }`;
  });
  const endpoints = all.flatMap((one) =>
    one.endpoints.map(
      (endpoint) => `  chain endpoint-${hash(endpoint)}-${one.index} {
    ${ip} saddr ${endpoint} jump mark-for-masquerade
    meta l4proto tcp dnat to ${to(endpoint)}
  }`,
    ),
  );
  return `table ${ip} kube-proxy {
  comment "rules for kube-proxy"
  set cluster-ips { type ipv${family}_addr; comment "Active ClusterIPs"; }
  map service-ips {
    type ipv${family}_addr . inet_proto . inet_service : verdict
    ${elements === "" ? "" : `elements = { ${elements} }`}
  }
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading {
    meta mark and 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }
${endpoints.join("\n")}
${chains.join("\n")}
  chain services { ${ip} daddr . meta l4proto . th dport vmap @service-ips; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
`;
}
