import assert from "node:assert/strict";
import { test } from "node:test";
import { POD_LINK_PREFIX } from "../model/marks.ts";
import { hostIfname, planPod } from "./pods.ts";
import { pod } from "./testing/scenarios.ts";

test("hostIfname() fits the kernel's 15 characters and differs by container and interface", () => {
  const names = new Set<string>();
  for (let i = 0; i < 2000; i++)
    names.add(hostIfname(`container${i}`, "eth0")).add(hostIfname(`container${i}`, "net1"));
  assert.equal(names.size, 4000);
  for (const name of names) assert.ok(name.startsWith(POD_LINK_PREFIX) && name.length <= 15, name);
  assert.equal(hostIfname("a", "eth0"), hostIfname("a", "eth0"));
});

test("planPod() routes each address to the pod's device and names its MAC", () => {
  const plan = planPod(pod(1, ["10.244.1.2", "fd00:10:244:1::2"]), 1450);
  const device = hostIfname("container1", "eth0");
  const cause = "Pod default/pod1";
  assert.deepEqual(plan.routes, [
    { destination: "10.244.1.2/32", device, onlink: false, cause },
    { destination: "fd00:10:244:1::2/128", device, onlink: false, cause },
  ]);
  assert.deepEqual(
    plan.neighbours.map(({ ip, mac }) => [ip, mac]),
    [
      ["10.244.1.2", plan.pod.podMac],
      ["fd00:10:244:1::2", plan.pod.podMac],
    ],
  );
  assert.deepEqual([plan.pod.hostIfname, plan.pod.mtuBytes], [device, 1450]);
});
