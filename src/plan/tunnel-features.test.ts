import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeInterface } from "../model/state.ts";
import { planTunnelFeatures } from "./tunnel-features.ts";

const eth0: NodeInterface = { name: "eth0", index: 2, mtuBytes: 1500, up: true, addresses: [] };

test("planTunnelFeatures() switches receive offload off behind whatever joined the segments before", () => {
  const table: [Partial<NodeInterface>, boolean, string][] = [
    [{ receiveOffload: true }, false, "eth0 gets segments joined"],
    [{ receiveOffload: false }, true, "eth0 joins no segments"],
    [{ kind: "bond", receiveOffload: true }, false, "eth0 gets segments joined"],
    [{ kind: "bond", receiveOffload: false }, true, "eth0 joins no segments"],
    [{ kind: "veth", receiveOffload: false }, false, "eth0 gets segments joined"],
    [{ kind: "veth" }, false, "eth0 gets segments joined"],
    // A kernel that says nothing of features is asked for none.
    [{}, false, "eth0 gets segments joined"],
  ];
  for (const [device, on, cause] of table) {
    assert.deepEqual(
      planTunnelFeatures({ ...eth0, ...device }),
      [{ device: "bwvxlan", name: "rx-gro", on, cause }],
      JSON.stringify(device),
    );
  }
});
