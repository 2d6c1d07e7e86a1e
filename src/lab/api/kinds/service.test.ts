import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { at, type Fields, type KubeObject } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { createApiServer } from "../server.ts";
import type { Store } from "../store.ts";

function makeStore(context: TestContext, dualStack = false): Store {
  const clusterCidrs = ["10.244.0.0/16"];
  const serviceCidrs = dualStack ? ["10.96.0.0/16", "fd00:10:96::/112"] : ["10.96.0.0/16"];
  const server = createApiServer({ clusterCidrs, serviceCidrs });
  context.after(() => server.close());
  return server.store;
}

const PORTS = [{ port: 80 }];

function create(store: Store, name: string, spec: Fields): KubeObject {
  const object = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { selector: { a: "b" }, ports: PORTS, ...spec },
  };
  return store.create(object);
}

function change(store: Store, name: string, spec: Fields): KubeObject {
  return store.modify("services", "default", name, (draft) =>
    Object.assign(draft, { spec: { ...(draft["spec"] as Fields), ...spec } }),
  );
}

const refusal = (code: number, text: RegExp) => (error: unknown) =>
  error instanceof StatusError && error.code === code && text.test(error.message);

test("Service: what is left out is filled in", (context) => {
  const service = create(makeStore(context), "web", {});
  assert.deepEqual(service["spec"], {
    selector: { a: "b" },
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    type: "ClusterIP",
    sessionAffinity: "None",
    internalTrafficPolicy: "Cluster",
    ipFamilyPolicy: "SingleStack",
    ipFamilies: ["IPv4"],
    // The lower 256 addresses are left to Services that ask for one.
    clusterIPs: ["10.96.1.0"],
    clusterIP: "10.96.1.0",
  });
});

test("Service: default/kubernetes has the first address", (context) => {
  assert.equal(at(makeStore(context).get("services", "default", "kubernetes"), "spec", "clusterIP"), "10.96.0.1");
});

test("Service: an address asked for is given, once", (context) => {
  const store = makeStore(context);
  assert.equal(at(create(store, "dns", { clusterIP: "10.96.0.10" }), "spec", "clusterIPs", "0"), undefined);
  assert.throws(() => create(store, "again", { clusterIP: "10.96.0.10" }), refusal(422, /already allocated/));
  assert.throws(() => create(store, "outside", { clusterIP: "10.97.0.1" }), refusal(422, /not in the valid range/));
  assert.throws(() => create(store, "garbage", { clusterIP: "x" }), refusal(422, /valid IP address/));
  store.delete("services", "default", "dns");
  assert.equal(at(create(store, "again", { clusterIP: "10.96.0.10" }), "spec", "clusterIP"), "10.96.0.10");
});

test("Service: a small range runs out with a clear answer", (context) => {
  const server = createApiServer({ clusterCidrs: [], serviceCidrs: ["10.96.0.0/30"] });
  context.after(() => server.close());
  assert.equal(at(create(server.store, "last", {}), "spec", "clusterIP"), "10.96.0.2");
  assert.throws(() => create(server.store, "more", {}), refusal(422, /range is full/));
});

const TYPES: readonly { name: string; spec: Fields; wanted: Fields }[] = [
  {
    name: "headless",
    spec: { clusterIP: "None" },
    wanted: { clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"] },
  },
  {
    name: "headless without selector",
    spec: { clusterIP: "None", selector: undefined },
    wanted: { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv4", "IPv6"] },
  },
  {
    name: "external name",
    spec: { type: "ExternalName", externalName: "a.example", ports: undefined },
    wanted: { clusterIP: undefined, internalTrafficPolicy: undefined },
  },
  {
    name: "client affinity",
    spec: { sessionAffinity: "ClientIP" },
    wanted: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } } },
  },
  { name: "node port", spec: { type: "NodePort" }, wanted: { externalTrafficPolicy: "Cluster" } },
  {
    name: "local load balancer",
    spec: { type: "LoadBalancer", externalTrafficPolicy: "Local" },
    wanted: { allocateLoadBalancerNodePorts: true, healthCheckNodePort: 30087 },
  },
];

for (const { name, spec, wanted } of TYPES) {
  test(`Service: ${name}`, (context) => {
    const service = create(makeStore(context), "web", spec);
    for (const [field, value] of Object.entries(wanted)) assert.deepEqual(at(service, "spec", field), value, field);
  });
}

test("Service: node ports are given, kept, checked and let go", (context) => {
  const store = makeStore(context);
  const nodePort = (service: KubeObject | undefined) => at((at(service, "spec", "ports") as unknown[])[0], "nodePort");
  assert.equal(nodePort(create(store, "a", { type: "NodePort" })), 30086);
  assert.equal(nodePort(create(store, "b", { type: "NodePort", ports: [{ port: 80, nodePort: 32000 }] })), 32000);
  assert.throws(
    () => create(store, "c", { type: "NodePort", ports: [{ port: 80, nodePort: 32000 }] }),
    refusal(422, /already allocated/),
  );
  assert.throws(
    () => create(store, "c", { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] }),
    refusal(422, /valid range/),
  );
  assert.equal(nodePort(change(store, "a", { ports: [{ port: 80, targetPort: 8080 }] })), 30086);
  assert.equal(nodePort(change(store, "b", { type: "ClusterIP" })), undefined);
  assert.equal(nodePort(create(store, "c", { type: "NodePort", ports: [{ port: 80, nodePort: 32000 }] })), 32000);
});

test("Service: TCP and UDP of one port share a node port", (context) => {
  const ports = [
    { name: "t", port: 53 },
    { name: "u", port: 53, protocol: "UDP" },
  ];
  const service = create(makeStore(context), "dns", { type: "NodePort", ports });
  const [first, second] = (at(service, "spec", "ports") as unknown[]).map((port) => at(port, "nodePort"));
  assert.equal(first, second);
});

test("Service: the address stays, also when a replacement does not name it", (context) => {
  const store = makeStore(context);
  const ip = at(create(store, "a", {}), "spec", "clusterIP");
  assert.equal(at(change(store, "a", { clusterIP: undefined, clusterIPs: undefined }), "spec", "clusterIP"), ip);
  assert.throws(
    () => change(store, "a", { clusterIP: "10.96.0.99", clusterIPs: ["10.96.0.99"] }),
    refusal(422, /may not change once set/),
  );
  assert.equal(
    at(change(store, "a", { type: "ExternalName", externalName: "x.example" }), "spec", "clusterIP"),
    undefined,
  );
});

test("Service: dual stack", (context) => {
  const store = makeStore(context, true);
  assert.deepEqual(at(create(store, "single", {}), "spec", "ipFamilies"), ["IPv4"]);
  const both = create(store, "both", { ipFamilyPolicy: "PreferDualStack" });
  assert.deepEqual(at(both, "spec", "clusterIPs"), ["10.96.1.1", "fd00:10:96::100"]);
  const six = create(store, "six", { ipFamilies: ["IPv6"] });
  assert.deepEqual(at(six, "spec", "clusterIPs"), ["fd00:10:96::101"]);
  const grown = change(store, "single", { ipFamilyPolicy: "RequireDualStack", ipFamilies: undefined });
  assert.equal((at(grown, "spec", "clusterIPs") as unknown[]).length, 2);
  assert.throws(() => create(store, "odd", { ipFamilies: ["IPv4", "IPv6"] }), refusal(422, /ipFamilyPolicy/));
});

test("Service: a health check port is given under policy Local, kept, and let go under Cluster", (context) => {
  const store = makeStore(context);
  const port = (service: KubeObject) => at(service, "spec", "healthCheckNodePort");
  const given = port(create(store, "a", { type: "LoadBalancer", externalTrafficPolicy: "Local" }));
  assert.equal(typeof given, "number");
  assert.equal(port(change(store, "a", { healthCheckNodePort: undefined, internalTrafficPolicy: "Local" })), given);
  const ask = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: given };
  assert.throws(() => create(store, "b", ask), refusal(422, /already allocated/));
  assert.equal(port(change(store, "a", { externalTrafficPolicy: "Cluster" })), undefined);
  assert.equal(port(create(store, "b", ask)), given);
});

test("Service: the type changes from name to address to node port and back", (context) => {
  const store = makeStore(context);
  create(store, "a", { type: "ExternalName", externalName: "a.example" });
  const plain = change(store, "a", { type: "ClusterIP", externalName: undefined });
  const ip = at(plain, "spec", "clusterIP");
  assert.match(String(ip), /^10\.96\./);
  const nodePort = (service: KubeObject) => at((at(service, "spec", "ports") as unknown[])[0], "nodePort");
  const opened = change(store, "a", { type: "NodePort" });
  assert.deepEqual([at(opened, "spec", "clusterIP"), typeof nodePort(opened)], [ip, "number"]);
  const named = change(store, "a", { type: "ExternalName", externalName: "a.example" });
  assert.deepEqual([at(named, "spec", "clusterIP"), nodePort(named)], [undefined, undefined]);
  const taken = { type: "NodePort", clusterIP: ip, ports: [{ port: 80, nodePort: nodePort(opened) }] };
  assert.deepEqual(nodePort(create(store, "b", taken)), nodePort(opened), "both were let go");
});

test("Service: clusterIPs are in the order of ipFamilies", (context) => {
  const both = { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6", "IPv4"] };
  const service = create(makeStore(context, true), "a", both);
  assert.deepEqual(at(service, "spec", "clusterIPs"), ["fd00:10:96::100", "10.96.1.0"]);
  assert.equal(at(service, "spec", "clusterIP"), "fd00:10:96::100");
});

const setIngress = (store: Store, ingress: unknown): KubeObject =>
  store.modify(
    "services",
    "default",
    "web",
    (draft) => Object.assign(draft, { status: { loadBalancer: { ingress } } }),
    { subresource: "status" },
  );

test("Service: a load balancer reports its addresses in the status; they go with the type", (context) => {
  const store = makeStore(context);
  create(store, "web", { type: "LoadBalancer" });
  const ingress = [{ ip: "198.51.100.1" }, { ip: "198.51.100.2", ipMode: "Proxy" }, { hostname: "lb.example" }];
  const [first, ...others] = ingress;
  assert.deepEqual(at(setIngress(store, ingress), "status", "loadBalancer", "ingress"), [
    { ...first, ipMode: "VIP" },
    ...others,
  ]);
  assert.equal((at(change(store, "web", {}), "status", "loadBalancer", "ingress") as unknown[]).length, 3);
  assert.deepEqual(at(change(store, "web", { type: "ClusterIP" }), "status", "loadBalancer"), {});
  assert.throws(() => setIngress(store, ingress), refusal(422, /may only be used when `spec.type` is "LoadBalancer"/));
});

const BAD_INGRESS: readonly (readonly [unknown, RegExp])[] = [
  [{ ip: "198.51.100.300" }, /ingress\[0\]\.ip: .*must be a valid IP address/],
  [{ ip: "198.51.100.1", ipMode: "Odd" }, /ingress\[0\]\.ipMode: Unsupported value: "Odd"/],
  [{ hostname: "lb", ipMode: "VIP" }, /ipMode: Forbidden: may not be specified when `ip` is not set/],
  [{ hostname: "198.51.100.1" }, /hostname: .*must be a DNS name/],
];

for (const [ingress, text] of BAD_INGRESS) {
  test(`Service: refuses a load balancer's ${JSON.stringify(ingress)}`, (context) => {
    const store = makeStore(context);
    create(store, "web", { type: "LoadBalancer" });
    assert.throws(() => setIngress(store, [ingress]), refusal(422, text));
  });
}

test("Service: source ranges are those of a load balancer, as a field or as the annotation", (context) => {
  const store = makeStore(context);
  const annotated = (name: string, type: string, ranges: string) =>
    store.create({
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name,
        namespace: "default",
        annotations: { "service.beta.kubernetes.io/load-balancer-source-ranges": ranges },
      },
      spec: { type, selector: { a: "b" }, ports: PORTS },
    });
  create(store, "a", { type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0/8", " fd00::/64"] });
  annotated("b", "LoadBalancer", "10.0.0.0/8, 192.168.0.0/16");
  assert.throws(() => annotated("c", "ClusterIP", "10.0.0.0/8"), refusal(422, /when `type` is 'LoadBalancer'/));
  assert.throws(() => annotated("c", "LoadBalancer", "10.0.0.0/33"), refusal(422, /must be a valid CIDR value/));
});

const INVALID: readonly { name: string; spec: Fields; text: RegExp }[] = [
  { name: "no ports", spec: { ports: [] }, text: /spec\.ports: Required value/ },
  { name: "a port of 0", spec: { ports: [{ port: 0 }] }, text: /spec\.ports\[0\]\.port/ },
  {
    name: "two ports without names",
    spec: { ports: [{ port: 1 }, { port: 2 }] },
    text: /spec\.ports\[0\]\.name: Required value/,
  },
  { name: "an unknown type", spec: { type: "Frob" }, text: /Unsupported value: "Frob"/ },
  {
    name: "an unknown protocol",
    spec: { ports: [{ port: 1, protocol: "ICMP" }] },
    text: /supported values: "TCP", "UDP", "SCTP"/,
  },
  {
    name: "dual stack on a single-stack cluster",
    spec: { ipFamilyPolicy: "RequireDualStack" },
    text: /not configured for dual-stack/,
  },
  { name: "a headless node port", spec: { clusterIP: "None", type: "NodePort" }, text: /may not be set to 'None'/ },
  { name: "no external name", spec: { type: "ExternalName" }, text: /spec\.externalName: Required value/ },
  {
    name: "source ranges of no load balancer",
    spec: { loadBalancerSourceRanges: ["10.0.0.0/8"] },
    text: /spec\.loadBalancerSourceRanges: Forbidden/,
  },
  {
    name: "source ranges that are none",
    spec: { type: "LoadBalancer", loadBalancerSourceRanges: ["10.0.0.0"] },
    text: /spec\.loadBalancerSourceRanges\[0\]: .*must be a valid CIDR value/,
  },
  {
    name: "a health check port of no local load balancer",
    spec: { type: "LoadBalancer", healthCheckNodePort: 32100 },
    text: /spec\.healthCheckNodePort: .*may only be set when/,
  },
  {
    name: "an unknown traffic distribution",
    spec: { trafficDistribution: "PreferFar" },
    text: /supported values: "PreferClose", "PreferSameNode", "PreferSameZone"/,
  },
  { name: "a loopback external address", spec: { externalIPs: ["127.0.0.1"] }, text: /loopback range/ },
  { name: "an external address that is none", spec: { externalIPs: ["x"] }, text: /must be a valid IP address/ },
  { name: "external traffic nowhere", spec: { externalTrafficPolicy: "Local" }, text: /externally-accessible/ },
];

for (const { name, spec, text } of INVALID) {
  test(`Service: refuses ${name}`, (context) => {
    assert.throws(() => create(makeStore(context), "web", spec), refusal(422, text));
  });
}
