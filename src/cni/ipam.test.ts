import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import type { Ip } from "../model/ip.ts";
import { IpPool } from "./ip-pool.ts";
import { type AllocationRequest, Ipam } from "./ipam.ts";

const HOLD_MS = 1000;
let clock = 0;

function ask(fields: Partial<AllocationRequest> = {}): AllocationRequest {
  return { owner: "pod a/b", requested: [], nowMs: clock, addressInUse: () => false, ...fields };
}

function ipamOf(...cidrs: string[]): Ipam {
  const ipam = new Ipam(HOLD_MS);
  ipam.setCidrs(cidrs);
  clock = 1_000_000;
  return ipam;
}

function takeAll(ipam: Ipam): Ip[] {
  const all: Ip[] = [];
  for (;;) {
    try {
      all.push(...ipam.allocate(ask()));
    } catch (error) {
      assert.ok(isBreakwaterError(error, "BW_IPAM_EXHAUSTED"));
      return all;
    }
  }
}

for (const [cidr, capacity, first, last] of [
  ["10.244.1.0/24", 254, "10.244.1.1", "10.244.1.254"],
  ["10.244.1.0/30", 2, "10.244.1.1", "10.244.1.2"],
  ["10.244.1.0/31", 1, "10.244.1.1", "10.244.1.1"],
  ["10.244.1.0/32", 0, undefined, undefined],
  ["fd00::/126", 3, "fd00::1", "fd00::3"],
  ["fd00::/128", 0, undefined, undefined],
] as const) {
  test(`Ipam.allocate() gives out ${capacity} addresses of ${cidr}, each once, never the first of the CIDR`, () => {
    const all = takeAll(ipamOf(cidr));
    assert.equal(new Set(all).size, capacity);
    assert.deepEqual([all.length, all[0], all.at(-1)], [capacity, first, last]);
  });
}

test("IpPool walks an IPv6 /64 without end", () => {
  const pool = new IpPool("fd00:10:244:1::/64");
  assert.equal(pool.capacity, 2 ** 32 - 1);
  assert.equal(
    pool.take(0, 0, () => true),
    "fd00:10:244:1::1",
  );
  assert.equal(pool.isReserved("fd00:10:244:1::"), true);
  assert.equal(pool.isReserved("fd00:10:244:1:ffff:ffff:ffff:ffff"), false);
});

test("Ipam.allocate() gives one address a family, IPv4 first whatever the order of the CIDRs", () => {
  assert.deepEqual(ipamOf("fd00::/64", "10.244.1.0/24").allocate(ask()), ["10.244.1.1", "fd00::1"]);
});

test("Ipam.allocate() takes a freed address again only after a round, and after it has rested", () => {
  const ipam = ipamOf("10.244.1.0/29");
  const [a] = ipam.allocate(ask());
  ipam.release([a ?? ""], clock);
  assert.deepEqual(takeAll(ipam).slice(0, 5).includes("10.244.1.1"), false);
});

test("Ipam.allocate() takes resting addresses early when nothing else is free, longest rest first", () => {
  const ipam = ipamOf("10.244.1.0/29");
  takeAll(ipam);
  ipam.release(["10.244.1.4"], clock);
  ipam.release(["10.244.1.2"], clock + 1);
  assert.deepEqual(takeAll(ipam), ["10.244.1.4", "10.244.1.2"]);
});

test("Ipam.allocate() lets an address go on once its rest is over, also when the clock was set back", () => {
  for (const later of [HOLD_MS, -5_000]) {
    const ipam = ipamOf("10.244.1.0/29");
    takeAll(ipam);
    ipam.release(["10.244.1.4"], clock);
    ipam.release(["10.244.1.2"], clock);
    clock += later;
    // Rested, they are walked round robin again and not by their age.
    assert.deepEqual(takeAll(ipam), ["10.244.1.2", "10.244.1.4"]);
  }
});

test("Ipam.allocate() passes over what the kernel routes already, and says so when nothing is left", () => {
  const ipam = ipamOf("10.244.1.0/29");
  const kernel = new Set(["10.244.1.1", "10.244.1.3"]);
  const addressInUse = (ip: Ip) => kernel.has(ip);
  const given = [1, 2, 3, 4].flatMap(() => ipam.allocate(ask({ addressInUse })));
  assert.deepEqual(given, ["10.244.1.2", "10.244.1.4", "10.244.1.5", "10.244.1.6"]);
  assert.throws(
    () => ipam.allocate(ask({ addressInUse })),
    /10\.244\.1\.0\/29: 4 of 6 are in use by pods, the kernel routes the other 2/,
  );
});

test("Ipam.allocate() takes nothing of either family when one of them is exhausted", () => {
  const ipam = ipamOf("10.244.1.0/24", "fd00::/127");
  ipam.allocate(ask());
  assert.throws(() => ipam.allocate(ask()), /No free address in pod CIDR fd00::\/127/);
  assert.deepEqual(ipam.usage()[0], { cidr: "10.244.1.0/24", used: 1, capacity: 254 });
});

for (const [requested, code, message] of [
  ["10.245.0.1", "BW_IPAM_OUTSIDE", /outside this node's pod CIDR 10\.244\.1\.0\/24 and fd00::\/64/],
  ["10.244.1.0", "BW_IPAM_RESERVED", /network or broadcast/],
  ["10.244.1.255", "BW_IPAM_RESERVED", /network or broadcast/],
  ["fd00::", "BW_IPAM_RESERVED", /network or broadcast/],
  ["10.244.1.11", "BW_IPAM_IN_USE", /pod shop\/redis has it/],
  ["10.244.1.99", "BW_IPAM_IN_USE", /kernel of this node routes it/],
] as const) {
  test(`Ipam.allocate() refuses the request for ${requested}: ${code}, and takes nothing`, () => {
    const ipam = ipamOf("10.244.1.0/24", "fd00::/64");
    ipam.allocate(ask({ owner: "pod shop/redis", requested: ["10.244.1.11"] }));
    const request = ask({ requested: [requested], addressInUse: (ip) => ip === "10.244.1.99" });
    assert.throws(
      () => ipam.allocate(request),
      (error) => isBreakwaterError(error, code) && message.test(error.message),
    );
    assert.deepEqual(
      ipam.usage().map(({ used }) => used),
      [1, 1],
    );
  });
}

test("Ipam.allocate() gives exactly what was asked for, the other family by itself, a resting address too", () => {
  const ipam = ipamOf("10.244.1.0/24", "fd00::/64");
  assert.deepEqual(ipam.allocate(ask({ requested: ["10.244.1.11"] })), ["10.244.1.11", "fd00::1"]);
  ipam.release(["10.244.1.11", "fd00::1"], clock);
  assert.deepEqual(ipam.allocate(ask({ requested: ["10.244.1.11"] })), ["10.244.1.11", "fd00::2"]);
  assert.deepEqual(ipam.allocate(ask()), ["10.244.1.1", "fd00::3"]);
});

test("Ipam.allocate() without pod CIDRs says that the node has none", () => {
  assert.throws(
    () => ipamOf().allocate(ask()),
    (error) => isBreakwaterError(error, "BW_IPAM_NO_CIDR"),
  );
});

test("Ipam keeps owners, rest and the walk over a change of the CIDRs and back", () => {
  const ipam = ipamOf("10.244.1.0/29");
  ipam.allocate(ask());
  ipam.allocate(ask());
  ipam.release(["10.244.1.2"], clock);
  ipam.setCidrs(["10.99.0.0/29"]);
  assert.deepEqual(ipam.allocate(ask()), ["10.99.0.1"]);
  ipam.setCidrs(["10.244.1.0/29"]);
  assert.equal(ipam.ownerOf("10.99.0.1"), "pod a/b");
  assert.deepEqual(takeAll(ipam), ["10.244.1.3", "10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.2"]);
});

test("Ipam.restore() takes up a snapshot: the walk goes on and freed addresses still rest", () => {
  const before = ipamOf("10.244.1.0/29");
  for (let i = 0; i < 3; i++) before.allocate(ask());
  before.release(["10.244.1.3"], clock);
  const { cursors, resting } = before.snapshot();
  const after = new Ipam(HOLD_MS);
  after.adopt(["10.244.1.1", "10.244.1.2"], "pod a/b");
  after.restore(cursors, resting);
  after.setCidrs(["10.244.1.0/29"]);
  assert.deepEqual(takeAll(after), ["10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.3"]);
});
