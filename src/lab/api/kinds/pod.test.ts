import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { at, type Fields, type KubeObject, listOf } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { createApiServer } from "../server.ts";
import type { Store } from "../store.ts";
import { pod } from "../test-server.ts";
import { POD_PRINTER } from "./pod-printer.ts";

function makeStore(context: TestContext): Store {
  const server = createApiServer({ clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"] });
  context.after(() => server.close());
  return server.store;
}

function create(store: Store, spec: Fields = {}): KubeObject {
  const metadata = { name: "a", namespace: "default" };
  return store.create({ ...pod("a", { spec }), apiVersion: "v1", kind: "Pod", metadata });
}

test("Pod: what is left out is filled in", (context) => {
  const spec = create(makeStore(context), { containers: [{ name: "c", image: "x", ports: [{ containerPort: 80 }] }] })[
    "spec"
  ];
  const wanted: Fields = {
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    terminationGracePeriodSeconds: 30,
    schedulerName: "default-scheduler",
    serviceAccountName: "default",
    securityContext: {},
  };
  for (const [field, value] of Object.entries(wanted)) assert.deepEqual(at(spec, field), value, field);
  const [container] = listOf(at(spec, "containers"));
  assert.deepEqual(at(container, "ports"), [{ containerPort: 80, protocol: "TCP" }]);
  assert.equal(at(container, "imagePullPolicy"), "Always");
});

const INVALID: readonly { name: string; spec: Fields; text: RegExp }[] = [
  { name: "no containers", spec: { containers: [] }, text: /spec\.containers: Required value/ },
  { name: "no image", spec: { containers: [{ name: "c" }] }, text: /spec\.containers\[0\]\.image: Required value/ },
  {
    name: "no container name",
    spec: { containers: [{ image: "x" }] },
    text: /spec\.containers\[0\]\.name: Required value/,
  },
  {
    name: "twin containers",
    spec: {
      containers: [
        { name: "c", image: "x" },
        { name: "c", image: "x" },
      ],
    },
    text: /Duplicate value: "c"/,
  },
  {
    name: "port 70000",
    spec: { containers: [{ name: "c", image: "x", ports: [{ containerPort: 70000 }] }] },
    text: /between 1 and 65535/,
  },
  { name: "an unknown restart policy", spec: { restartPolicy: "Sometimes" }, text: /Unsupported value: "Sometimes"/ },
  {
    name: "a mount of no volume",
    spec: { containers: [{ name: "c", image: "x", volumeMounts: [{ name: "v", mountPath: "/v" }] }] },
    text: /Not found: "v"/,
  },
];

for (const { name, spec, text } of INVALID) {
  test(`Pod: refuses ${name}`, (context) => {
    assert.throws(
      () => create(makeStore(context), spec),
      (error) => error instanceof StatusError && error.code === 422 && text.test(error.message),
    );
  });
}

test("Pod: the image may change, the rest of the spec may not", (context) => {
  const store = makeStore(context);
  create(store);
  const edit = (change: (spec: Fields) => void) =>
    store.modify("pods", "default", "a", (draft) => change(draft["spec"] as Fields));
  const renewed = edit((spec) =>
    Object.assign(spec, { containers: [{ ...(listOf(spec["containers"])[0] as Fields), image: "x:2" }] }),
  );
  assert.equal(renewed.metadata.generation, 2);
  assert.throws(
    () => edit((spec) => Object.assign(spec, { hostname: "b" })),
    /pod updates may not change fields other than.*spec\.hostname/,
  );
  assert.throws(() => edit((spec) => Object.assign(spec, { nodeName: "node1" })), /Forbidden/);
});

test("Pod: one that runs stays until its kubelet deletes it with grace 0", (context) => {
  const store = makeStore(context);
  create(store, { nodeName: "node1", terminationGracePeriodSeconds: 7 });
  store.delete("pods", "default", "a");
  const going = store.get("pods", "default", "a");
  assert.equal(going?.metadata.deletionGracePeriodSeconds, 7);
  assert.ok(going?.metadata.deletionTimestamp);
  const version = store.resourceVersion;
  store.delete("pods", "default", "a");
  assert.equal(store.resourceVersion, version, "asking again changes nothing");
  store.delete("pods", "default", "a", { gracePeriodSeconds: 2 });
  assert.equal(store.get("pods", "default", "a")?.metadata.deletionGracePeriodSeconds, 2);
  store.delete("pods", "default", "a", { gracePeriodSeconds: 0 });
  assert.equal(store.get("pods", "default", "a"), undefined);
});

test("Pod: one that nobody runs goes at once", (context) => {
  const store = makeStore(context);
  create(store);
  store.delete("pods", "default", "a");
  assert.equal(store.get("pods", "default", "a"), undefined);
});

const running = { name: "c", ready: true, restartCount: 0, state: { running: {} } };
const STATUS: readonly { name: string; status: Fields; metadata?: Fields; ready: string; word: string }[] = [
  { name: "pending", status: { phase: "Pending" }, ready: "0/1", word: "Pending" },
  { name: "running", status: { phase: "Running", containerStatuses: [running] }, ready: "1/1", word: "Running" },
  {
    name: "crashing",
    status: {
      phase: "Running",
      containerStatuses: [{ ...running, ready: false, state: { waiting: { reason: "CrashLoopBackOff" } } }],
    },
    ready: "0/1",
    word: "CrashLoopBackOff",
  },
  {
    name: "failed",
    status: {
      phase: "Failed",
      containerStatuses: [{ ...running, ready: false, state: { terminated: { exitCode: 3 } } }],
    },
    ready: "0/1",
    word: "ExitCode:3",
  },
  {
    name: "completed",
    status: {
      phase: "Succeeded",
      containerStatuses: [{ ...running, ready: false, state: { terminated: { reason: "Completed" } } }],
    },
    ready: "0/1",
    word: "Completed",
  },
  {
    name: "going",
    status: { phase: "Running", containerStatuses: [running] },
    metadata: { deletionTimestamp: "2025-01-01T00:00:00Z" },
    ready: "1/1",
    word: "Terminating",
  },
  {
    name: "initializing",
    status: { phase: "Pending", initContainerStatuses: [{ state: { running: {} } }] },
    ready: "0/1",
    word: "Init:0/0",
  },
];

for (const { name, status, metadata, ready, word } of STATUS) {
  test(`POD_PRINTER: a Pod that is ${name}`, () => {
    const object = { ...pod("a"), metadata: { name: "a", ...metadata }, status } as unknown as KubeObject;
    assert.deepEqual(POD_PRINTER.cells(object, new Date()).slice(1, 3), [ready, word]);
  });
}
