/** Services of one family and of both, in a cluster whose first family is IPv4; and all that Services do over the second. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import { type Expectation, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("dualstack");
const [FIRST, SECOND] = ["IPv4", "IPv6"];
const CLIENTS = ["default/client", "default/far", "node/node1", "node/node2"];
const BOTH = ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), port: 80, protocol }));

/** Name, what is asked for, and the families that come of it, in this order. */
const KINDS = [
  ["default", { ipFamilyPolicy: undefined }, [FIRST]],
  ["ipv4", { ipFamilyPolicy: "SingleStack", ipFamilies: [FIRST] }, [FIRST]],
  ["ipv6", { ipFamilyPolicy: "SingleStack", ipFamilies: [SECOND] }, [SECOND]],
  ["v4v6", { ipFamilyPolicy: "RequireDualStack", ipFamilies: [FIRST, SECOND] }, [FIRST, SECOND]],
  ["v6v4", { ipFamilyPolicy: "RequireDualStack", ipFamilies: [SECOND, FIRST] }, [SECOND, FIRST]],
] as const;
const SECOND_ONLY = { type: "NodePort", ports: BOTH, ipFamilyPolicy: "SingleStack", ipFamilies: [SECOND] };

before(() =>
  lab.up(
    [
      responder("client", "client", "node1"),
      responder("far", "client", "node2"),
      responder("server", "server", "node2"),
      responder("one", "granular", "node1"),
      responder("two", "granular", "node2"),
      responder("three", "updated", "node1"),
      responder("four", "updated", "node2"),
      ...KINDS.map(([name, spec]) => service(name, { type: "NodePort", selector: { app: "server" }, ...spec })),
      service("granular", SECOND_ONLY),
      service("sticky", { ...SECOND_ONLY, selector: { app: "granular" }, sessionAffinity: "ClientIP" }),
      service("updated", SECOND_ONLY),
    ],
    ["--nodes", "2", "--subnets", "2"],
  ),
);
after(() => lab.close());

const family = (ip: string) => (ip.includes(":") ? SECOND : FIRST);
const nodeAddresses = () => [...lab.addresses("node1"), ...lab.addresses("node2")];
const secondOf = (node: string) => lab.addresses(node).filter((ip) => family(ip) === SECOND);
const nodePort = async (name: string, i = 0) =>
  Number(await lab.kubectl("get", "service", name, "-o", `jsonpath={.spec.ports[${i}].nodePort}`));

for (const [name, , families] of KINDS) {
  test(`svc-56 a Service "${name}" has ${families.join(" and ")}: addresses, endpoints and answers`, async () => {
    const { spec } = JSON.parse(await lab.kubectl("get", "service", name, "-o", "json"));
    assert.deepEqual(spec.ipFamilies, families);
    assert.deepEqual(spec.clusterIPs.map(family), families, "addresses follow the families");
    assert.equal(spec.clusterIP, spec.clusterIPs[0]);
    const wanted = ["get", "endpointslices", "-l", `kubernetes.io/service-name=${name}`, "-o", "json"];
    const slices: { addressType: string; endpoints: { addresses: string[] }[] }[] = JSON.parse(
      await lab.kubectl(...wanted),
    ).items;
    const ips = await lab.podIps("server");
    const found = slices.map(({ addressType, endpoints }) => [
      addressType,
      endpoints.flatMap((each) => each.addresses),
    ]);
    const expected = families.map((each) => [each, ips.filter((ip) => family(ip) === each)]);
    assert.deepEqual(found.sort(), expected.sort());
    const port = await nodePort(name);
    const rows: Expectation[] = [
      ...CLIENTS.flatMap((from) =>
        spec.clusterIPs.map((to: string) => ({ from, to, port: 80, gets: "default/server" })),
      ),
      ...["node/outside", "default/far"].flatMap((from) =>
        nodeAddresses().map((to) => {
          const isServed = (families as readonly (string | undefined)[]).includes(family(to));
          return { from, to, port, gets: isServed ? "default/server" : "ECONNREFUSED" };
        }),
      ),
    ];
    await lab.settles(rows);
  });
}

/** Everybody's dials over the second family: pods, nodes, endpoints themselves; who is outside knows NodePorts only. */
async function everyWay(name: string, protocol: "TCP" | "UDP") {
  const [clusterIps, port] = [await lab.clusterIps(name), await nodePort(name, protocol === "UDP" ? 1 : 0)];
  const inside = [...CLIENTS, "default/one"];
  const dials = (clients: readonly string[], ips: readonly string[], to: number) =>
    clients.flatMap((from) => ips.map((ip) => ({ from, to: ip, port: to, protocol })));
  const ports = [...secondOf("node1"), ...secondOf("node2")];
  return [...dials(inside, clusterIps, 80), ...dials([...inside, "node/outside"], ports, port)];
}

for (const protocol of ["TCP", "UDP"] as const) {
  test(`svc-57 second family, ${protocol}: pods, nodes and endpoints reach all endpoints by ClusterIP and NodePort`, async () => {
    await lab.endpoints("granular", 2);
    await lab.reachesAll(await everyWay("granular", protocol), ["one", "two"]);
  });
}

test("svc-57 second family: pods, and nodes, reach pods by their own addresses", async () => {
  const ips = (await Promise.all(["one", "two"].map((name) => lab.podIps(name)))).map(([, second = ""]) => second);
  const rows = CLIENTS.flatMap((from) =>
    (["TCP", "UDP"] as const).flatMap((protocol) => [
      { from, to: ips[0] ?? "", port: 80, protocol, gets: "default/one" },
      { from, to: ips[1] ?? "", port: 80, protocol, gets: "default/two" },
    ]),
  );
  await lab.expect(rows);
});

test("svc-57 second family: pods keep their address through the ClusterIP; a NodePort hides who is outside", async () => {
  const [to = ""] = await lab.clusterIps("ipv6");
  const rows = await Promise.all(
    ["client", "far"].map(async (name) => {
      const [, sees = ""] = await lab.podIps(name);
      return { from: `default/${name}`, to, port: 80, gets: "default/server", sees };
    }),
  );
  await lab.settles(rows);
  const [node = ""] = secondOf("node2");
  const [hidden] = await lab.dial([{ from: "node/outside", to: node, port: await nodePort("ipv6") }]);
  const own = await lab.exec("node/node2", "ip", "-6", "-o", "address");
  assert.ok(own.includes(` ${hidden?.clientIp}/`), `${hidden?.clientIp} is none of the node's addresses: ${own}`);
});

test("svc-57 second family: session affinity by ClusterIP and NodePort", async () => {
  await lab.endpoints("sticky", 2);
  const probes = await everyWay("sticky", "TCP");
  for (const [i, answers] of (await lab.answers(probes, 15)).entries()) {
    assert.equal(answers.size, 1, `${JSON.stringify(probes[i])}: ${[...answers].join(" ")}`);
    assert.match([...answers.keys()].join(), /^default\/(one|two)$/);
  }
});

test("svc-57 second family: endpoints and the NodePort change", async () => {
  const port = await nodePort("updated");
  await lab.endpoints("updated", 2);
  await lab.reachesAll(await everyWay("updated", "TCP"), ["three", "four"]);
  await lab.kubectl("delete", "pod", "three", "--timeout=30s");
  await lab.endpoints("updated", 1);
  await lab.reachesAll(await everyWay("updated", "TCP"), ["four"]);
  const ports = BOTH.map((each) => ({ ...each, nodePort: port === 32_000 ? 32_001 : 32_000 }));
  await lab.patch("updated", { ports });
  await eventually(SETTLED_MS, async () => lab.reachesAll(await everyWay("updated", "TCP"), ["four"]));
  await lab.expect(secondOf("node1").map((to) => ({ from: "node/outside", to, port, gets: "ECONNREFUSED" })));
});
