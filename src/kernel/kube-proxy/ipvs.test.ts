import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakwaterError } from "../../model/errors.ts";
import { IPVS_MARK } from "../../model/ipvs.ts";
import { FakeHost } from "../fake/host.ts";
import { formatServer, type VirtualServer } from "../genetlink/ipvs-messages.ts";
import type { IpsetPort } from "../nfnetlink/ipset-socket.ts";
import { IpvsPart } from "./ipvs.ts";

const TCP = 6;
const UDP = 17;
const server = (address: string, port: number, protocol = TCP): VirtualServer => ({
  family: address.includes(":") ? 6 : 4,
  protocol,
  address,
  port,
});

/** A node with kube-ipvs0 (of another kind: the fake makes no dummy), virtual servers and sets of ports. */
function rig(servers: readonly VirtualServer[], sets: Readonly<Record<string, readonly IpsetPort[]>> = {}) {
  const host = new FakeHost();
  const { routes } = host.addNamespace("/run/netns/node");
  const state = { servers: [...servers], fail: "", hasIpvs: true };
  const refusal = (errno: string) => new BreakwaterError("BW_NETLINK", "refused", { errno });
  const part = new IpvsPart({
    openRoutes: () => routes,
    openIpvs: () =>
      state.hasIpvs
        ? {
            virtualServers: () => state.servers,
            deleteVirtualServer: (doomed) => {
              if (formatServer(doomed) === state.fail) throw refusal("EBUSY");
              if (!state.servers.includes(doomed)) throw refusal("ESRCH");
              state.servers = state.servers.filter((one) => one !== doomed);
            },
            destinations: () => assert.fail("nobody asks for destinations"),
            applyMany: () => assert.fail("nothing else is changed"),
            tcpTimeout: () => assert.fail("nobody asks for timeouts"),
            setTcpTimeout: () => assert.fail("nothing else is changed"),
            [Symbol.dispose]: () => undefined,
          }
        : undefined,
    openIpsets: () => ({
      sets: () => Object.keys(sets).map((name) => ({ name, references: 0 })),
      ports: (name) => [...(sets[name] ?? [])],
      destroy: () => assert.fail("the sets are another part's"),
      [Symbol.dispose]: () => undefined,
    }),
  });
  const addLink = (...addresses: string[]) => {
    routes.createLink({ name: "kube-ipvs0", kind: { type: "bridge" } });
    const index = routes.link("kube-ipvs0")?.index ?? 0;
    for (const address of addresses) routes.addAddress({ index, address, length: address.includes(":") ? 128 : 32 });
  };
  return { part, routes, state, addLink, left: () => state.servers.map(formatServer) };
}

test("IpvsPart removes the virtual servers of kube-ipvs0's addresses, then the device, and no other", () => {
  const { part, routes, addLink, left } = rig([
    server("10.96.0.1", 443),
    server("10.96.0.10", 53, UDP),
    server("fd00:96::1", 443),
    server("192.0.2.7", 6443),
    { family: 4, mark: 7 },
  ]);
  addLink("10.96.0.1", "10.96.0.10", "fd00:96::1");
  assert.deepEqual(part.find()?.counts, { "virtual servers": 3, links: 1 });
  assert.deepEqual(part.remove(), { "virtual servers": 3, links: 1 });
  assert.deepEqual(left(), ["TCP 192.0.2.7:6443", "mark 7"]);
  assert.equal(routes.link("kube-ipvs0"), undefined);
  assert.equal(part.find(), undefined);
});

test("IpvsPart tells the virtual servers of NodePorts by kube-proxy's sets: port and protocol", () => {
  const { part, left } = rig(
    [
      server("192.0.2.7", 30080),
      server("192.0.2.7", 30080, UDP),
      server("192.0.2.7", 30150, 132),
      server("192.0.2.7", 80),
    ],
    {
      "KUBE-NODE-PORT-TCP": [{ first: 30080, last: 30090 }],
      "KUBE-NODE-PORT-SCTP-HASH": [{ protocol: 132, first: 30150, last: 30150 }],
      mine: [{ first: 80, last: 80 }],
    },
  );
  assert.deepEqual(part.remove(), { "virtual servers": 2 });
  assert.deepEqual(left(), ["UDP 192.0.2.7:30080", "TCP 192.0.2.7:80"]);
});

test("IpvsPart leaves the device while a virtual server could not be removed: by it that one is told", () => {
  const { part, state, routes, addLink, left } = rig([server("10.96.0.1", 443), server("10.96.0.2", 443)]);
  addLink("10.96.0.1", "10.96.0.2");
  state.fail = "TCP 10.96.0.2:443";
  assert.throws(() => part.remove(), /refused/);
  assert.deepEqual(left(), ["TCP 10.96.0.2:443"]);
  assert.ok(routes.link("kube-ipvs0"));
  state.fail = "";
  assert.deepEqual(part.remove(), { "virtual servers": 1, links: 1 });
});

test("IpvsPart does not count what somebody else removed meanwhile", () => {
  const { part, state, addLink } = rig([server("10.96.0.1", 443)]);
  addLink("10.96.0.1");
  const listed = state.servers;
  // The list is what it was; the server is gone when it is to be deleted.
  Object.defineProperty(state, "servers", { get: () => listed, set: () => undefined });
  listed.includes = () => false;
  assert.deepEqual(part.remove(), { links: 1 });
});

test("IpvsPart without IPVS in the kernel knows the device alone", () => {
  const { part, state, addLink } = rig([]);
  state.hasIpvs = false;
  assert.equal(part.find(), undefined);
  addLink("10.96.0.1");
  assert.deepEqual(part.find()?.counts, { links: 1 });
  assert.deepEqual(part.remove(), { links: 1 });
});

test("IpvsPart's fingerprint tells new virtual servers, in any order", () => {
  const { part, state, addLink } = rig([server("10.96.0.1", 443), server("10.96.0.1", 80)]);
  addLink("10.96.0.1");
  const first = part.find()?.fingerprint;
  state.servers.reverse();
  assert.equal(part.find()?.fingerprint, first);
  state.servers.push(server("10.96.0.1", 8080));
  assert.notEqual(part.find()?.fingerprint, first);
});

test("IpvsPart leaves alone what serves through IPVS in its place: virtual servers with our mark", () => {
  const ours = (address: string, flags: number): VirtualServer => ({
    ...server(address, 80),
    server: { key: `${address} . tcp . 80`, scheduler: "rr", flags, timeoutSeconds: 0 },
  });
  const { part, addLink, left } = rig([ours("10.96.0.1", IPVS_MARK), ours("10.96.0.2", 0), server("10.96.0.3", 80)]);
  addLink("10.96.0.1", "10.96.0.2", "10.96.0.3");
  assert.equal(part.find()?.counts["virtual servers"], 2);
  part.remove();
  assert.deepEqual(left(), ["TCP 10.96.0.1:80"]);
});
