/** Probes on the real kernel: what arrives, what this kernel refuses, what a router answers. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { openProbePort, type ProbeDatagram, type ProbeError, type ProbePort } from "../../src/kernel/probe-port.ts";
import { pmtuCache } from "../../src/kernel/rtnetlink/pmtu-cache.ts";
import { procSysctl } from "../../src/kernel/sysctl.ts";
import { ipFamily } from "../../src/model/ip.ts";
import { decodeProbePacket, encodeProbe, quotedNonce } from "../../src/model/probe-packet.ts";
import { type TestNamespace, testNamespace } from "./namespaces.ts";

const PORT = 8474;

/** a - router - b, 1500 bytes, both families; the second wire carries `secondWire`. */
function network(t: TestContext, secondWire: number) {
  const [a, router, b] = [testNamespace(t, "a"), testNamespace(t, "router"), testNamespace(t, "b")];
  // Duplicate address detection would keep IPv6 quiet for two seconds.
  for (const each of [a, router, b]) {
    each.run(() => execFileSync("sysctl", ["-qw", "net.ipv6.conf.default.accept_dad=0"]));
  }
  wire(a, "eth0", router, "to-a", 1500);
  wire(router, "to-b", b, "eth0", secondWire);
  ip(router, "address add 10.1.0.1/24 dev to-a", "address add 10.2.0.1/24 dev to-b");
  ip(router, "address add fd01::1/64 dev to-a nodad", "address add fd02::1/64 dev to-b nodad");
  router.run(() => execFileSync("sysctl", ["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]));
  ip(a, "address add 10.1.0.2/24 dev eth0", "address add fd01::2/64 dev eth0 nodad", "route add default via 10.1.0.1");
  ip(b, "address add 10.2.0.2/24 dev eth0", "address add fd02::2/64 dev eth0 nodad", "route add default via 10.2.0.1");
  ip(a, "-6 route add default via fd01::1");
  ip(b, "-6 route add default via fd02::1");
  return { a, b };
}

function ip(namespace: TestNamespace, ...commands: string[]): void {
  namespace.run(() => {
    for (const command of commands) execFileSync("ip", command.split(" "));
  });
}

function wire(left: TestNamespace, leftName: string, right: TestNamespace, rightName: string, mtu: number): void {
  ip(left, `link add ${leftName} mtu ${mtu} type veth peer name moving mtu ${mtu}`);
  // A namespace is named by a process in it, or by the file that it is bound to.
  left.run(() => execFileSync("ip", ["link", "set", "moving", "netns", right.path, "name", rightName]));
  ip(left, `link set ${leftName} up`);
  ip(right, `link set ${rightName} up`);
}

function port(t: TestContext, namespace: TestNamespace, onDatagram: (datagram: ProbeDatagram) => void): ProbePort {
  const opened = namespace.run(() => openProbePort(PORT, onDatagram));
  t.after(() => opened[Symbol.dispose]());
  return opened;
}

const probe = (nonce: string, bytes: number, to: string) =>
  encodeProbe({ nonce, bytes, together: false, suspect: false }, ipFamily(to));

/** Errors come when the router has answered: asks until there is one. */
async function nextErrors(probing: ProbePort): Promise<ProbeError[]> {
  const until = performance.now() + 2000;
  for (;;) {
    const errors = probing.errors();
    if (errors.length > 0 || performance.now() > until) return errors;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const to of ["10.2.0.2", "fd02::2"]) {
  test(`a packet of the exact size arrives, and an answer returns: ${to}`, async (t) => {
    const { a, b } = network(t, 1500);
    const arrived = Promise.withResolvers<ProbeDatagram>();
    const answered = Promise.withResolvers<ProbeDatagram>();
    const far = port(t, b, (datagram) => arrived.resolve(datagram));
    const near = port(t, a, (datagram) => answered.resolve(datagram));
    assert.equal(near.probe(to, probe("0123456789abcdef", 1500, to)), "");
    const { from, payload } = await arrived.promise;
    assert.deepEqual(decodeProbePacket(payload, ipFamily(to)), {
      kind: "probe",
      nonce: "0123456789abcdef",
      bytes: 1500,
      together: false,
      suspect: false,
    });
    far.answer(from, Buffer.from("here"));
    assert.deepEqual(await answered.promise, { from: to, payload: Buffer.from("here") });
  });

  test(`this kernel refuses what its own interface cannot carry: ${to}`, (t) => {
    const { a } = network(t, 1500);
    const near = port(t, a, () => undefined);
    assert.equal(near.probe(to, probe("0123456789abcdef", 1501, to)), "EMSGSIZE");
    assert.equal(near.probe(to, probe("0123456789abcdef", 1500, to)), "");
  });

  test(`a router's ICMP tells its address, its size and our nonce, and the next probe leaves all the same: ${to}`, async (t) => {
    const { a } = network(t, 1300);
    const near = port(t, a, () => undefined);
    for (const nonce of ["00000000000000aa", "00000000000000bb"]) {
      assert.equal(near.probe(to, probe(nonce, 1500, to)), "", "the cached path MTU is ignored");
      const [error, ...more] = await nextErrors(near);
      assert.equal(more.length, 0);
      assert.equal(error?.errno, "EMSGSIZE");
      assert.equal(error.origin, "icmp");
      assert.equal(error.from, to.includes(":") ? "fd01::1" : "10.1.0.1");
      assert.equal(error.mtuBytes, 1300);
      assert.equal(error.to, to);
      assert.equal(quotedNonce(error.quoted), nonce);
    }
  });

  test(`a node where nobody listens says so: ${to}`, async (t) => {
    const { a } = network(t, 1500);
    const near = port(t, a, () => undefined);
    assert.equal(near.probe(to, probe("00000000000000aa", 600, to)), "");
    const [error] = await nextErrors(near);
    assert.equal(error?.errno, "ECONNREFUSED");
    assert.equal(quotedNonce(error?.quoted ?? Buffer.alloc(0)), "00000000000000aa");
  });
}

test("a port that is taken is an error that names it", (t) => {
  const { a } = network(t, 1500);
  port(t, a, () => undefined);
  assert.throws(
    () => a.run(() => openProbePort(PORT, () => undefined)),
    /UDP 0\.0\.0\.0 port 8474 for probes: EADDRINUSE/,
  );
});

test("what the kernel learned of a path is listed, and forgotten on request, in both families", async (t) => {
  const { a } = network(t, 1300);
  const cache = a.run(() => pmtuCache(procSysctl));
  assert.deepEqual(
    a.run(() => cache.list()),
    [],
  );
  const near = port(t, a, () => undefined);
  for (const to of ["10.2.0.2", "fd02::2"]) {
    near.probe(to, probe("00000000000000aa", 1500, to));
    assert.equal((await nextErrors(near)).length, 1);
    // The kernel lists what has been used since it was learned.
    near.probe(to, probe("00000000000000bb", 576, to));
    assert.equal((await nextErrors(near))[0]?.errno, "ECONNREFUSED");
  }
  const learned = [
    { destination: "10.2.0.2", mtuBytes: 1300 },
    { destination: "fd02::2", mtuBytes: 1300 },
  ];
  assert.deepEqual(
    a.run(() => cache.list()),
    learned,
  );
  a.run(() => cache.flush());
  assert.deepEqual(
    a.run(() => cache.list()),
    [],
  );
});
