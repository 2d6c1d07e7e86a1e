/** Sizes that need a lab of their own: jumbo frames that a node loses and gets back, and a router below what IPv6 needs. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "jumbo";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
const PODS = ["a", "b", "c"] as const;
const addresses = new Map<string, string>();

/** Each pod has its MTU, and a packet of the smaller of two pods' sizes arrives. */
async function podsHave(expected: Readonly<Record<(typeof PODS)[number], number>>): Promise<void> {
  for (const pod of PODS) {
    const pings = PODS.filter((to) => to !== pod).map((to) => {
      const size = Math.min(expected[pod], expected[to]) - 28;
      return `ping -n -c 1 -W 1 -M do -s ${size} ${addresses.get(to)} >/dev/null`;
    });
    const script = `ip link show eth0 && ${pings.join(" && ")} && echo all`;
    const { stdout } = await lab("exec", `default/${pod}`, "--", "sh", "-c", script);
    assert.match(stdout, new RegExp(`mtu ${expected[pod]} `), `MTU of pod ${pod}`);
    assert.match(stdout, /^all$/m, `packets of pod ${pod}`);
  }
}

async function bringUp(...options: string[]): Promise<void> {
  const items = PODS.map((name, i) => podManifest(name, { nodeName: `node${i + 1}` }));
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await lab("up", "--nodes", "3", ...options, "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  for (const pod of PODS) {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    addresses.set(pod, stdout);
  }
}
after(() => home.close());

test("an IPv4 cluster behind a router that drops to 1300 is right within 10 s, down and up", async (t) => {
  await bringUp("--subnets", "2");
  await eventually(10_000, () => podsHave({ a: 1450, b: 1450, c: 1450 }));
  await lab("fault", "add", "router-mtu");
  const since = performance.now();
  await eventually(10_000, () => podsHave({ a: 1250, b: 1250, c: 1250 }));
  t.diagnostic(`1250 after ${((performance.now() - since) / 1000).toFixed(1)} s`);
  await lab("fault", "clear");
  await eventually(10_000, () => podsHave({ a: 1450, b: 1450, c: 1450 }));
  await lab("down");
});

test("a node that falls to 1500 takes its peers along, and all have 9000 within 10 s when it is back", async (t) => {
  await bringUp("--mtu", "9000");
  await eventually(10_000, () => podsHave({ a: 9000, b: 9000, c: 9000 }));
  await lab("fault", "add", "underlay-mtu", "--node", "node3", "--size", "1500");
  let since = performance.now();
  const lap = (what: string) => {
    t.diagnostic(`${what} after ${((performance.now() - since) / 1000).toFixed(1)} s`);
    since = performance.now();
  };
  await eventually(10_000, () => podsHave({ a: 1500, b: 1500, c: 1500 }));
  lap("1500");
  await lab("fault", "clear");
  await eventually(10_000, () => podsHave({ a: 9000, b: 9000, c: 9000 }));
  lap("9000");
});

test("a node that believes in jumbo frames on a wire of 1500 uses what passes", async () => {
  await lab("fault", "add", "mtu-blackhole", "--size", "1500");
  await eventually(10_000, () => podsHave({ a: 1500, b: 1500, c: 1500 }));
  const { stdout, code } = await lab("exec", "node/node1", "--", "bin/breakwater", "mtu", "--seconds", "0");
  assert.equal(code, 1);
  assert.match(stdout, /node1 +node2 +direct +9000 +0 +9000 +1500 +1500 +black-hole/);
  assert.match(stdout, /packets above 1500 of 9000 bytes vanish in silence/);
});
