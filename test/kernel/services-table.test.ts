import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { planService } from "../../src/plan/services/frontends.ts";
import { planServiceTable } from "../../src/plan/services/table.ts";
import { anEndpoint, aService, aSlice, node1, tcp80 } from "../../src/plan/services/testing/objects.ts";
import { testNamespace } from "./namespaces.ts";

const slices = [
  aSlice([anEndpoint("10.244.1.5", { nodeName: "node1" }), anEndpoint("10.244.2.6", { nodeName: "node2" })]),
  aSlice([
    anEndpoint("fd00:10:244:1::5", { nodeName: "node1" }),
    anEndpoint("fd00:10:244:2::6", { nodeName: "node2" }),
  ]),
];
const everything = aService({
  type: "LoadBalancer",
  clusterIps: ["10.96.0.10", "fd00:10:96::a"],
  ports: [{ ...tcp80, nodePort: 30080 }],
  externalIps: ["198.51.100.7", "2001:db8:1::7"],
  loadBalancerIps: ["203.0.113.9", "2001:db8::9"],
  sourceRanges: ["10.0.0.0/8", "2001:db8:2::/48"],
  externalPolicy: "Local",
  affinitySeconds: 10800,
});
const empty = aService({
  name: "empty",
  type: "NodePort",
  clusterIps: ["10.96.0.11", "fd00:10:96::b"],
  ports: [{ name: "dns", protocol: "UDP", port: 53, nodePort: 30053 }],
});
const plans = [planService(everything, slices, node1), planService(empty, [], node1)];

function table(family: 4 | 6) {
  return planServiceTable({
    family,
    podCidrs: node1.podCidrs.filter((prefix) => prefix.includes(":") === (family === 6)),
    serviceCidrs: family === 4 ? ["10.96.0.0/16"] : ["fd00:10:96::/112"],
    dropInvalid: true,
    counters: false,
    plans,
  });
}

for (const [family, tool] of [
  [4, "ip"],
  [6, "ip6"],
] as const) {
  const wanted = table(family);

  test(`the ${tool} table of Services reads back as it was planned`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    nft.commit(wanted, diffNft(wanted, nft.table(wanted)));
    assert.deepEqual(diffNft(wanted, nft.table(wanted)), []);
    const sets = nft.table(wanted)?.sets.map(({ name, elements }) => [name, elements]);
    assert.deepEqual(Object.fromEntries(sets ?? []), Object.fromEntries(wanted.sets.map((s) => [s.name, s.elements])));
  });

  test(`nft(8) prints the ${tool} table of Services and loads its own print`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    const list = () => ns.run(() => spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" })).stdout;
    nft.commit(wanted, diffNft(wanted, nft.table(wanted)));
    const printed = list();
    assert.match(printed, /comment "ClusterIP default\/web:http" : goto affinity-(tcp-10800s-)?2/);
    assert.match(printed, /numgen random mod 2 map @endpoints/);
    assert.match(printed, family === 4 ? /update @affinity {/ : /update @clients-tcp {.* offset 1 timeout 3h }/);
    const input = `flush ruleset\n${printed}`;
    const loaded = ns.run(() => spawnSync("nft", ["-f", "-"], { input, encoding: "utf8" }));
    assert.equal(loaded.stderr, "");
    assert.equal(list(), printed);
    assert.deepEqual(
      nft
        .table(wanted)
        ?.sets.map(({ name, elements }) => [name, elements])
        .sort(),
      wanted.sets.map(({ name, elements }) => [name, elements]).sort(),
    );
  });
}
