import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabPod } from "./pod-object.ts";

const metadata = { name: "p", namespace: "ns", uid: "u1" };

test("parseLabPod() reads commands with their arguments, ports, environment and probes", () => {
  const pod = parseLabPod({
    metadata: { ...metadata, annotations: { "kubernetes.io/egress-bandwidth": "10M" } },
    spec: {
      restartPolicy: "OnFailure",
      readinessGates: [{ conditionType: "ready.example.com" }],
      containers: [
        {
          name: "c",
          image: "x",
          command: ["sh", "-c"],
          args: ["sleep 1"],
          env: [{ name: "A", value: "1" }, { name: "B" }],
          ports: [
            { name: "web", containerPort: 80, hostPort: 8080 },
            { containerPort: 53, protocol: "UDP" },
          ],
          readinessProbe: { httpGet: { port: "web", path: "/ok" }, periodSeconds: 2 },
        },
      ],
    },
    status: { conditions: [{ type: "ready.example.com", status: "True" }] },
  });
  assert.deepEqual(pod?.containers, [
    {
      name: "c",
      image: "x",
      command: ["sh", "-c", "sleep 1"],
      env: { A: "1", B: "" },
      ports: [
        { port: 80, protocol: "TCP", hostPort: 8080 },
        { port: 53, protocol: "UDP" },
      ],
      workingDir: undefined,
      startup: undefined,
      readiness: {
        check: { type: "http", port: 80, path: "/ok" },
        periodSeconds: 2,
        initialDelaySeconds: 0,
        timeoutSeconds: 1,
        successThreshold: 1,
        failureThreshold: 3,
      },
      liveness: undefined,
      preStop: undefined,
      sidecar: false,
    },
  ]);
  assert.deepEqual(
    [pod?.restartPolicy, pod?.bandwidth, pod?.readinessGates],
    ["OnFailure", { egressRate: 10_000_000 }, ["ready.example.com"]],
  );
  assert.equal(pod?.conditions.get("ready.example.com"), true);
});

test("parseLabPod() reads init containers, sidecars, liveness, preStop and host addresses", () => {
  const pod = parseLabPod({
    metadata,
    spec: {
      initContainers: [
        { name: "wait", image: "x", command: ["sleep"], args: ["1"] },
        { name: "proxy", image: "x", restartPolicy: "Always", startupProbe: { tcpSocket: { port: 15 } } },
      ],
      containers: [
        {
          name: "c",
          image: "x",
          args: ["netexec"],
          ports: [{ containerPort: 80, hostPort: 8080, hostIP: "192.168.1.11" }],
          livenessProbe: { tcpSocket: { port: 80 }, failureThreshold: 1, successThreshold: 1 },
          lifecycle: { preStop: { sleep: { seconds: 3 } } },
        },
        { name: "d", image: "x", lifecycle: { preStop: { exec: { command: ["sync"] } } } },
      ],
    },
  });
  assert.deepEqual(
    pod?.initContainers.map(({ name, command, sidecar, startup }) => [name, command, sidecar, startup?.check]),
    [
      ["wait", ["sleep", "1"], false, undefined],
      ["proxy", [], true, { type: "tcp", port: 15 }],
    ],
  );
  const [first, second] = pod?.containers ?? [];
  assert.deepEqual(first?.command, [], "arguments alone are for the image's own program");
  assert.deepEqual(first?.ports, [{ port: 80, protocol: "TCP", hostPort: 8080, hostIP: "192.168.1.11" }]);
  assert.deepEqual(first?.liveness?.check, { type: "tcp", port: 80 });
  assert.deepEqual(first?.preStop, { type: "sleep", seconds: 3 });
  assert.deepEqual(second?.preStop, { type: "exec", command: ["sync"] });
});

for (const [given, seconds, lingers] of [
  [undefined, 30, false],
  [30, 30, false],
  [100, 100, true],
  [0, 0, true],
] as const) {
  test(`parseLabPod() takes a grace period of ${given} as ${seconds} s, answering on: ${lingers}`, () => {
    const pod = parseLabPod({ metadata, spec: { terminationGracePeriodSeconds: given } });
    assert.deepEqual([pod?.graceSeconds, pod?.lingers], [seconds, lingers]);
  });
}

test("parseLabPod() tells a pod that is over from one that is not", () => {
  const over = (phase: string) => parseLabPod({ metadata, status: { phase } })?.over;
  assert.deepEqual(["Pending", "Running", "Succeeded", "Failed"].map(over), [false, false, true, true]);
});

test("parseLabPod() takes a bare pod, and tells one that is being deleted", () => {
  const pod = parseLabPod({
    metadata: { ...metadata, deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 5 },
  });
  assert.deepEqual([pod?.deleting, pod?.graceSeconds, pod?.containers, pod?.hostNetwork], [true, 5, [], false]);
});

for (const [text, rate] of [
  ["1k", 1000],
  ["1.5M", 1_500_000],
  ["1Ki", 1024],
  ["7", 7],
  ["-1M", undefined],
  ["fast", undefined],
  ["1m", undefined],
] as const) {
  test(`parseLabPod() reads a bandwidth of "${text}" as ${rate}`, () => {
    const annotations = { "kubernetes.io/ingress-bandwidth": text };
    assert.equal(parseLabPod({ metadata: { ...metadata, annotations } })?.bandwidth.ingressRate, rate);
  });
}

test("parseLabPod() gives nothing for an object without name, namespace or uid", () => {
  for (const missing of ["name", "namespace", "uid"]) {
    assert.equal(parseLabPod({ metadata: { ...metadata, [missing]: undefined } }), undefined, missing);
  }
});
