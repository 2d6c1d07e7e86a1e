/** internalTrafficPolicy, and what it has nothing to do with: NodePorts. The other way round: externalTrafficPolicy and ClusterIPs. */
import { after, before, test } from "node:test";
import { type Expectation, responder, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("policy");
const HOST = { hostNetwork: true };
const hostPort = (containerPort: number) => [{ containerPort }];
/** Clients on node1, where the servers are, and on node2: pods, pods of the node's network, the nodes. */
const PODS = ["default/pod1", "default/pod2"] as const;
const HOST_PODS = ["default/host1", "default/host2"] as const;
const NODES = ["node/node1", "node/node2"] as const;
const LOCAL = { internalTrafficPolicy: "Local" };

before(() =>
  lab.up(
    [
      responder("pod1", "client", "node1"),
      responder("pod2", "client", "node2"),
      responder("host1", "client", "node1", HOST, hostPort(8081)),
      responder("host2", "client", "node2", HOST, hostPort(8081)),
      responder("server", "server", "node1"),
      responder("hostserver", "hostserver", "node1", HOST, hostPort(8090)),
      service("server", LOCAL),
      service("hostserver", { ...LOCAL, ports: [{ port: 80, targetPort: 8090 }] }),
      service("nodeport", { type: "NodePort", selector: { app: "server" }, ...LOCAL }),
      service("external", { type: "NodePort", selector: { app: "server" }, externalTrafficPolicy: "Local" }),
      service("moving", LOCAL),
      service("empty", { ...LOCAL, ports: both(80) }),
      service("both", { ...LOCAL, selector: { app: "server" }, ports: both(80) }),
    ],
    ["--nodes", "2", "--subnets", "2"],
  ),
);
after(() => lab.close());

function both(port: number): object[] {
  return ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol }));
}

const dials = (from: string, ips: readonly string[], gets: string, port = 80): Expectation[] =>
  ips.map((to) => ({ from, to, port, gets }));
const fiveTimes = (rows: readonly Expectation[]) => Array.from({ length: 5 }, () => rows).flat();

/** The client on node1 succeeds five times of five, the one on node2 never. */
async function onlyNode1(name: string, [first, second]: readonly [string, string]): Promise<void> {
  const ips = await lab.clusterIps(name);
  const rows = [...dials(first, ips, `default/${name}`), ...dials(second, ips, "ETIMEDOUT")];
  await lab.settles(fiveTimes(rows));
}

test("svc-42 internalTrafficPolicy Local, pod to pod", () => onlyNode1("server", PODS));

test("svc-43 internalTrafficPolicy Local, pod of the node's network to pod", () => onlyNode1("server", HOST_PODS));

test("svc-44 internalTrafficPolicy Local, pod and node to a pod of the node's network", async () => {
  await onlyNode1("hostserver", PODS);
  await onlyNode1("hostserver", NODES);
});

test("internalTrafficPolicy Local follows its endpoints: a node is served while it has one", async () => {
  const ips = await lab.clusterIps("moving");
  const from2 = (gets: string) => fiveTimes(dials(PODS[1], ips, gets));
  await lab.apply(responder("moving1", "moving", "node1"));
  await lab.settles(dials(PODS[0], ips, "default/moving1"));
  await lab.expect(from2("ETIMEDOUT"));
  await lab.apply(responder("moving2", "moving", "node2"));
  await lab.settles([...from2("default/moving2"), ...dials(PODS[0], ips, "default/moving1")]);
  await lab.kubectl("delete", "pod", "moving2", "--timeout=30s");
  await lab.settles([...from2("ETIMEDOUT"), ...dials(PODS[0], ips, "default/moving1")]);
  await lab.kubectl("delete", "pod", "moving1", "--timeout=30s");
  await lab.settles([...from2("ECONNREFUSED"), ...dials(PODS[0], ips, "ECONNREFUSED")]);
});

test("internalTrafficPolicy does not touch NodePorts, externalTrafficPolicy does not touch ClusterIPs", async () => {
  const port = Number(await lab.kubectl("get", "service", "nodeport", "-o", "jsonpath={.spec.ports[0].nodePort}"));
  const nodePort = [...lab.addresses("node1"), ...lab.addresses("node2")];
  const everybody = ["node/outside", ...PODS, ...NODES];
  await lab.settles(everybody.flatMap((from) => fiveTimes(dials(from, nodePort, "default/server", port))));
  const ips = await lab.clusterIps("external");
  await lab.expect([...PODS, ...NODES].flatMap((from) => fiveTimes(dials(from, ips, "default/server"))));
});

test("refused where no endpoint exists anywhere, silent where the policy leaves none, in TCP and UDP", async () => {
  const [empty, some] = [await lab.clusterIps("empty"), await lab.clusterIps("both")];
  const everybody = [...PODS, ...NODES];
  // The kernel tells a program at once whose own datagram is dropped or refused on its way out of the node.
  const over = (protocol: "TCP" | "UDP", rows: readonly Expectation[]) =>
    rows.map((row) => ({
      ...row,
      protocol,
      ...(protocol === "UDP" && row.from.startsWith("node/") ? { gets: "EPERM" } : {}),
    }));
  const rows = (["TCP", "UDP"] as const).flatMap((protocol) => [
    ...over(
      protocol,
      everybody.flatMap((from) => dials(from, empty, "ECONNREFUSED")),
    ),
    ...over(
      protocol,
      everybody.flatMap((from) => dials(from, some, "ECONNREFUSED", 81)),
    ),
    ...over(
      protocol,
      [PODS[1], NODES[1]].flatMap((from) => dials(from, some, "ETIMEDOUT")),
    ),
    ...dials(PODS[0], some, "default/server").map((row) => ({ ...row, protocol })),
  ]);
  await lab.settles(rows);
});
