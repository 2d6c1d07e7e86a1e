/** Drift of required and of tuned sysctls, on the fake kernel. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FakeHost } from "../../kernel/fake/host.ts";
import type { Sysctl } from "../../kernel/sysctl.ts";
import type { ModuleTexts } from "../../model/host-modules.ts";
import { DEFAULT_SERVICE_CONFIG, type ServiceConfig } from "../../model/node-config.ts";
import type { DesiredState, DesiredSysctl } from "../../model/state.ts";
import type { TuningProfile } from "../../model/tuning.ts";
import { DEBIAN } from "../../plan/host/testing/module-facts.ts";
import type { Log } from "../log.ts";
import { createMetrics } from "../metrics.ts";
import { HostParts } from "./host-parts.ts";
import { TUNING_FILE, Tuner } from "./tuner.ts";

const FORWARD: DesiredSysctl = { name: "net/ipv4/ip_forward", value: "1", cause: "test" };
const BRIDGE: DesiredSysctl = { name: "net/bridge/bridge-nf-call-iptables", value: "1", ifThere: true, cause: "test" };
const PROFILE: TuningProfile = {
  name: "test",
  values: [{ name: "net/core/rmem_max", value: "1000", reason: "test", rule: "at-least" }],
};

function aNode(
  t: TestContext,
  required: readonly DesiredSysctl[] = [FORWARD],
  texts: ModuleTexts = DEBIAN,
  services?: ServiceConfig,
) {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-host-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const values = new Map([
    ["net/ipv4/ip_forward", "1"],
    ["net/core/rmem_max", "10"],
  ]);
  const sysctl: Sysctl = { read: (name) => values.get(name), write: (name, value) => void values.set(name, value) };
  const said: string[] = [];
  const quiet = () => undefined;
  const log: Log = { debug: quiet, info: quiet, warn: (_, message) => said.push(message), error: quiet };
  const asked: string[] = [];
  const loaded: string[] = [];
  const metrics = createMetrics();
  const modules = () => ({ modules: texts, requests: [], sysctls: [], unread: undefined });
  const node = new FakeHost().addNamespace("/run/netns/node");
  node.addHardware({ name: "eth0", mac: "02:00:00:00:00:01", addresses: ["192.168.1.11/24"] });
  const parts = new HostParts({
    config: {
      nodeName: "node1",
      routing: "auto",
      vni: 1,
      vxlanPort: 4789,
      masquerade: false,
      masqueradeExceptions: [],
      ...(services === undefined ? {} : { services }),
    },
    sysctl,
    routes: node.routes,
    machine: { present: () => texts, texts: modules, load: async (module) => void loaded.push(module) },
    prepared: { loaded: [], failures: [{ module: "vxlan", error: "no", without: "no tunnel" }] },
    tuner: new Tuner({
      sysctl,
      files: { assignments: [] },
      stateFile: join(folder, TUNING_FILE),
      bootId: "boot",
      now: () => 0,
    }),
    profile: PROFILE,
    metrics,
    log,
    state: () => ({ sysctls: required }) as unknown as DesiredState,
    request: (cause) => asked.push(cause),
    now: () => 7000,
  });
  t.after(() => parts[Symbol.dispose]());
  const document = () => parts.document(new URL("http://agent/host"));
  return { parts, values, said, asked, loaded, metrics, document };
}

test("HostParts asks for a round when a required sysctl is not what it should be", (t) => {
  const { parts, values, asked } = aNode(t);
  parts.look();
  assert.deepEqual(asked, []);
  values.set("net/ipv4/ip_forward", "0");
  parts.look();
  assert.deepEqual(asked, ["drift"]);
});

test("HostParts remembers a repair with its time, and takes the first setting for none", (t) => {
  const { parts, values, document } = aNode(t);
  const set = { do: "setSysctl", name: "net/ipv4/ip_forward", value: "1", previous: "0", cause: "test" } as const;
  values.set("net/ipv4/ip_forward", "0");
  parts.applied([{ operation: set, error: undefined }]);
  assert.deepEqual(document()?.agent?.repairs, []);
  values.set("net/ipv4/ip_forward", "1");
  parts.look();
  parts.applied([{ operation: set, error: undefined }]);
  assert.deepEqual(document()?.agent?.repairs, [
    { name: "net/ipv4/ip_forward", value: "1", found: "0", at: 7, error: null },
  ]);
});

test("HostParts tells of a tuned sysctl that somebody changed, once, and does not repair it", async (t) => {
  const { parts, values, said, document, metrics } = aNode(t);
  assert.equal(values.get("net/core/rmem_max"), "1000", "applied at the start");
  values.set("net/core/rmem_max", "11");
  parts.look();
  parts.look();
  assert.deepEqual(said, ["somebody changed a sysctl of the tuning profile; it is left so"]);
  assert.equal(values.get("net/core/rmem_max"), "11");
  assert.deepEqual(document()?.agent?.drift, [{ name: "net/core/rmem_max", value: "1000", found: "11", since: 7 }]);
  assert.match(await metrics.registry.metrics(), /breakwater_sysctl_drift\{sysctl="net\/core\/rmem_max"\} 1/);
  values.set("net/core/rmem_max", "1000");
  assert.deepEqual(document()?.agent?.drift, []);
});

test("HostParts loads br_netfilter for a foreign bridge, once", (t) => {
  const { parts, loaded } = aNode(t, [FORWARD, BRIDGE]);
  parts.look();
  parts.look();
  assert.deepEqual(loaded, ["br_netfilter"]);
});

test("HostParts reports modules, what is off, and files that set something else at boot", async (t) => {
  const { document, metrics } = aNode(t);
  const report = document();
  assert.equal(report?.kernel, DEBIAN.release);
  assert.equal(report?.modules.find(({ module }) => module === "vxlan")?.state, "loadable");
  assert.deepEqual(report?.agent?.moduleFailures, [{ module: "vxlan", error: "no", without: "no tunnel" }]);
  assert.match(await metrics.registry.metrics(), /breakwater_modules_missing\{module="vxlan"\} 1/);
});

test("HostParts reports the settings of IPVS where it serves, with the reason and what is there", (t) => {
  const of = (services?: ServiceConfig) => {
    const { document, values } = aNode(t, [FORWARD], DEBIAN, services);
    values.set("net/ipv4/vs/conntrack", "0");
    return document()?.sysctls.map(({ name, value, current, fine }) => `${name} ${value} ${current} ${fine}`);
  };
  const ours = of({ ...DEFAULT_SERVICE_CONFIG, ipvs: { scheduler: "rr", drainSeconds: 1 } }) ?? [];
  assert.ok(ours.includes("net/ipv4/vs/conntrack 1 0 false"), ours.join("\n"));
  assert.ok(ours.includes("net/ipv4/vs/conn_reuse_mode 1 null true"), "a kernel without it");
  assert.ok(ours.includes("net/ipv4/conf/eth0/arp_ignore 1 null true"));
  assert.deepEqual(of(DEFAULT_SERVICE_CONFIG), ["net/ipv4/ip_forward 1 1 true"]);
});

test("HostParts says once what is off on a kernel that was built without it", async (t) => {
  const config = "CONFIG_VETH=y\nCONFIG_VXLAN=y\n";
  const monolithic = { ...DEBIAN, procModules: undefined, sysModules: [], dep: undefined, builtin: undefined, config };
  const { parts, said, metrics } = aNode(t, [FORWARD], { ...monolithic, config: "CONFIG_VETH=y\n" });
  parts.lookAtModules();
  parts.lookAtModules();
  const tunnel = said.filter((text) => /^off: pods of nodes behind a router cannot be reached/.test(text));
  assert.equal(tunnel.length, 1, said.join("\n"));
  assert.match(await metrics.registry.metrics(), /breakwater_modules_missing\{module="vxlan"\} 1/);
  const whole = aNode(t, [FORWARD], monolithic);
  whole.parts.lookAtModules();
  assert.deepEqual(whole.said, []);
});

test("HostParts: what keeps modules from being looked at is said, and ends nothing", (t) => {
  const monolithic = { ...DEBIAN, procModules: undefined };
  const damaged = Object.defineProperty(monolithic, "config", {
    get: () => {
      throw new RangeError("incorrect header check");
    },
  });
  const { parts, said } = aNode(t, [FORWARD], damaged);
  parts.lookAtModules();
  assert.deepEqual(said, ["kernel modules cannot be looked at"]);
});
