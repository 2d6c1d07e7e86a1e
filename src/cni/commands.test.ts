/** The six commands over the real socket and journal, with a fake node beneath. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { BreakwaterError } from "../model/errors.ts";
import type { CniRequest } from "./frame.ts";
import { asObject, type JsonObject } from "./network-config.ts";
import { call, config, type Fixture, request, startFixture } from "./server-fixture.ts";
import { SUPPORTED_VERSIONS } from "./spec-version.ts";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await startFixture();
});
afterEach(() => fixture.close());

const ask = (command: string, fields: Partial<CniRequest> = {}) => call(fixture.socketPath, request(command, fields));

/** The body of a success. */
async function succeed(command: string, fields: Partial<CniRequest> = {}): Promise<JsonObject> {
  const { exitStatus, body } = await ask(command, fields);
  assert.equal(exitStatus, 0, JSON.stringify(body));
  return body;
}

async function fail(code: number, message: RegExp, command: string, fields: Partial<CniRequest> = {}): Promise<void> {
  const { exitStatus, body } = await ask(command, fields);
  assert.deepEqual([exitStatus, body["code"]], [1, code], JSON.stringify(body));
  assert.match(String(body["msg"]), message);
  assert.ok(String(body["details"]).length > 0, "details must help");
}

const stdinOf = (fields: JsonObject) => ({ stdin: config(fields) });
const ipsOf = (body: JsonObject) => (body["ips"] as JsonObject[]).map((ip) => ip["address"]);
const podArgs = (name: string, uid?: string) =>
  `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name}${uid === undefined ? "" : `;K8S_POD_UID=${uid}`}`;

function assertClean(): void {
  assert.deepEqual([fixture.server.records(), fixture.server.recordsInFlight()], [[], []]);
  assert.equal(fixture.network.attachments.size, 0);
  assert.ok(fixture.server.usage().every(({ used }) => used === 0));
}

for (const cniVersion of SUPPORTED_VERSIONS) {
  test(`ADD answers in the shape of ${cniVersion}`, async () => {
    fixture.network.cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
    const dns = { nameservers: ["10.96.0.10"] };
    const body = await succeed("ADD", stdinOf({ cniVersion, dns }));
    const version = (v: string) => (cniVersion.startsWith("0.") ? { version: v } : {});
    const mtu = cniVersion === "1.1.0" ? { mtu: 1450 } : {};
    const [host, pod] = body["interfaces"] as JsonObject[];
    assert.deepEqual(body, {
      cniVersion,
      interfaces: [
        { name: "bwc1/eth0", mac: host?.["mac"], ...mtu },
        { name: "eth0", mac: pod?.["mac"], ...mtu, sandbox: "/run/netns/none-c1" },
      ],
      ips: [
        { ...version("4"), interface: 1, address: "10.244.1.1/32", gateway: "169.254.1.1" },
        { ...version("6"), interface: 1, address: "fd00:10:244:1::1/128", gateway: "fe80::1" },
      ],
      routes: [
        { dst: "0.0.0.0/0", gw: "169.254.1.1" },
        { dst: "::/0", gw: "fe80::1" },
      ],
      dns,
    });
  });
}

test("ADD twice gives the same answer and attaches once", async () => {
  const first = await succeed("ADD");
  assert.deepEqual(await succeed("ADD", stdinOf({ prevResult: { cniVersion: "1.1.0" } })), first);
  assert.deepEqual(fixture.network.operations, ["attach c1/eth0 10.244.1.1"]);
});

for (const [name, fields, message] of [
  ["another namespace", { netns: "/run/netns/other" }, /namespace was \/run\/netns\/none-c1, now \/run\/netns\/other/],
  ["another network", { stdin: config({ name: "blue" }) }, /network was breakwater, now blue/],
  ["another address", { stdin: config({ runtimeConfig: { ips: ["10.244.1.9"] } }) }, /not the requested 10.244.1.9/],
] as const) {
  test(`ADD again with ${name} is refused with code 103`, async () => {
    await succeed("ADD");
    await fail(103, message, "ADD", fields);
    assert.equal(fixture.server.records().length, 1);
  });
}

test("ADD again of an attachment that the kernel lost is refused with what is missing", async () => {
  await succeed("ADD");
  fixture.network.attachments.clear();
  await fail(103, /link of .* is missing/, "ADD");
});

test("ADD and DEL of one container never interleave; other containers do not wait", async () => {
  const held = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  fixture.network.gate = async (_operation, key) => {
    if (key !== "c1/eth0") return;
    entered.resolve();
    await held.promise;
  };
  const added = succeed("ADD");
  await entered.promise;
  const deleted = succeed("DEL");
  await succeed("ADD", { containerId: "c2" });
  assert.deepEqual(fixture.network.operations, ["attach c1/eth0 10.244.1.1", "attach c2/eth0 10.244.1.2"]);
  assert.deepEqual(
    fixture.server.recordsInFlight().map((record) => record.containerId),
    ["c1"],
  );
  assert.deepEqual(
    fixture.server.records().map((record) => record.containerId),
    ["c2"],
  );
  held.resolve();
  await Promise.all([added, deleted]);
  assert.equal(fixture.network.operations.at(-1), "detach c1/eth0 10.244.1.1");
});

test("ADD whose attach fails answers 104 with operation, object, errno and remedy, and leaves nothing", async () => {
  const details = { operation: "add link", object: "bw1", errno: "EPERM", remedy: "run as root" };
  fixture.network.failNext.set("attach", new BreakwaterError("BW_LINK", "Cannot add link bw1", details));
  const { body } = await ask("ADD");
  assert.deepEqual([body["code"], body["msg"]], [104, "Cannot add link bw1"]);
  assert.equal(body["details"], "add link; bw1; EPERM; BW_LINK; run as root");
  assertClean();
  await fixture.restart();
  assertClean();
});

test("ADD with a namespace path that is none answers 4", async () => {
  const error = new BreakwaterError("BW_CNI_NETNS", "CNI_NETNS /run/netns/x is no network namespace");
  fixture.network.failNext.set("attach", error);
  await fail(4, /CNI_NETNS/, "ADD");
  assertClean();
});

test("ADD on a fault of the agent itself answers 100 and points at its log", async () => {
  fixture.network.failNext.set("attach", new TypeError("undefined is not a function"));
  await fail(100, /undefined is not/, "ADD");
  assertClean();
});

test("ADD while the node is not ready answers 11 with the reason; DEL works", async () => {
  fixture.network.notReady = "node has no pod CIDR yet";
  await fail(11, /node has no pod CIDR yet/, "ADD");
  await succeed("DEL");
  assertClean();
});

test("ADD in an exhausted pod CIDR answers 101 naming it and how many are in use", async () => {
  fixture.network.cidrs = ["10.244.1.0/30"];
  await succeed("ADD", { containerId: "a" });
  await succeed("ADD", { containerId: "b" });
  await fail(101, /10\.244\.1\.0\/30: 2 of 2 are in use/, "ADD");
  await succeed("DEL", { containerId: "a" });
  assert.deepEqual(ipsOf(await succeed("ADD")), ["10.244.1.1/32"]);
});

test("ADD gives a pod the address of its annotation, or fails naming who has it", async () => {
  const annotations = { "breakwater.dev/ip": "10.244.1.11" };
  fixture.pods.pods.set("shop/web", { uid: "u1", annotations });
  fixture.pods.pods.set("shop/api", { uid: "u2", annotations });
  assert.deepEqual(ipsOf(await succeed("ADD", { args: podArgs("web", "u1") })), ["10.244.1.11/32"]);
  await fail(102, /10\.244\.1\.11: pod shop\/web, container c1 eth0 has it/, "ADD", {
    containerId: "c2",
    args: podArgs("api"),
  });
  await fail(102, /outside this node's pod CIDR/, "ADD", {
    containerId: "c2",
    ...stdinOf({ runtimeConfig: { ips: ["10.9.9.9"] } }),
  });
  assert.equal(fixture.server.records().length, 1);
});

test("ADD gives the addresses of the ips capability, in both families", async () => {
  fixture.network.cidrs = ["10.244.1.0/24", "fd00::/64"];
  const body = await succeed("ADD", stdinOf({ runtimeConfig: { ips: ["fd00::7/64", "10.244.1.7/24"] } }));
  assert.deepEqual(ipsOf(body), ["10.244.1.7/32", "fd00::7/128"]);
});

test("ADD answers 11 while the API cannot be asked, has no such pod, or has another of that name", async () => {
  await fail(11, /no such pod/, "ADD", { args: podArgs("web") });
  fixture.pods.pods.set("shop/web", { uid: "new", annotations: {} });
  await fail(11, /uid new, the runtime starts uid old/, "ADD", { args: podArgs("web", "old") });
  fixture.pods.failure = new Error("connect ECONNREFUSED");
  await fail(11, /API cannot be asked: connect ECONNREFUSED/, "ADD", { args: podArgs("web") });
  assertClean();
});

test("ADD answers 11 when the API does not answer at all, and its DEL does not wait for ever", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked = Promise.withResolvers<void>();
  fixture.pods.find = () => {
    asked.resolve();
    return new Promise(() => undefined);
  };
  const added = ask("ADD", { args: podArgs("web") });
  await asked.promise;
  t.mock.timers.tick(10_000);
  const { body } = await added;
  assert.deepEqual([body["code"], /no answer within 10000 ms/.test(String(body["msg"]))], [11, true]);
  t.mock.timers.reset();
  await succeed("DEL");
});

test("ADD takes a static pod by the uid of its manifest", async () => {
  fixture.pods.pods.set("shop/web", { uid: "mirror", annotations: { "kubernetes.io/config.hash": "manifest" } });
  await succeed("ADD", { args: podArgs("web", "manifest") });
  assert.deepEqual(fixture.server.records()[0]?.pod, { namespace: "shop", name: "web", uid: "manifest" });
});

for (const [name, fields] of [
  ["for an unknown container", {}],
  ["without CNI_NETNS", { netns: "" }],
  ["with a stale namespace", { netns: "/run/netns/gone" }],
  ["with bad CNI_ARGS, which it does not need", { args: "nonsense" }],
  ["with a prevResult that is none", { stdin: config({ prevResult: 5 }) }],
] as const) {
  test(`DEL succeeds ${name}, twice, and removes what the kernel may know`, async () => {
    await succeed("DEL", fields);
    await succeed("ADD");
    await succeed("DEL", fields);
    await succeed("DEL", fields);
    assert.deepEqual(
      fixture.network.operations.filter((line) => line.startsWith("detach")),
      ["detach c1/eth0", "detach c1/eth0 10.244.1.1", "detach c1/eth0"],
    );
    assertClean();
  });
}

test("DEL that the kernel refuses answers 104, keeps the record and succeeds later", async () => {
  await succeed("ADD");
  fixture.network.failNext.set("detach", new BreakwaterError("BW_LINK", "Cannot set link bw1 down"));
  await fail(104, /Cannot set link/, "DEL");
  assert.equal(fixture.server.records().length, 1);
  await succeed("DEL");
  assertClean();
});

test("DEL of another network's attachment of the same name leaves that alone", async () => {
  await succeed("ADD");
  await succeed("DEL", stdinOf({ name: "blue" }));
  assert.equal(fixture.network.attachments.size, 1);
});

test("DEL then ADD: a freed address rests", async () => {
  await succeed("ADD");
  await succeed("DEL");
  assert.deepEqual(ipsOf(await succeed("ADD")), ["10.244.1.2/32"]);
});

test("CHECK succeeds for what ADD answered, also behind plugins that added to it", async () => {
  const prevResult = await succeed("ADD");
  await succeed("CHECK", stdinOf({ prevResult }));
  const ips = [...(prevResult["ips"] as JsonObject[]), { address: "192.0.2.1/24" }];
  await succeed("CHECK", stdinOf({ cniVersion: "0.4.0", prevResult: { ...prevResult, ips, routes: [] } }));
});

test("CHECK answers 7 without a usable prevResult, 105 for every difference, 3 for an unknown container", async () => {
  const prevResult = await succeed("ADD");
  await fail(7, /prevResult is missing/, "CHECK");
  await fail(7, /prevResult.ips/, "CHECK", stdinOf({ prevResult: { ips: {} } }));
  await fail(7, /address is "x"/, "CHECK", stdinOf({ prevResult: { ips: [{ address: "x" }] } }));
  await fail(105, /no interface eth0.*lacks address 10.244.1.1/, "CHECK", stdinOf({ prevResult: {} }));
  await fail(105, /namespace was .*, now \/x/, "CHECK", { netns: "/x", ...stdinOf({ prevResult }) });
  fixture.network.differences = ["host route 10.244.1.1/32 is missing"];
  await fail(105, /host route 10.244.1.1\/32 is missing/, "CHECK", stdinOf({ prevResult }));
  await fail(3, /Unknown container/, "CHECK", { containerId: "c9", ...stdinOf({ prevResult }) });
});

test("GC removes what the runtime does not list, of this network only, and nothing newer than the question", async () => {
  await succeed("ADD", { containerId: "keep" });
  await succeed("ADD", { containerId: "stale" });
  await succeed("ADD", { containerId: "other", stdin: config({ name: "blue" }) });
  const asked = Date.now();
  while (Date.now() === asked);
  await succeed("ADD", { containerId: "newer" });
  const stdin = config({ "cni.dev/valid-attachments": [{ containerID: "keep", ifname: "eth0" }] });
  await succeed("GC", { stdin, startedAtMs: asked, containerId: "", netns: "", ifname: "" });
  assert.deepEqual(
    fixture.server.records().map((record) => record.containerId),
    ["keep", "other", "newer"],
  );
});

test("GC that fails for one attachment removes the others and names it", async () => {
  await succeed("ADD", { containerId: "a" });
  await succeed("ADD", { containerId: "b" });
  fixture.network.failNext.set("detach", new BreakwaterError("BW_LINK", "Cannot set link down"));
  await fail(
    104,
    /1 stale attachments: container a eth0: Cannot set link down/,
    "GC",
    stdinOf({ "cni.dev/attachments": null }),
  );
  assert.deepEqual(
    fixture.server.records().map((record) => record.containerId),
    ["a"],
  );
});

test("STATUS is silent when ready, 50 when not, 51 when running pods are affected", async () => {
  await succeed("STATUS", { containerId: "", ifname: "", netns: "" });
  fixture.network.notReady = "no pod CIDR";
  await fail(50, /no pod CIDR/, "STATUS");
  fixture.network.limited = "2 of 3 nodes have no route";
  await fail(51, /limited connectivity: 2 of 3 nodes/, "STATUS");
});

test("VERSION over the socket lists what the plugin lists", async () => {
  assert.deepEqual(await succeed("VERSION", stdinOf({ cniVersion: "0.4.0" })), {
    cniVersion: "0.4.0",
    supportedVersions: [...SUPPORTED_VERSIONS],
  });
});

for (const [command, fields, code] of [
  ["NONE", {}, 4],
  ["ADD", { containerId: "" }, 4],
  ["ADD", { netns: "" }, 4],
  ["ADD", { ifname: "a/b" }, 4],
  ["ADD", { args: "A=b" }, 4],
  ["DEL", { ifname: "" }, 4],
  ["CHECK", { netns: "relative" }, 4],
  ["ADD", { stdin: '{"cniVersion":"1.0.0","name":' }, 6],
  ["ADD", { stdin: "{\0}" }, 6],
] as const) {
  test(`${command} with ${JSON.stringify(fields)} answers ${code} and leaves nothing`, async () => {
    await fail(code, /./, command, fields);
    assertClean();
    assert.deepEqual(fixture.network.operations, []);
  });
}

test("errors carry the version of the configuration", async () => {
  const { body } = await ask("ADD", { ifname: "", ...stdinOf({ cniVersion: "0.3.1" }) });
  assert.equal(body["cniVersion"], "0.3.1");
});

test("onChange() tells each change once, and nothing after it was ended", async () => {
  const seen: string[] = [];
  const stop = fixture.server.onChange(({ kind, record }) => seen.push(`${kind} ${record.containerId}`));
  await succeed("ADD");
  await succeed("DEL");
  stop();
  await succeed("ADD");
  assert.deepEqual(seen, ["added c1", "removed c1"]);
});

test("observe() gets command, code and seconds of each call", async () => {
  await succeed("ADD");
  await fail(4, /./, "NONE");
  assert.deepEqual(
    fixture.observed.map(({ command, code }) => [command, code]),
    [
      ["ADD", 0],
      ["invalid", 4],
    ],
  );
  assert.ok(fixture.observed.every(({ seconds }) => seconds > 0 && seconds < 10));
});

test("asObject() tells objects from lists and null", () => {
  assert.deepEqual([asObject({}), asObject([]), asObject(null)], [{}, undefined, undefined]);
});
