/**
 * However a node came to its Services, it has what a fresh start with them gives: sequences replayed backwards, in small
 * steps, with states left out, repeated, emptied in between, with the agent killed between any two, and under failures.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterService, serviceKey } from "../../model/service.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { type Random, randomCluster, randomNumbers } from "../../plan/services/testing/random-services.ts";
import { freshTables, NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const web = aService();
const nodePort = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const balanced = aService({
  type: "LoadBalancer",
  ports: [{ ...tcp80, nodePort: 30080 }],
  loadBalancerIps: ["203.0.113.9"],
  externalPolicy: "Local",
  healthCheckNodePort: 32000,
});
const six = { ...web, clusterIps: ["10.96.0.10", "fd00:10:96::a"] };
const at = (...numbers: number[]) =>
  aSlice(numbers.map((n) => anEndpoint(`10.244.${n > 50 ? 2 : 1}.${n}`, { nodeName: n > 50 ? "node2" : "node1" })));
const at6 = (...numbers: number[]) =>
  aSlice(
    numbers.map((n) => anEndpoint(`fd00:10:244:1::${n}`)),
    { name: "web-6" },
  );
const state = (service: ClusterService, ...slices: ServiceState["slices"]): ServiceState => ({
  services: [service],
  slices,
});
const claims = (name: string, createdAt: string, clusterIp: string) =>
  aService({ name, createdAt, clusterIps: [clusterIp], externalIps: ["198.51.100.7"] });
const [older, younger] = [
  claims("older", "2026-01-01T00:00:00Z", "10.96.0.11"),
  claims("younger", "2026-01-02T00:00:00Z", "10.96.0.12"),
];
const twenty = Array.from({ length: 20 }, (_, i) => i + 1);

const sequences: Readonly<Record<string, readonly ServiceState[]>> = {
  "endpoints come and go": [
    state(web, at(5)),
    state(web, at(5, 6, 7)),
    state(web, at(6, 7, 8)),
    state(web, at(8)),
    state(web),
    state(web, at(9, 10)),
  ],
  "more endpoints than there are chains for, and fewer again": [
    state(web, at(...twenty)),
    state(web, at(...twenty.slice(0, 18))),
    state(web, at(3)),
    state(web, at(...twenty.slice(1))),
  ],
  "the type changes": [
    state(web, at(5)),
    state(nodePort, at(5)),
    state(balanced, at(5)),
    state({ ...web, type: "ExternalName", clusterIps: [] }, at(5)),
    state(web, at(5)),
  ],
  "policies change": [
    state(balanced, at(5, 60)),
    state({ ...balanced, externalPolicy: "Cluster" }, at(5, 60)),
    state({ ...balanced, internalPolicy: "Local" }, at(60)),
    state(balanced, at(60)),
    state({ ...balanced, internalPolicy: "Local" }, at(5)),
  ],
  "affinity and ranges come and go": [
    state({ ...balanced, affinitySeconds: 10 }, at(5, 6)),
    state({ ...balanced, affinitySeconds: 20, sourceRanges: ["10.0.0.0/8"] }, at(5, 6)),
    state({ ...balanced, sourceRanges: ["10.1.0.0/16", "192.168.0.0/16"] }, at(5)),
    state(balanced, at(5)),
  ],
  "affinity over IPv6 comes and goes": [
    state({ ...six, affinitySeconds: 10 }, at6(5, 6, 7)),
    state({ ...six, affinitySeconds: 10 }, at6(6, 7)),
    state({ ...six, affinitySeconds: 20, externalIps: ["2001:db8::7"], externalPolicy: "Local" }, at6(7, 8)),
    state(six, at6(8)),
    state({ ...six, affinitySeconds: 10 }, at(5), at6(...twenty)),
  ],
  "families come and go": [
    state(web, at(5)),
    state(six, at(5), at6(5)),
    state({ ...six, clusterIps: ["fd00:10:96::a"] }, at6(5, 6)),
    state(six, at(7)),
  ],
  "two Services claim one address": [
    { services: [younger], slices: [aSlice([anEndpoint("10.244.1.6")], { service: "younger" })] },
    {
      services: [younger, older],
      slices: [
        aSlice([anEndpoint("10.244.1.5")], { service: "older" }),
        aSlice([anEndpoint("10.244.1.6")], { service: "younger" }),
      ],
    },
    { services: [older], slices: [aSlice([anEndpoint("10.244.1.5")], { service: "older" })] },
    { services: [older, younger], slices: [] },
  ],
  "ports move between Services": [
    { services: [nodePort, aService({ name: "b", clusterIps: ["10.96.0.11"] })], slices: [at(5)] },
    {
      services: [
        web,
        aService({ name: "b", clusterIps: ["10.96.0.11"], type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] }),
      ],
      slices: [at(5), aSlice([anEndpoint("10.244.1.6")], { service: "b" })],
    },
    {
      services: [aService({ name: "b", clusterIps: ["10.96.0.10"] })],
      slices: [aSlice([anEndpoint("10.244.1.6")], { service: "b" })],
    },
  ],
};

type Expander = (states: readonly ServiceState[]) => ServiceState[];

/** Between two states: first the Services one by one, then the slices one by one. */
function smallSteps(from: ServiceState, to: ServiceState): ServiceState[] {
  const steps: ServiceState[] = [];
  let [services, slices] = [from.services, from.slices];
  for (const service of to.services) {
    services = [...services.filter((other) => serviceKey(other) !== serviceKey(service)), service];
    steps.push({ services, slices });
  }
  for (const slice of to.slices) {
    const isOther = ({ service, name }: typeof slice) => service !== slice.service || name !== slice.name;
    slices = [...slices.filter(isOther), slice];
    steps.push({ services, slices });
  }
  return [...steps, { services: to.services, slices }, to];
}

const expanders: Readonly<Record<string, Expander>> = {
  "as it is": (states) => [...states],
  reversed: (states) => states.toReversed(),
  "listed the other way round": (states) =>
    states.map(({ services, slices }) => ({ services: services.toReversed(), slices: slices.toReversed() })),
  "in small steps": (states) => states.flatMap((to, i) => smallSteps(states[i - 1] ?? NO_SERVICES, to)),
  "every second state left out": (states) => states.filter((_, i) => (states.length - 1 - i) % 2 === 0),
  "each state twice": (states) => states.flatMap((s) => [s, s]),
  "emptied in between": (states) => states.flatMap((s) => [NO_SERVICES, s]),
  "twice over": (states) => [...states, ...states],
};

/** How the states follow each other. */
const manners: Readonly<Record<string, (rig: ProxyRig, i: number) => Promise<void>>> = {
  "at once": async () => undefined,
  "after a rest": async (rig) => rig.settle(),
  "before the sweep": async (rig) => rig.elapse(700),
  "while transactions fail": async (rig, i) => {
    const errno = ["ENOBUFS", "EBUSY", "ENOENT"][i % 3] ?? "ENOMEM";
    rig.host.failures.fail({ operation: "commit", errno, applied: i % 4 === 0, times: 1 + (i % 2) });
    if (rig.config.ipvs !== undefined) rig.host.failures.fail({ operation: "ipvsChange", errno, applied: i % 3 === 0 });
    await rig.elapse(300);
  },
  "killed between any two": async (rig, i) => {
    if (i % 2 === 0) await rig.elapse(400);
    rig.restart();
  },
};

for (const [name, states] of Object.entries(sequences)) {
  for (const [how, expand] of Object.entries(expanders)) {
    for (const [manner, between] of Object.entries(manners)) {
      test(`a node serves as if it had started so: ${name}, ${how}, ${manner}`, async () => {
        using rig = new ProxyRig();
        // No server listens here.
        rig.context = { ...rig.context, nodePortAddresses: [] };
        const expanded = expand(states);
        rig.start(NO_SERVICES);
        for (const [i, next] of expanded.entries()) {
          rig.set(next);
          rig.clock.advance(3);
          await between(rig, i);
        }
        await rig.settle();
        rig.host.failures.clear();
        await rig.settle();
        assert.equal(rig.proxy.failure, undefined);
        const last = expanded.at(-1) ?? NO_SERVICES;
        assert.deepEqual(rig.tables(), await freshTables(last, rig.context));
        assert.deepEqual((await rig.proxy.verify()).differences, []);
        rig.operations();
        rig.restart();
        await rig.settle();
        assert.deepEqual(rig.commits(), [], "a restart changes nothing");
      });
    }
  }
}

/** A step of a random history: the API changes, time goes by, the kernel refuses, the agent dies, somebody interferes. */
async function randomStep(rig: ProxyRig, random: Random): Promise<ServiceState | undefined> {
  const dice = random(12);
  if (dice < 6) {
    const { services, slices } = randomCluster(random);
    rig.set({ services, slices });
    return { services, slices };
  }
  if (dice < 8) await rig.elapse([1, 5, 200, 1200][random(4)] ?? 1);
  else if (dice === 8) rig.restart();
  else if (dice === 9) rig.proxy.setNode({ ...rig.context, zone: `zone${1 + random(3)}`, nodePortAddresses: [] });
  else {
    const errno = ["ENOBUFS", "EBUSY", "ENOENT", "ENOMEM"][random(4)] ?? "ENOMEM";
    const operation = rig.config.ipvs === undefined || random(2) === 0 ? "commit" : "ipvsChange";
    rig.host.failures.fail({ operation, errno, applied: random(3) === 0, times: 1 + random(3) });
  }
  return undefined;
}

for (let seed = 1; seed <= 40; seed++) {
  test(`a node serves as if it had started so: 60 random steps, seed ${seed}`, async () => {
    const random = randomNumbers(seed);
    using rig = new ProxyRig();
    rig.context = { ...rig.context, nodePortAddresses: [] };
    let last = NO_SERVICES;
    rig.start(last);
    for (let step = 0; step < 60; step++) last = (await randomStep(rig, random)) ?? last;
    rig.host.failures.clear();
    rig.proxy.setNode(rig.context);
    await rig.settle();
    await rig.settle();
    assert.equal(rig.proxy.failure, undefined);
    assert.deepEqual(rig.tables(), await freshTables(last, rig.context));
    assert.deepEqual((await rig.proxy.verify()).differences, []);
    rig.operations();
    rig.restart();
    await rig.settle();
    assert.deepEqual(rig.commits(), []);
  });
}
