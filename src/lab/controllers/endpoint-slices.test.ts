import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Fields, listOf } from "../api/object/object.ts";
import { startLab, type TestLab } from "./test-lab.ts";

const web = { labels: { app: "web" }, spec: { nodeName: "node1" } };

const slices = (lab: TestLab, service = "web") =>
  lab.store.list("endpointslices", { namespace: "default", labelSelector: `kubernetes.io/service-name=${service}` });
const endpoints = (lab: TestLab) => slices(lab).flatMap((slice) => listOf(slice["endpoints"]));

test("EndpointSlices: a ready Pod is an endpoint with node, zone, target and named port", async (context) => {
  const lab = startLab(context);
  lab.node("node1", { metadata: { labels: { "topology.kubernetes.io/zone": "z1" } } });
  lab.service("web", {}, { labels: { team: "a" } });
  const { uid } = lab.pod("p", web).metadata;
  lab.run("p", "10.244.1.5");
  await lab.settle();
  const [slice, ...more] = slices(lab);
  assert.equal(more.length, 0);
  assert.deepEqual(slice?.["ports"], [{ name: "", port: 8080, protocol: "TCP" }]);
  assert.deepEqual(slice?.["endpoints"], [
    {
      addresses: ["10.244.1.5"],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: "node1",
      targetRef: { kind: "Pod", name: "p", namespace: "default", uid },
      zone: "z1",
    },
  ]);
  assert.deepEqual(slice?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  assert.equal(slice?.metadata.ownerReferences?.[0]?.name, "web");
  assert.ok(slice?.metadata.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"]);
  const mirror = lab.store.get("endpoints", "default", "web");
  assert.equal(at(listOf(at(listOf(mirror?.["subsets"])[0], "addresses"))[0], "ip"), "10.244.1.5");
});

const CONDITIONS: readonly { name: string; service?: Fields; ready: boolean; deleted?: boolean; wanted: boolean[] }[] =
  [
    { name: "ready", ready: true, wanted: [true, true, false] },
    { name: "not ready", ready: false, wanted: [false, false, false] },
    {
      name: "not ready, published all the same",
      service: { publishNotReadyAddresses: true },
      ready: false,
      wanted: [true, false, false],
    },
    { name: "terminating", ready: true, deleted: true, wanted: [false, true, true] },
    { name: "terminating and not ready", ready: false, deleted: true, wanted: [false, false, true] },
    {
      name: "terminating, published all the same",
      service: { publishNotReadyAddresses: true },
      ready: true,
      deleted: true,
      wanted: [true, true, true],
    },
  ];

for (const { name, service, ready, deleted, wanted } of CONDITIONS) {
  test(`EndpointSlices: ready, serving, terminating of a Pod that is ${name}`, async (context) => {
    const lab = startLab(context);
    lab.node("node1");
    lab.service("web", service);
    lab.pod("p", web);
    lab.run("p", "10.244.1.5", ready);
    if (deleted) lab.store.delete("pods", "default", "p");
    await lab.settle();
    const { conditions } = endpoints(lab)[0] as { conditions: Fields };
    assert.deepEqual([conditions["ready"], conditions["serving"], conditions["terminating"]], wanted);
  });
}

test("EndpointSlices: Pods without address, through, or with other labels are no endpoints", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web");
  for (const name of ["waiting", "over", "other"]) lab.pod(name, name === "other" ? { spec: web.spec } : web);
  lab.run("over", "10.244.1.6");
  lab.run("other", "10.244.1.7");
  lab.store.modify(
    "pods",
    "default",
    "over",
    (draft) => Object.assign(draft, { status: { ...(draft["status"] as Fields), phase: "Succeeded" } }),
    { subresource: "status" },
  );
  await lab.settle();
  const [slice, ...more] = slices(lab);
  assert.deepEqual(
    [slice?.["endpoints"], slice?.["ports"], more.length],
    [[], [], 0],
    "an empty slice stands for none",
  );
});

test("EndpointSlices: one slice an address family", async (context) => {
  const lab = startLab(context, {
    clusterCidrs: ["10.244.0.0/16", "fd00:10:244::/48"],
    serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"],
  });
  lab.node("node1");
  lab.service("web", { ipFamilyPolicy: "PreferDualStack" });
  lab.pod("p", web);
  lab.run("p", "10.244.1.5,fd00:10:244:1::5");
  await lab.settle();
  const found = slices(lab).map((slice) => [slice["addressType"], at(listOf(slice["endpoints"])[0], "addresses")]);
  assert.deepEqual(found.sort(), [
    ["IPv4", ["10.244.1.5"]],
    ["IPv6", ["fd00:10:244:1::5"]],
  ]);
});

test("EndpointSlices: Pods that name a port differently have slices of their own", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web");
  lab.pod("a", web);
  const ports = [{ name: "http", containerPort: 9090 }];
  lab.pod("b", { ...web, spec: { ...web.spec, containers: [{ name: "c", image: "x:1", ports }] } });
  lab.run("a", "10.244.1.5");
  lab.run("b", "10.244.1.6");
  await lab.settle();
  const found = slices(lab).map((slice) => [at(listOf(slice["ports"])[0], "port"), listOf(slice["endpoints"]).length]);
  assert.deepEqual(found.sort(), [
    [8080, 1],
    [9090, 1],
  ]);
});

test("EndpointSlices: headless Services are marked, host names are kept", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web", { clusterIP: "None" });
  lab.pod("p", { ...web, spec: { ...web.spec, hostname: "h", subdomain: "web" } });
  lab.run("p", "10.244.1.5");
  await lab.settle();
  assert.equal(slices(lab)[0]?.metadata.labels?.["service.kubernetes.io/headless"], "");
  assert.equal(at(endpoints(lab)[0], "hostname"), "h");
});

test("EndpointSlices: a Service's own headless label is not copied, and goes and comes with its address only", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  const label = { "service.kubernetes.io/headless": "" };
  lab.service("web", {}, { labels: { ...label, "service.kubernetes.io/service-proxy-name": "mesh" } });
  lab.pod("p", web);
  lab.run("p", "10.244.1.5");
  await lab.settle();
  const labels = () => slices(lab)[0]?.metadata.labels ?? {};
  assert.equal(labels()["service.kubernetes.io/headless"], undefined);
  assert.equal(labels()["service.kubernetes.io/service-proxy-name"], "mesh");
  lab.store.modify("services", "default", "web", (draft) => Object.assign(draft.metadata, { labels: {} }));
  await lab.settle();
  assert.equal(labels()["service.kubernetes.io/service-proxy-name"], undefined);
});

const ZONE = { forZones: [{ name: "z1" }] };
const HINTS: readonly { distribution: string; zone?: string; spec?: Fields; ready?: boolean; hints?: Fields }[] = [
  { distribution: "PreferClose", zone: "z1", hints: ZONE },
  { distribution: "PreferSameZone", zone: "z1", hints: ZONE },
  { distribution: "PreferSameNode", zone: "z1", hints: { ...ZONE, forNodes: [{ name: "node1" }] } },
  { distribution: "PreferSameNode", hints: { forNodes: [{ name: "node1" }] } },
  { distribution: "PreferSameZone", hints: undefined },
  { distribution: "PreferSameNode", zone: "z1", ready: false, hints: undefined },
  { distribution: "PreferSameZone", zone: "z1", ready: false, spec: { publishNotReadyAddresses: true }, hints: ZONE },
];

for (const { distribution, zone, spec, ready = true, hints } of HINTS) {
  const where = zone === undefined ? "without a zone" : "in a zone";
  test(`EndpointSlices: ${distribution} hints an endpoint ${where} ${ready ? "" : "that is not ready "}${spec === undefined ? "" : "but published "}as ${JSON.stringify(hints)}`, async (context) => {
    const lab = startLab(context);
    lab.node("node1", { metadata: { labels: zone === undefined ? {} : { "topology.kubernetes.io/zone": zone } } });
    lab.service("web", { trafficDistribution: distribution, ...spec });
    lab.pod("p", web);
    lab.run("p", "10.244.1.5", ready);
    await lab.settle();
    assert.deepEqual((endpoints(lab)[0] as Fields)["hints"], hints);
  });
}

test("EndpointSlices: hints come and go with trafficDistribution and follow the node's zone", async (context) => {
  const lab = startLab(context);
  const zone = "topology.kubernetes.io/zone";
  lab.node("node1", { metadata: { labels: { [zone]: "z1" } } });
  lab.service("web");
  lab.pod("p", web);
  lab.run("p", "10.244.1.5");
  const hints = async () => {
    await lab.settle();
    return (endpoints(lab)[0] as Fields)["hints"];
  };
  const distribute = (trafficDistribution: string | undefined) =>
    lab.store.modify("services", "default", "web", (draft) =>
      Object.assign(draft, { spec: { ...(draft["spec"] as Fields), trafficDistribution } }),
    );
  assert.equal(await hints(), undefined);
  distribute("PreferSameZone");
  assert.deepEqual(await hints(), { forZones: [{ name: "z1" }] });
  lab.store.modify("nodes", undefined, "node1", (draft) =>
    Object.assign(draft.metadata.labels ?? {}, { [zone]: "z2" }),
  );
  assert.deepEqual(await hints(), { forZones: [{ name: "z2" }] });
  distribute(undefined);
  assert.equal(await hints(), undefined);
});

test("EndpointSlices: an evicted Pod is no endpoint, published or not", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web", { publishNotReadyAddresses: true });
  lab.pod("p", web);
  lab.run("p", "10.244.1.5");
  await lab.settle();
  assert.equal(endpoints(lab).length, 1);
  lab.store.modify(
    "pods",
    "default",
    "p",
    (draft) => Object.assign(draft, { status: { ...(draft["status"] as Fields), phase: "Failed", reason: "Evicted" } }),
    { subresource: "status" },
  );
  await lab.settle();
  assert.deepEqual(endpoints(lab), []);
});

test("EndpointSlices: at most 100 endpoints a slice, and one change writes one slice", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web");
  for (let i = 0; i < 250; i++) {
    lab.pod(`p${i}`, web);
    lab.run(`p${i}`, `10.244.1.${i}`);
  }
  await lab.settle();
  assert.deepEqual(
    slices(lab)
      .map((slice) => listOf(slice["endpoints"]).length)
      .sort((a, b) => b - a),
    [100, 100, 50],
  );
  let writes = 0;
  lab.store.subscribe("endpointslices", () => writes++);
  lab.run("p7", "10.244.1.7", false);
  await lab.settle();
  assert.equal(writes, 1);
  lab.store.modify("pods", "default", "p7", (draft) => Object.assign(draft.metadata, { annotations: { x: "y" } }));
  await lab.settle();
  assert.equal(writes, 1, "what endpoints do not show writes nothing");
});

test("EndpointSlices: Services without selector are left alone", async (context) => {
  const lab = startLab(context);
  lab.service("web", { selector: undefined });
  const metadata = { name: "mine", namespace: "default", labels: { "kubernetes.io/service-name": "web" } };
  lab.store.create({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata,
    addressType: "IPv4",
    endpoints: [{ addresses: ["1.2.3.4"] }],
    ports: [],
  });
  await lab.settle();
  assert.deepEqual(
    slices(lab).map((slice) => slice.metadata.name),
    ["mine"],
  );
});

test("EndpointSlices: what is deleted or changed by hand is put right; a deleted Service takes its slices along", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.service("web");
  lab.pod("p", web);
  lab.run("p", "10.244.1.5");
  await lab.settle();
  const [slice] = slices(lab);
  lab.store.delete("endpointslices", "default", slice?.metadata.name ?? "");
  await lab.settle();
  assert.equal(endpoints(lab).length, 1);
  lab.store.modify("endpointslices", "default", slices(lab)[0]?.metadata.name ?? "", (draft) =>
    Object.assign(draft, { endpoints: [] }),
  );
  await lab.settle();
  assert.equal(endpoints(lab).length, 1);
  lab.store.delete("services", "default", "web");
  await lab.settle();
  assert.equal(slices(lab).length, 0);
});

test("Endpoints mirroring: hand-written Endpoints of a Service without selector become slices, and go with it", async (context) => {
  const lab = startLab(context);
  lab.service("web", { selector: undefined });
  const subsets = [{ addresses: [{ ip: "1.2.3.4" }], notReadyAddresses: [{ ip: "1.2.3.5" }], ports: [{ port: 8080 }] }];
  lab.store.create({ apiVersion: "v1", kind: "Endpoints", metadata: { name: "web", namespace: "default" }, subsets });
  await lab.settle();
  const [slice, ...more] = slices(lab);
  assert.equal(more.length, 0);
  assert.deepEqual(slice?.["endpoints"], [
    { addresses: ["1.2.3.4"], conditions: { ready: true } },
    { addresses: ["1.2.3.5"], conditions: { ready: false } },
  ]);
  assert.deepEqual(slice?.["ports"], [{ name: "", protocol: "TCP", port: 8080 }]);
  const version = lab.store.resourceVersion;
  lab.store.modify("services", "default", "web", (draft) => Object.assign(draft.metadata, { labels: { a: "b" } }));
  await lab.settle();
  assert.equal(Number(lab.store.resourceVersion) - Number(version), 1, "nothing is rewritten");
  lab.store.delete("endpoints", "default", "web");
  await lab.settle();
  assert.equal(slices(lab).length, 0);
});
