/** What IPVS sends on passes no forward hook: policies hold for it all the same, whoever's virtual server it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Family, ipFamily } from "../../model/ip.ts";
import type { NftTable } from "../../model/nft.ts";
import { randomNumbers } from "../services/testing/random-services.ts";
import { PacketTracer } from "../testing/packet-tracer.ts";
import { planPolicyTable } from "./table.ts";
import { PORTS, pick, randomPolicyInput } from "./testing/random-policies.ts";

const ROUNDS = 80;
const FLOWS = 30;
const VIP = { 4: "10.96.0.10", 6: "fd00:10:96::a" } as const;
const OWN = { 4: "192.168.1.11", 6: "fd00::11" } as const;
const OUTSIDE = { 4: "198.51.100.7", 6: "2001:db8::7" } as const;

/** A node with one virtual server: the address of a Service that leads to one endpoint. */
function tracer(table: NftTable, family: Family, port: number, endpoint: string): PacketTracer {
  const key = `${VIP[family]} . tcp . ${port}`;
  return new PacketTracer({
    tables: [table],
    addresses: [OWN[family]],
    ipvs: {
      servers: new Map([[key, { endpoints: [`${endpoint} . ${port}`], timeoutSeconds: 0 }]]),
      bound: [VIP[family]],
    },
    sourceAddress: () => OWN[family],
    route: () => "eth0",
  });
}

test("a packet through a virtual server gets what the same packet to its endpoint gets", () => {
  const random = randomNumbers(41);
  const counts = { sent: 0, dropped: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const input = { ...randomPolicyInput(random), throughIpvs: true };
    const tables = { 4: planPolicyTable(input, 4), 6: planPolicyTable(input, 6) };
    for (let i = 0; i < FLOWS; i++) {
      const family = pick(random, [4, 6] as const);
      const pods = input.pods.flatMap(({ ips }) => ips.filter((ip) => ipFamily(ip) === family));
      if (pods.length === 0) continue;
      const source = random(5) === 0 ? OUTSIDE[family] : pick(random, pods);
      const [endpoint, port] = [pick(random, pods), pick(random, PORTS)];
      const through = tracer(tables[family], family, port, endpoint);
      const verdictTo = (destination: string) =>
        through.send({ source, destination, protocol: "tcp", destinationPort: port, from: "e" }).verdict;
      const direct = verdictTo(endpoint);
      assert.equal(
        verdictTo(VIP[family]),
        direct,
        `${source} to ${endpoint}:${port}: ${JSON.stringify(input.policies)}`,
      );
      counts[direct as "sent"]++;
    }
  }
  assert.ok(counts.sent > 100 && counts.dropped > 100, JSON.stringify(counts));
});

test("the node reaches every pod through a virtual server, as the kubelet does", () => {
  const random = randomNumbers(43);
  for (let round = 0; round < ROUNDS; round++) {
    const input = { ...randomPolicyInput(random), throughIpvs: true };
    const endpoint = input.pods.flatMap(({ ips }) => ips).find((ip) => ipFamily(ip) === 4);
    if (endpoint === undefined) continue;
    const through = tracer(planPolicyTable(input, 4), 4, 80, endpoint);
    // The address that it dials is its own, and so its source.
    const packet = { source: VIP[4], destination: VIP[4], protocol: "tcp", destinationPort: 80 } as const;
    assert.equal(through.send(packet).verdict, "sent");
  }
});
