/** sessionAffinity ClientIP, by cluster IP and by NodePort, over both families. Rows "affinity". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../../model/service.ts";
import { endpointText } from "../testing/traced-packet.ts";
import { aService, aSlice, tcp80 } from "./testing/objects.ts";
import { type Dial, OUTSIDE, pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const plain = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const SIXTEEN = Array.from({ length: 16 }, (_, i) => i);
/** What the kernel draws for the first, the second, the third of three endpoints, whether in one go or one after the other. */
const [FIRST, SECOND, THIRD] = [0, 4, 5];

const families = {
  4: { pod: podOn, prefix: "10.244.", vip: "10.96.0.10", node: "192.168.1.1", other: "198.51.100.201" },
  6: {
    pod: pod6On,
    prefix: "fd00:10:244:",
    vip: "fd00:10:96::a",
    node: "fd00:192:168:1::1",
    other: "2001:db8:99::201",
  },
} as const;

for (const family of [4, 6] as const) {
  const { pod, prefix, vip, node, other } = families[family];
  const address = (on: number, number: number) => `${prefix}${on}${family === 4 ? "." : "::"}${number}`;
  const at = (on: number, number: number, port = 8080) => endpointText(address(on, number), port);
  const endpoints = [pod(1, 5), pod(2, 6), pod(3, 7)];
  const switched: ClusterService = { ...plain, clusterIps: [vip] };
  const sticky: ClusterService = { ...switched, affinitySeconds: 10 };
  const byIp: Dial = { from: address(1, 9), to: vip, port: 80 };
  const byNodePort: Dial = { from: "outside", to: `${node}3`, port: 30080 };
  const cluster = () => new ServiceCluster({ services: [sticky], slices: [aSlice(endpoints)] });
  /** Endpoints that sixteen dials reach, whatever the kernel draws. */
  const seen = (on: ServiceCluster, dial: Dial) => [...new Set(SIXTEEN.map((drawn) => on.connect(dial, drawn)))].sort();

  for (const [way, dial, always, timeout, switching] of [
    ["cluster IP", byIp, "svc-22", "svc-23", "svc-24"],
    ["NodePort", byNodePort, "svc-25", "svc-26", "svc-27"],
  ] as const) {
    const title = `by ${way}, IPv${family}`;

    test(`${always} a client comes to the same pod each time, ${title}; another client may come to another`, () => {
      const on = cluster();
      assert.equal(on.connect(dial, SECOND), at(2, 6));
      assert.deepEqual(seen(on, dial), [at(2, 6)]);
      const another = { ...dial, from: dial.from === "outside" ? "outside" : address(1, 8) };
      assert.equal(on.connect(dial.from === "outside" ? { ...another, source: other } : another, THIRD), at(3, 7));
      assert.deepEqual(seen(on, dial), [at(2, 6)]);
    });

    test(`${timeout} the client is remembered until the timeout after its last connection, ${title}`, () => {
      const on = cluster();
      assert.equal(on.connect(dial, SECOND), at(2, 6));
      for (let i = 0; i < 5; i++) {
        on.elapse(9);
        assert.equal(on.connect(dial, i), at(2, 6), "each connection renews it");
      }
      on.elapse(10);
      assert.equal(on.connect(dial, THIRD), at(3, 7));
    });

    test(`${switching} affinity is switched off and on again, ${title}`, () => {
      const on = cluster();
      assert.equal(seen(on, dial).length, 1);
      on.apply({ services: [switched] });
      assert.equal(seen(on, dial).length, 3);
      on.apply({ services: [sticky] });
      assert.equal(seen(on, dial).length, 1);
    });
  }

  test(`svc-28 a client whose pod is gone reaches a live one, once it is forgotten, IPv${family}`, () => {
    const on = cluster();
    assert.equal(on.connect(byIp, THIRD), at(3, 7));
    on.apply({ slices: [aSlice(endpoints.slice(0, 2))] });
    const { dynamic } = on.tracer("node1");
    const [table, set, element] =
      family === 4
        ? ([{ family: "ip", name: "breakwater" }, "affinity", `${byIp.from} . ${vip} . tcp . 80`] as const)
        : ([{ family: "ip6", name: "breakwater" }, "clients-tcp", `${byIp.from} . ${vip} . 80 . 2`] as const);
    const text = family === 4 ? `${element} : ${address(3, 7)} . 8080` : element;
    // IPVS remembers by itself, and forgets what has weight 0.
    const isInSet = on.virtualServers("node1") === undefined;
    assert.deepEqual(dynamic.list(table, { name: set }), isInSet ? [text] : []);
    assert.equal(dynamic.delete(table, { name: set }, text), isInSet);
    assert.equal(on.connect(byIp, FIRST), at(1, 5));
    assert.deepEqual(seen(on, byIp), [at(1, 5)]);
  });

  test(`clients are remembered by frontend: another port, Service or protocol is another choice, IPv${family}`, () => {
    const ports = [
      tcp80,
      { name: "admin", protocol: "TCP", port: 81 },
      { name: "http", protocol: "UDP", port: 80 },
    ] as const;
    const slicePorts = [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "admin", protocol: "TCP", port: 9090 },
      { name: "http", protocol: "UDP", port: 8080 },
    ] as const;
    const on = new ServiceCluster({
      services: [{ ...sticky, ports }],
      slices: [aSlice(endpoints, { ports: slicePorts })],
    });
    const dials = [byIp, { ...byIp, port: 81 }, { ...byIp, protocol: "udp" }] as const;
    const expected = [at(1, 5), at(2, 6, 9090), at(3, 7)];
    const got = (drawn: readonly number[]) => dials.map((dial, i) => on.connect(dial, drawn[i]));
    assert.deepEqual(got([FIRST, SECOND, THIRD]), expected);
    for (const drawn of SIXTEEN) assert.deepEqual(got([drawn, drawn, drawn]), expected);
  });

  test(`nodes, pods that reach themselves, and pods on the host network are remembered too, IPv${family}`, () => {
    const on = cluster();
    for (const from of ["node1", "node3", address(1, 5), address(3, 7)]) {
      const dial = { from, to: vip, port: 80 };
      const first = on.connect(dial, 0);
      for (const drawn of SIXTEEN) assert.equal(on.connect(dial, drawn), first, from);
    }
    const slices = [aSlice([pod(1, 5), { ...pod(1, 6), address: `${node}1` }])];
    const host = new ServiceCluster({ services: [sticky], slices });
    const dial = { from: "node1", to: vip, port: 80 };
    const first = host.connect(dial, 1);
    assert.ok([endpointText(`${node}1`, 8080), at(1, 5)].includes(first));
    for (const drawn of SIXTEEN) assert.equal(host.connect(dial, drawn), first);
  });

  test(`under externalTrafficPolicy Local who is outside keeps one of this node's endpoints, IPv${family}`, () => {
    const services = [{ ...sticky, externalPolicy: "Local" } as const];
    const on = new ServiceCluster({ services, slices: [aSlice([pod(3, 5), pod(3, 6), pod(1, 7)])] });
    assert.equal(on.connect(byNodePort, 1), at(3, 6));
    for (const drawn of SIXTEEN) assert.equal(on.connect(byNodePort, drawn), at(3, 6));
    const inside = { ...byNodePort, from: "node3" };
    assert.deepEqual(seen(on, inside).length, 1);
  });

  test(`who is new may come to any endpoint, IPv${family}`, () => {
    const outcomes = cluster()
      .tracer("node1")
      .outcomes({
        ...{ source: OUTSIDE[family], destination: vip, destinationPort: 80, from: "eth0" },
      });
    assert.deepEqual(
      new Set(outcomes.map((outcome) => "destination" in outcome && outcome.destination)),
      new Set([address(1, 5), address(2, 6), address(3, 7)]),
    );
  });

  test(`a Service with affinity and without endpoints refuses, IPv${family}`, () => {
    const on = new ServiceCluster({ services: [sticky], slices: [] });
    for (const dial of [byIp, byNodePort]) assert.deepEqual(on.dial(dial), ["rejected (tcp reset)"]);
  });
}

test("over IPv6 a client whom nobody can remember any more is served", () => {
  const { vip } = families[6];
  const on = new ServiceCluster({
    services: [{ ...plain, clusterIps: [vip], affinitySeconds: 10 }],
    slices: [aSlice([pod6On(1, 5)])],
  });
  const { dynamic } = on.tracer("node1");
  const set = on
    .tables("node1")
    .at(-1)
    ?.sets.find(({ name }) => name === "clients-tcp");
  assert.ok(set?.dynamic);
  const table = { family: "ip6", name: "breakwater" } as const;
  for (let i = 0; i < set.dynamic.size; i++) dynamic.update(table, set, [`2001:db8::${i}`], undefined, 10);
  const dial = { from: "fd00:10:244:1::9", to: vip, port: 80 };
  assert.equal(on.connect(dial), "[fd00:10:244:1::5]:8080");
  assert.equal(dynamic.list(table, set).length, set.dynamic.size);
});
