/** Addresses of LoadBalancer Services: who gets which, that they answer there from outside, and who gives them when agents die. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("balancer");
const MACHINE = "node/outside";
/** A Lease counts for 15 s, and those who follow look every 12 s at most. */
const TAKEN_OVER_MS = 60_000;

const POOL = {
  apiVersion: "breakwater.dev/v1alpha1",
  kind: "LoadBalancerPool",
  metadata: { name: "public" },
  spec: { addresses: ["198.51.100.10-198.51.100.12", "2001:db8:51::10-2001:db8:51::12"] },
};
const balanced = (name: string, spec: object = {}, annotations: Record<string, string> = {}) =>
  service(name, { type: "LoadBalancer", selector: { app: "web" }, ...spec }, { annotations });

before(async () => {
  const shape = ["--nodes", "3", "--subnets", "2", "--load-balancer"];
  await lab.up([responder("web", "web", "node2")], shape);
});
after(() => lab.close());

interface ServiceObject {
  readonly metadata: { readonly uid: string };
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };
}

async function addressesOf(name: string): Promise<string[]> {
  const object: ServiceObject = JSON.parse(await lab.kubectl("get", "service", name, "-o", "json"));
  return (object.status.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
}

const gets = (name: string, ips: readonly string[], deadlineMs = SETTLED_MS) =>
  eventually(deadlineMs, async () => assert.deepEqual(await addressesOf(name), ips));

/** Messages of a Service's Events of one reason. */
async function eventsOf(name: string, reason: string): Promise<string[]> {
  const fields = `involvedObject.name=${name},reason=${reason}`;
  const list = await lab.kubectl("get", "events", "--field-selector", fields, "-o", "json");
  return JSON.parse(list).items.map(({ message }: { message: string }) => message);
}

const holder = () =>
  lab.kubectl("get", "lease", "breakwater-load-balancer", "-n", "kube-system", "-o", "jsonpath={.spec.holderIdentity}");

test("a Service of type LoadBalancer gets an address of each family, and answers there from outside", async () => {
  await lab.apply(balanced("early"));
  const none = /no LoadBalancerPool gives IPv4 addresses to this Service/;
  await eventually(SETTLED_MS, async () => assert.match((await eventsOf("early", "AllocationFailed"))[0] ?? "", none));
  await lab.apply(POOL);
  const ips = ["198.51.100.10", "2001:db8:51::10"];
  await gets("early", ips);
  await lab.lead(ips, "node1");
  const rows = ips.map((to) => ({ from: MACHINE, to, port: 80, gets: "default/web" }));
  await lab.settles(rows);
  assert.deepEqual(await eventsOf("early", "IPAllocated"), [`it has ${ips.join(", ")}`]);
});

test("addresses are asked for, shared, and free again when their Services are gone", async () => {
  const wish = { "breakwater.dev/load-balancer-ips": "2001:db8:51::12,198.51.100.12" };
  await lab.apply(balanced("pinned", { loadBalancerClass: "breakwater.dev/bgp" }, wish));
  await gets("pinned", ["198.51.100.12", "2001:db8:51::12"]);
  const key = { "breakwater.dev/allow-shared-ip": "mail" };
  await lab.apply(
    balanced("smtp", { ports: [{ port: 25, targetPort: 80 }] }, key),
    balanced("imap", { ports: [{ port: 143, targetPort: 80 }] }, key),
  );
  const shared = ["198.51.100.11", "2001:db8:51::11"];
  await Promise.all([gets("smtp", shared), gets("imap", shared)]);
  await lab.lead(shared, "node2");
  await lab.settles(
    shared.flatMap((to) => [25, 143].map((port) => ({ from: MACHINE, to, port, gets: "default/web" }))),
  );
  await lab.apply(balanced("late"), balanced("cloud", { loadBalancerClass: "example.com/other" }));
  const full = /LoadBalancerPool public has no free one/;
  await eventually(SETTLED_MS, async () => assert.match((await eventsOf("late", "AllocationFailed"))[0] ?? "", full));
  await lab.kubectl("delete", "service", "pinned");
  await gets("late", ["198.51.100.12", "2001:db8:51::12"]);
  assert.deepEqual(await addressesOf("cloud"), []);
});

test("a pool tells how much of it is used, and takes nobody an address when it shrinks", async () => {
  const status = async () =>
    JSON.parse(await lab.kubectl("get", "loadbalancerpool", "public", "-o", "json")).status ?? {};
  await eventually(SETTLED_MS, async () => {
    const { assignedIPv4, availableIPv4, assignedIPv6, conditions = [] } = await status();
    assert.deepEqual([assignedIPv4, availableIPv4, assignedIPv6, conditions[0]?.status], [3, 0, 3, "True"]);
  });
  const spec = { addresses: ["198.51.100.10/32", "2001:db8:51::/64"] };
  await lab.apply({ ...POOL, spec });
  const stray = /it keeps 198\.51\.100\.12, which no LoadBalancerPool gives out any more/;
  await eventually(SETTLED_MS, async () => assert.match((await eventsOf("late", "AllocationFailed")).join(), stray));
  assert.deepEqual(await addressesOf("late"), ["198.51.100.12", "2001:db8:51::12"]);
  await lab.apply(POOL);
});

test("another agent gives addresses when the one that did is dead, and addresses stay", async () => {
  const first = await holder();
  const before = await addressesOf("early");
  // Killed, and kept from coming back.
  assert.equal((await lab.lab("fault", "add", "kill-agent", "--node", first)).code, 0);
  await lab.kubectl("delete", "service", "late");
  await lab.apply(balanced("next"));
  await gets("next", ["198.51.100.12", "2001:db8:51::12"], TAKEN_OVER_MS);
  assert.notEqual(await holder(), first);
  assert.deepEqual(await addressesOf("early"), before);
  await lab.lab("fault", "clear");
});
