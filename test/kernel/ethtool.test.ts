/** Features of devices: the kernel in memory answers as the real one does, and both tell of a change with a link message. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { FakeHost } from "../../src/kernel/fake/host.ts";
import { type DeviceFeatures, openDeviceFeatures } from "../../src/kernel/genetlink/ethtool.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import type { RouteEvent, RouteTable } from "../../src/kernel/rtnetlink/types.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { type TestNamespace, testNamespace } from "./namespaces.ts";

interface Device {
  readonly routes: RouteTable;
  readonly features: DeviceFeatures;
  watch(listener: (events: RouteEvent[]) => void): Disposable;
}

const NODE = "/run/netns/node";
const GRO = "rx-gro";

function openFeatures(t: TestContext, ns: TestNamespace): DeviceFeatures {
  const features = ns.run(() => openDeviceFeatures());
  t.after(() => features[Symbol.dispose]());
  return features;
}

const kernels: Readonly<Record<string, (t: TestContext) => Device>> = {
  real: (t) => {
    const ns = testNamespace(t);
    const watch = (listener: (events: RouteEvent[]) => void) => ns.run(() => watchRoutes(listener));
    return { routes: ns.routes, features: openFeatures(t, ns), watch };
  },
  fake: () => {
    const host = new FakeHost();
    host.addNamespace(NODE);
    return host.kernel(NODE);
  },
};

/** A VXLAN device over one end of a veth pair. */
function addDevices(routes: RouteTable): void {
  const peer = { name: "u1", mac: "02:00:00:00:00:01", mtuBytes: 1500 };
  routes.createLink({ name: "u0", mtuBytes: 1500, up: true, kind: { type: "veth", peer } });
  const underlayIndex = routes.link("u0")?.index ?? 0;
  const vxlan = { vni: 7, local: "192.168.7.1", port: 4789, underlayIndex, learning: false, udpChecksum: false };
  routes.createLink({ name: "tunnel", mtuBytes: 1450, up: true, kind: { type: "vxlan", vxlan } });
}

for (const [name, open] of Object.entries(kernels)) {
  test(`DeviceFeatures reads and switches features (${name} kernel)`, (t) => {
    const { routes, features } = open(t);
    assert.equal(features.unavailable, undefined);
    addDevices(routes);
    const all = () => ["tunnel", "u0", "u1", "nosuch"].map((device) => features.read(device, GRO));
    assert.deepEqual(all(), [true, false, false, undefined]);
    features.write("tunnel", GRO, false);
    features.write("tunnel", GRO, false);
    features.write("u0", GRO, true);
    assert.deepEqual(all(), [false, true, false, undefined]);
    assert.equal(features.read("tunnel", "tx-generic-segmentation"), true, "nothing else has changed");
    features.write("tunnel", GRO, true);
    assert.deepEqual(all(), [true, true, false, undefined]);
    assert.throws(
      () => features.write("nosuch", GRO, true),
      (error: unknown) =>
        isBreakwaterError(error, "BW_NETLINK") && error.errno === "ENODEV" && /rx-gro on on nosuch/.test(error.message),
    );
  });

  test(`a link message tells that a feature was switched (${name} kernel)`, async (t) => {
    const { routes, features, watch } = open(t);
    addDevices(routes);
    const told = new EventTarget();
    const signal = AbortSignal.timeout(5000);
    const isTunnel = (event: RouteEvent) => event.type === "link" && event.link.name === "tunnel";
    using _watch = watch((events) => void (events.some(isTunnel) && told.dispatchEvent(new Event("link"))));
    const link = once(told, "link", { signal });
    features.write("tunnel", GRO, false);
    await link;
    assert.equal(features.read("tunnel", GRO), false);
  });
}

test("DeviceFeatures says what ethtool says, and what a device keeps as it is", (t) => {
  const ns = testNamespace(t);
  const features = openFeatures(t, ns);
  addDevices(ns.routes);
  features.write("tunnel", GRO, false);
  const { stdout } = ns.run(() => spawnSync("ethtool", ["-k", "tunnel"], { encoding: "utf8" }));
  assert.match(stdout, /^generic-receive-offload: off$/m);
  assert.match(stdout, /^generic-segmentation-offload: on$/m);
  // A device of the kernel's own making cannot be without segmentation offload to itself: "lo" has it [fixed].
  assert.throws(
    () => features.write("lo", "tx-checksum-ip-generic", false),
    (error: unknown) => isBreakwaterError(error, "BW_DEVICE_FEATURE") && /ethtool -k lo/.test(error.remedy ?? ""),
  );
});
