import assert from "node:assert/strict";
import { test } from "node:test";
import { hostIfname } from "../plan/pods.ts";
import { readCounters, reportPodMtu } from "./pod-mtu.ts";
import { attachment, NodeRig } from "./testing/node-rig.ts";

const pod = attachment(1);
const name = "default/pod1";

/** A node whose last round has no pod yet, and one that is attached since. */
async function attached(rig: NodeRig) {
  rig.host.addNamespace(pod.netns);
  await rig.start();
  await rig.network.attach(pod);
  return rig.network.pods();
}

test("a pod is reported and counted as soon as it is attached: no round has to come first", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const pods = await attached(rig);
  assert.deepEqual(rig.reconciler.status.state?.pods, [], "the plan in force does not have it");
  const sources = { kernel: rig.kernel, mirror: rig.mirror, pmtuCache: { list: () => [], flush: () => undefined } };
  const report = reportPodMtu(sources, pods, { name, plannedBytes: 1450 });
  assert.deepEqual(
    [report?.pod, report?.plannedBytes, report?.device, report?.hostDevice],
    [name, 1450, { name: "eth0", mtuBytes: 1450 }, { name: hostIfname(pod.containerId, pod.ifname), mtuBytes: 1450 }],
  );
  assert.deepEqual(Object.keys(readCounters(rig.kernel, pods)), ["", name]);
  assert.equal(reportPodMtu(sources, pods, { name: "default/other", plannedBytes: 1450 }), undefined);
});
