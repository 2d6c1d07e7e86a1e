/** The tracer against the kernel: random tables, packets sent over loopback, and where each of them came out. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { diffNft } from "../../src/diff/nft.ts";
import {
  openServerSocket,
  receiveSocket,
  sendSocket,
  socketAddress,
  socketError,
} from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { procSysctl } from "../../src/kernel/sysctl.ts";
import { formatNftTable } from "../../src/model/nft.ts";
import { formatOutcome, PacketTracer } from "../../src/plan/testing/packet-tracer.ts";
import { addLoopbackAddresses, type TestNamespace, testNamespace } from "./namespaces.ts";
import { DESTINATIONS, PORTS, randomRules, SOURCES } from "./random-rules.ts";

const ROUNDS = 120;
const PACKETS = 30;
/** Nothing comes out of loopback later than this after it was sent; what was not dropped is there at once, mostly. */
const SILENCE_MS = 4;
const PATIENCE_MS = 500;
const FIRST_PORT = 10_000;

interface Sockets {
  readonly servers: ReadonlyMap<string, number>;
  /** Sends one packet that opens a flow. @returns what became of it, looking longer when it `shouldArrive` */
  send(source: string, destination: string, port: number, shouldArrive: boolean): Promise<string>;
}

function openSockets(t: TestContext, ns: TestNamespace): Sockets {
  const servers = new Map<string, number>();
  for (const ip of DESTINATIONS) {
    for (const port of PORTS)
      servers.set(
        `${ip}:${port}`,
        ns.run(() => openServerSocket(ip, port, "UDP")),
      );
  }
  t.after(() => {
    for (const fd of servers.values()) libc.close(fd);
  });
  const received = (text: string): string | undefined => {
    const found = [...servers].filter(([, fd]) => {
      const data = receiveSocket(fd, 64);
      return typeof data !== "string" && data.toString() === text;
    });
    return found[0]?.[0];
  };
  let number = 0;
  return {
    servers,
    async send(source, destination, port, shouldArrive) {
      // A port that was used before would go on with its flow.
      const fd = ns.run(() => openServerSocket(source, FIRST_PORT + number, "UDP"));
      try {
        const address = socketAddress(destination, port);
        assert.equal(libc.connect(fd, address, address.length), 0);
        const text = `packet ${number++}`;
        sendSocket(fd, Buffer.from(text));
        for (const wait of [0, SILENCE_MS, ...(shouldArrive ? [PATIENCE_MS] : [])]) {
          if (wait > 0) await sleep(wait);
          if (socketError(fd) === "ECONNREFUSED") return "rejected (icmp)";
          const at = received(text);
          if (at !== undefined) return `${at} from ${source}`;
        }
        return "dropped";
      } finally {
        libc.close(fd);
      }
    },
  };
}

function numbers(seed: number): (below: number) => number {
  let value = seed;
  return (below) => {
    value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
    return (value >> 8) % below;
  };
}

test(`PacketTracer says what the kernel does: ${ROUNDS} random rulesets, ${PACKETS} packets each`, async (t) => {
  const ns = testNamespace(t);
  await addLoopbackAddresses(ns, [...SOURCES, ...DESTINATIONS]);
  // No limit for errors: the test counts each.
  ns.run(() => procSysctl.write("net/ipv4/icmp_ratemask", "0"));
  using nft = ns.run(() => openNftables());
  const sockets = openSockets(t, ns);
  const random = numbers(7);
  const seen = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const { tables, drawsLots } = randomRules(random);
    for (const table of tables) {
      if (nft.table(table) !== undefined) nft.commit(table, [{ do: "deleteTable" }]);
      nft.commit(table, diffNft(table, undefined));
    }
    const tracer = new PacketTracer({
      tables,
      addresses: [...SOURCES, ...DESTINATIONS],
      route: () => undefined,
      sourceAddress: () => "127.0.0.1",
    });
    for (let packet = 0; packet < PACKETS; packet++) {
      const [source = "", destination = ""] = [SOURCES[random(3)], DESTINATIONS[random(4)]];
      const port = PORTS[random(3)] as number;
      const given = { source, destination, destinationPort: port, protocol: "udp" } as const;
      // Where the kernel draws lots, what it then remembers is not known.
      const expected = drawsLots ? tracer.texts(given) : [formatOutcome(tracer.send(given))];
      const found = await sockets.send(source, destination, port, !expected.includes("dropped"));
      const kind = found.includes(" from ")
        ? found.startsWith(`${destination}:${port}`)
          ? "passed"
          : "translated"
        : found;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (expected.includes(found)) continue;
      const traces = drawsLots ? tracer.outcomes(given) : [tracer.outcomes(given)[0]];
      const why = traces.map((outcome) => outcome?.trace.join("\n")).join("\n\n");
      assert.fail(
        `round ${round}: ${found}, not ${expected.join(" or ")}\n${why}\n${tables.map(formatNftTable).join("\n")}`,
      );
    }
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(seen)));
  for (const kind of ["passed", "translated", "dropped", "rejected (icmp)"]) {
    assert.ok((seen.get(kind) ?? 0) > 2 * ROUNDS, `${kind} often enough: ${seen.get(kind)}`);
  }
});
