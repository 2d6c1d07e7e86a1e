import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabPod, parseLabPod } from "./pod-object.ts";
import { capabilitiesOf } from "./pod-sandbox.ts";

function pod(spec: object, annotations: object = {}): LabPod {
  const parsed = parseLabPod({ metadata: { name: "p", namespace: "n", uid: "u", annotations }, spec });
  assert.ok(parsed);
  return parsed;
}

test("capabilitiesOf() names host ports with their address and protocol, of sidecars too, and leaves out others", () => {
  const ports = [
    { containerPort: 80, hostPort: 8080, hostIP: "192.168.1.11" },
    { containerPort: 80, hostPort: 8080, protocol: "UDP" },
    { containerPort: 81 },
    { containerPort: 82, hostPort: 0 },
  ];
  const initContainers = [
    { name: "once", ports: [{ containerPort: 1, hostPort: 1 }] },
    { name: "beside", restartPolicy: "Always", ports: [{ containerPort: 15, hostPort: 15 }] },
  ];
  assert.deepEqual(capabilitiesOf(pod({ initContainers, containers: [{ name: "c", ports }] })), {
    portMappings: [
      { hostPort: 15, containerPort: 15, protocol: "tcp" },
      { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "192.168.1.11" },
      { hostPort: 8080, containerPort: 80, protocol: "udp" },
    ],
  });
});

test("capabilitiesOf() of a plain pod is nothing, and of a limited one its rates", () => {
  assert.deepEqual(capabilitiesOf(pod({})), {});
  assert.deepEqual(capabilitiesOf(pod({}, { "kubernetes.io/ingress-bandwidth": "1M" })), {
    bandwidth: { ingressRate: 1_000_000, ingressBurst: 2147483647 },
  });
});
