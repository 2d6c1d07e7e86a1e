/** Who is meant, and what a person is told who asks about somebody that is not there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import type { ClusterService } from "../model/service.ts";
import type { KnownCluster, KnownPod, KnownServices } from "./policy-cluster.ts";
import { choosePorts, findSource, findTarget, refuseForeignFamilies } from "./policy-parties.ts";
import { parseSource, parseTarget } from "./policy-target.ts";

const spec = { usage: "breakwater policy explain", summary: "", options: {} };

function aPod(key: string, podIps: string[], fields: Partial<KnownPod> = {}): KnownPod {
  const [namespace = "", name = ""] = key.split("/");
  const labels = { app: name.split("-")[0] ?? "" };
  const pod = { namespace, name, uid: key, labels, nodeName: "node1", hostNetwork: false, phase: "Running", podIps };
  const { declaredPorts = [], ...rest } = fields;
  const isPolicyPod = fields.hostNetwork !== true && !["Succeeded", "Failed"].includes(fields.phase ?? "");
  const named = declaredPorts.flatMap((port) => (port.name === undefined ? [] : [{ ...port, name: port.name }]));
  const policyPod = { namespace, name, labels, nodeName: "node1", ips: podIps, ports: named };
  return { ...pod, annotations: {}, ...rest, declaredPorts, policyPod: isPolicyPod ? policyPod : undefined };
}

const tcp = (port: number, name?: string) => ({ protocol: "TCP" as const, port, ...(name && { name }) });
const udp = (port: number, name?: string) => ({ protocol: "UDP" as const, port, ...(name && { name }) });
const PODS = [
  aPod("shop/web-1", ["10.244.1.2", "fd00::2"], { declaredPorts: [tcp(80, "http")] }),
  aPod("shop/web-2", [], { phase: "Pending", nodeName: "" }),
  aPod("shop/web-3", ["10.244.1.9"], { phase: "Failed" }),
  aPod("shop/job-1", [], { phase: "Succeeded" }),
  aPod("shop/dns", ["10.244.1.4"], { declaredPorts: [udp(53, "dns"), tcp(53, "dns-tcp"), udp(9153, "x")] }),
  aPod("shop/host", ["192.168.1.11", "fd00:1::11"], { hostNetwork: true }),
  aPod("mail/old", ["10.244.1.4"]),
];
const nodes = ["1", "2"].map((number) => ({
  ...{ name: `node${number}`, internalIps: [`192.168.1.1${number}`, `fd00:1::1${number}`], labels: {} },
  ...{ podCidrs: [`10.244.${number}.0/24`, `fd00:244:${number}::/64`], externalIps: [`198.51.100.${number}`] },
}));
const cluster: KnownCluster = {
  ...{ policies: [], notes: [], known: new Map(PODS.map((pod) => [`${pod.namespace}/${pod.name}`, pod])) },
  pods: PODS.flatMap(({ policyPod }) => policyPod ?? []),
  namespaces: new Map(["shop", "mail"].map((name) => [name, {}])),
  nodes: new Map(nodes.map((node) => [node.name, node])),
};
const service = {
  ...{
    namespace: "shop",
    name: "web",
    uid: "s",
    type: "NodePort",
    clusterIps: ["10.96.0.7"],
    externalIps: ["203.0.113.80"],
  },
  ...{ loadBalancerIps: [], externalPolicy: "Cluster", internalPolicy: "Cluster" },
  ports: [{ name: "", protocol: "TCP", port: 8080, nodePort: 30_080 }],
} as const satisfies ClusterService;
const endpoint = (address: string) => ({ address, ready: true, serving: true, terminating: false });
const services: KnownServices = {
  services: [service],
  slices: [
    {
      ...{
        namespace: "shop",
        name: "web-x",
        service: "web",
        family: 4,
        ports: [{ name: "", protocol: "TCP", port: 80 }],
      },
      endpoints: [endpoint("10.244.1.2"), endpoint("10.0.0.1")],
    },
  ],
};
const ask = () => Promise.resolve(services);

/** "kind name addresses", with what is noted behind it; or the refusal with its remedy. */
async function said(find: () => Promise<Awaited<ReturnType<typeof findSource>>>): Promise<string> {
  try {
    const { party, notes } = await find();
    return [`${party.kind} ${party.name} ${party.nodeName ?? "-"} ${party.ips.join(",")}`, ...notes].join("; ");
  } catch (error) {
    assert.ok(isBreakwaterError(error, "BW_EXPLAIN"), String(error));
    return `${error.message} -> ${error.remedy}`;
  }
}
const from = (text: string) => said(() => findSource(parseSource(spec, text), cluster, ask));
const to = (text: string) => said(() => findTarget(parseTarget(spec, text), cluster, ask));

test("findSource() and findTarget() find pods by name and by address", async () => {
  assert.equal(await from("shop/web-1"), "pod shop/web-1 node1 10.244.1.2,fd00::2");
  assert.equal(await from("fd00::2"), "pod shop/web-1 node1 fd00::2");
  assert.equal(await to("10.244.1.2:80"), "pod shop/web-1 node1 10.244.1.2");
  assert.equal(
    await to("shop/dns:53"),
    "pod shop/dns node1 10.244.1.4; mail/old has the address 10.244.1.4 too: until one of the two is gone, only what is allowed for both passes",
  );
});

test("findSource() and findTarget() say why there is nobody to ask about", async () => {
  assert.equal(await from("shp/web-1"), "There is no namespace shp -> There are mail, shop");
  assert.equal(
    await from("shop/nobody"),
    "There is no pod shop/nobody -> See what there is: kubectl -n shop get pods -o wide",
  );
  assert.equal(await to("shop/job:80"), "There is no pod shop/job -> Pods whose names begin so: shop/job-1");
  assert.equal(
    await to("shop/web:80"),
    "There is no pod shop/web, but a Service: policies see the endpoint that it chooses, and its port -> Ask about a pod: kubectl -n shop get endpointslices -l kubernetes.io/service-name=web",
  );
  assert.equal(
    await from("shop/web-2"),
    "Pod shop/web-2 has no address yet (Pending, on no node), and policies judge addresses -> See why it does not start: kubectl -n shop describe pod web-2",
  );
  assert.equal(
    await from("shop/web-3"),
    "Pod shop/web-3 is over (Failed): it has no address any more -> Ask about one that runs: shop/web-1",
  );
  assert.equal(
    await from("shop/job-1"),
    "Pod shop/job-1 is over (Succeeded): it has no address any more -> Ask about one that runs: kubectl -n shop get pods -o wide",
  );
  assert.match(await to("127.0.0.1:80"), /^127.0.0.1 is no address that is forwarded between machines/);
  assert.match(await to("[fe80::1]:80"), /^fe80::1 is no address that is forwarded between machines/);
});

test("a pod of the host network is its node, and dials with the tunnel's addresses too", async () => {
  const note =
    "shop/host is on the host network: to policies it is no pod but node node1, and only an ipBlock can mean it";
  assert.equal(await to("shop/host:22"), `node shop/host node1 192.168.1.11,fd00:1::11; ${note}`);
  assert.equal(
    await from("shop/host"),
    `node shop/host node1 192.168.1.11,fd00:1::11,10.244.1.0,fd00:244:1::; ${note}`,
  );
});

test("an address is a node's where the node has it: as InternalIP or on its end of the tunnel", async () => {
  for (const ip of ["192.168.1.12", "10.244.2.0", "fd00:244:2::"]) {
    assert.equal(await from(ip), `node ${ip} node2 ${ip}`);
  }
});

test("an address that nobody has is outside, with a note where a pod could have it", async () => {
  assert.equal(await to("8.8.8.8:53"), "outside 8.8.8.8 - 8.8.8.8");
  assert.equal(
    await to("10.244.2.77:80"),
    "outside 10.244.2.77 - 10.244.2.77; 10.244.2.77 lies in the pod CIDR of node node2, but no pod has it: nobody would answer",
  );
  assert.equal(
    await to("198.51.100.2:80"),
    "outside 198.51.100.2 - 198.51.100.2; 198.51.100.2 is an ExternalIP of node node2: if that machine itself has it, its own pods always reach it",
  );
  assert.match(await from("8.8.8.8"), /^outside 8.8.8.8 - 8.8.8.8; .*externalTrafficPolicy is Local/);
});

test("addresses of Services lead to their endpoints: ClusterIP, external address, NodePort", async () => {
  const hint = "it is translated before policies look, and they see an endpoint and its port";
  const endpoints = "Ask about its endpoints: 10.0.0.1:80/TCP, shop/web-1:80/TCP";
  assert.equal(await to("10.96.0.7:8080"), `10.96.0.7:8080 is Service shop/web: ${hint} -> ${endpoints}`);
  assert.equal(await to("203.0.113.80:8080"), `203.0.113.80:8080 is Service shop/web: ${hint} -> ${endpoints}`);
  assert.equal(await to("192.168.1.12:30080"), `192.168.1.12:30080 is Service shop/web: ${hint} -> ${endpoints}`);
  assert.equal(await to("192.168.1.12:30080/UDP"), "node 192.168.1.12 node2 192.168.1.12");
  assert.equal(
    await to("10.96.0.7:81"),
    `10.96.0.7:81 is Service shop/web: ${hint} -> The Service has no such port; it has 8080/TCP`,
  );
  assert.equal(
    await from("10.96.0.7"),
    "10.96.0.7 is the ClusterIP of Service shop/web: nothing dials from it -> Give the pod that dials, as NAMESPACE/POD",
  );
});

async function ports(text: string): Promise<string> {
  const target = parseTarget(spec, text);
  const found = await findTarget(target, cluster, ask);
  try {
    return choosePorts(target, found, cluster)
      .map(({ port, protocol }) => `${port}/${protocol}`)
      .join(" ");
  } catch (error) {
    assert.ok(isBreakwaterError(error, "BW_EXPLAIN"), String(error));
    return `${error.message} -> ${error.remedy}`;
  }
}

test("choosePorts() takes numbers, names of the pod's ports, and all that are declared where none is given", async () => {
  assert.equal(await ports("shop/web-1:81"), "81/TCP");
  assert.equal(await ports("shop/web-1:81/UDP"), "81/UDP");
  assert.equal(await ports("shop/web-1:http"), "80/TCP");
  assert.equal(await ports("shop/dns:dns"), "53/UDP", "a name has its protocol");
  assert.equal(await ports("shop/dns"), "53/UDP 53/TCP 9153/UDP");
  assert.equal(await ports("shop/dns/TCP"), "53/TCP");
});

test("choosePorts() says which ports there are, where the one that is asked for is not", async () => {
  assert.equal(
    await ports("shop/web-1:https"),
    'shop/web-1 has no port "https" -> shop/web-1 declares 80/TCP (http); give one as shop/web-1:PORT[/PROTO]',
  );
  assert.equal(
    await ports("shop/web-1:http/UDP"),
    'shop/web-1 has no port "http" -> shop/web-1 declares 80/TCP (http); give one as shop/web-1:PORT[/PROTO]',
  );
  assert.equal(
    await ports("[2001:db8::1]"),
    "Which port is dialled is not said -> 2001:db8::1 declares no port; give one as [2001:db8::1]:PORT[/PROTO]",
  );
  assert.match(await ports("shop/web-1:70000"), /^70000 is no port: they go from 1 to 65535/);
});

test("refuseForeignFamilies() names who lacks which family", () => {
  const party = (name: string, ...ips: string[]) => ({ name, kind: "outside" as const, ips });
  const refuse = () => refuseForeignFamilies(party("shop/web", "10.0.0.1"), party("fd00::1", "fd00::1"));
  assert.throws(refuse, /shop\/web has no IPv6 address, and fd00::1 no other: they cannot talk, whatever policies say/);
  refuseForeignFamilies(party("a", "10.0.0.1", "fd00::2"), party("b", "fd00::1"));
});
