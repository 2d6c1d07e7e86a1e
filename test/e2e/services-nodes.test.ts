/** Host ports beside Services, SCTP objects, probes of the kubelet under a policy that denies all, and the API as pods see it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import type { HttpsOutcome } from "./peers/https-get.ts";
import { type Expectation, peer, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("nodes");
const NODES = ["node1", "node2"];
const PORTMAP = "/usr/lib/cni/portmap";
const HOST_PORT = 54_323;
/** Of node1, which the pods name before the lab is up. */
const [NODE_IP, NODE_IP6] = ["192.168.1.11", "fd00:192:168:1::b"];
const hasPortmap = existsSync(PORTMAP);

const hostPort = (name: string, hostIP: string, protocol: string) =>
  responder(name, "hostport", "node1", {}, [{ containerPort: 8080, hostPort: HOST_PORT, hostIP, protocol }]);

before(() =>
  lab.up(
    [
      ...NODES.map((node) => responder(`pod-${node}`, "client", node)),
      ...NODES.map((node) => responder(`host-${node}`, "client", node, { hostNetwork: true }, [])),
    ],
    ["--nodes", "2", "--subnets", "2", ...(hasPortmap ? ["--cni-chain", "portmap"] : [])],
  ),
);
after(() => lab.close());

test("svc-62 hostPort: the same one with another hostIP or protocol leads to another pod", {
  skip: hasPortmap ? false : `no ${PORTMAP}`,
}, async () => {
  await lab.apply(
    hostPort("loopback", "127.0.0.1", "TCP"),
    hostPort("tcp", NODE_IP, "TCP"),
    hostPort("udp", NODE_IP, "UDP"),
    hostPort("tcp6", NODE_IP6, "TCP"),
    hostPort("udp6", NODE_IP6, "UDP"),
  );
  await lab.ready("loopback", "tcp", "udp", "tcp6", "udp6");
  assert.deepEqual(lab.addresses("node1"), [NODE_IP, NODE_IP6]);
  const port = HOST_PORT;
  const rows: Expectation[] = [
    { from: "node/node1", to: "127.0.0.1", port, gets: "default/loopback" },
    ...["node/node1", "default/host-node1", "default/pod-node1", "default/pod-node2", "node/outside"].flatMap(
      (from) => [
        { from, to: NODE_IP, port, gets: "default/tcp" },
        { from, to: NODE_IP, port, protocol: "UDP" as const, gets: "default/udp" },
        { from, to: NODE_IP6, port, gets: "default/tcp6" },
        { from, to: NODE_IP6, port, protocol: "UDP" as const, gets: "default/udp6" },
      ],
    ),
    // A port of one pod's protocol is not another's, nor another node's.
    { from: "node/node1", to: "127.0.0.1", port, protocol: "UDP", gets: "ECONNREFUSED" },
    { from: "node/outside", to: lab.addresses("node2")[0] ?? "", port, gets: "ECONNREFUSED" },
  ];
  await lab.expect(rows);
});

/** What shows that this kernel has been made to speak SCTP: modules, protocols of sockets, the protocol's own files. */
async function traces(): Promise<string> {
  const look =
    "cut -d' ' -f1 /proc/modules 2>/dev/null | sort; cut -d' ' -f1 /proc/net/protocols; ls -d /proc/net/sctp 2>/dev/null";
  return lab.exec("node/node1", "sh", "-c", `${look}; true`);
}

test("svc-63 SCTP objects load no kernel module, and make no SCTP socket", async (t) => {
  const before = await traces();
  if (!existsSync("/proc/modules")) t.diagnostic("this kernel loads no modules: its protocols alone are compared");
  if (/^SCTP\b/m.test(before)) t.diagnostic("this kernel speaks SCTP already: nothing new can be seen");
  const ports = [{ port: 5060, targetPort: 80, protocol: "SCTP" }];
  await lab.apply(
    service("sctp", { type: "NodePort", ports, selector: { app: "client" } }),
    service("sctp-empty", { ports }),
  );
  await lab.served(
    "sctp",
    (frontends) =>
      frontends.length > 0 && frontends.every(({ protocol, endpoints }) => protocol === "SCTP" && endpoints.length > 0),
  );
  await lab.endpoints("sctp-empty", 0);
  const [ip = ""] = await lab.clusterIps("sctp");
  assert.match(
    await lab.exec("node/node1", "nft", "list", "map", "ip", "breakwater", "services"),
    new RegExp(`${ip} \\. sctp \\. 5060`),
  );
  await lab.kubectl("delete", "service", "sctp", "sctp-empty");
  await lab.gone("sctp");
  assert.equal(await traces(), before);
});

/** While nothing isolates pods this is true by itself; it has to stay so. */
test("svc-64 probes of the kubelet pass under a policy that denies all", async () => {
  const spec = { podSelector: {}, policyTypes: ["Ingress", "Egress"] };
  await lab.apply({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "deny-all", namespace: "default" },
    spec,
  });
  const probe = { tcpSocket: { port: 80 }, periodSeconds: 1, timeoutSeconds: 2 };
  const container = {
    name: "main",
    image: "responder",
    ports: [{ containerPort: 80 }],
    // Ready after three, so that the first of both kinds have passed by then, and one that fails restarts it.
    readinessProbe: { ...probe, failureThreshold: 1, successThreshold: 3 },
    livenessProbe: { ...probe, failureThreshold: 1 },
  };
  const pods = NODES.map((node) => `probed-${node}`);
  await lab.apply(...NODES.map((node, i) => responder(pods[i] ?? "", "probed", node, { containers: [container] })));
  await lab.ready(...pods);
  const restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
  assert.equal(await lab.kubectl("get", "pods", "-l", "app=probed", "-o", restarts), "0 0");
  await lab.kubectl("delete", "networkpolicy", "deny-all");
});

test("svc-65 a pod reaches the API server through the Service kubernetes, on every node, on its network or the node's", async () => {
  const [ip = ""] = await lab.clusterIps("kubernetes");
  const data = await lab.kubectl(
    "config",
    "view",
    "--raw",
    "-o",
    "jsonpath={.clusters[0].cluster.certificate-authority-data}",
  );
  const ca = lab.home.write("ca.pem", Buffer.from(data, "base64").toString("utf8"));
  const clients = NODES.flatMap((node) => [`default/pod-${node}`, `default/host-${node}`, `node/${node}`]);
  const ask = async (from: string, name: string): Promise<HttpsOutcome> =>
    JSON.parse(await lab.exec(from, ...peer("https-get", `https://${ip}/healthz`, name, ca)));
  await eventually(SETTLED_MS, async () => {
    for (const from of clients)
      assert.deepEqual(await ask(from, "kubernetes.default"), { status: 200, body: "ok" }, from);
  });
  assert.match((await ask("default/pod-node1", "another.name")).error ?? "", /another\.name/, "the certificate counts");
});
