/**
 * Session affinity over IPv6 in the real kernel, by the agent's own table and real connections: clients keep their endpoint
 * while others come and go, also where it moves to another slot, and while nft(8) saves and restores the ruleset.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { ServiceTable } from "../../src/agent/services/service-table.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { dial } from "../../src/lab/dial.ts";
import { startResponder } from "../../src/lab/kubelet/responder.ts";
import { SERVICE_TABLES } from "../../src/model/marks.ts";
import type { NftSet } from "../../src/model/nft.ts";
import type { ObservedElement } from "../../src/model/nft-changes.ts";
import { DEFAULT_SERVICE_CONFIG } from "../../src/model/node-config.ts";
import { planService } from "../../src/plan/services/frontends.ts";
import { noneTouched, ServiceLedger } from "../../src/plan/services/ledger.ts";
import { planServiceSets } from "../../src/plan/services/table.ts";
import { anEndpoint, aService, aSlice, node1 } from "../../src/plan/services/testing/objects.ts";
import { makeServiceNode, type ServiceNode } from "./service-node.ts";

const VIP = "fd00:10:96::a";
const ENDPOINTS = {
  a: anEndpoint("fd00:10:244:1::5", { nodeName: "node1" }),
  far: anEndpoint("fd00:10:244:2::6", { nodeName: "node2" }),
  node: anEndpoint("fd00:192:168:1::11", { nodeName: "node1" }),
};
type Name = keyof typeof ENDPOINTS;
const ALL = ["a", "far", "node"] as const;
const CLIENTS = ["a", "b", "node", "outside"] as const;
const sticky = aService({ clusterIps: [VIP], affinitySeconds: 1000 });
const TIMEOUT_MS = 5000;
const clientSet = planServiceSets(6, false).find(({ name }) => name === "clients-tcp") as NftSet;

/** The agent's table of IPv6 in a node, with responders behind the endpoints. */
class Rig implements Disposable {
  readonly node: ServiceNode;
  readonly nft;
  readonly #ledger = new ServiceLedger();
  #table: ServiceTable;

  constructor(node: ServiceNode) {
    this.node = node;
    this.nft = node.node.run(() => openNftables());
    this.#table = this.#read();
  }

  [Symbol.dispose](): void {
    this.nft[Symbol.dispose]();
  }

  #read(): ServiceTable {
    const config = { ...DEFAULT_SERVICE_CONFIG, serviceCidrs: ["fd00:10:96::/112"] };
    const table = new ServiceTable({ family: 6, nftables: this.nft, ledger: this.#ledger, config });
    table.adopt(table.read());
    return table;
  }

  /** The agent is another one, which finds what the last one left. */
  restart(): void {
    this.#table = this.#read();
  }

  serve(names: readonly Name[], service = sticky): void {
    const touched = noneTouched();
    this.#ledger.set(
      "default/web",
      planService(service, [aSlice(names.map((name) => ENDPOINTS[name]))], node1),
      touched,
    );
    this.#table.update(touched, node1);
    this.#table.forgetClients();
    this.#table.sweep();
  }

  /** @returns who answers */
  async dial(from: (typeof CLIENTS)[number]): Promise<string> {
    const { paths } = this.node;
    const target = { netns: paths[from], ip: VIP, port: 80, protocol: "TCP", timeoutMs: TIMEOUT_MS } as const;
    const { answer, error } = await dial(target);
    return answer ?? error ?? "nothing";
  }

  async dialAll(): Promise<Map<string, string>> {
    const answers = new Map<string, string>();
    for (const from of CLIENTS) answers.set(from, await this.dial(from));
    return answers;
  }

  clients(): readonly ObservedElement[] {
    return this.nft.elements(SERVICE_TABLES[6], clientSet);
  }

  forgetAll(): void {
    const elements = this.clients().map(({ text }) => text);
    if (elements.length > 0) this.nft.commit(SERVICE_TABLES[6], [{ do: "deleteElements", set: clientSet, elements }]);
  }

  /** Runs the stock tool in the node. */
  tool(args: readonly string[], input = ""): string {
    const ran = this.node.node.run(() => spawnSync("nft", args, { input, encoding: "utf8" }));
    assert.equal(ran.stderr, "");
    return ran.stdout;
  }
}

async function started(t: TestContext): Promise<Rig> {
  const node = await makeServiceNode(t);
  for (const who of ALL) {
    const responder = startResponder(node.paths[who], who, [{ port: 8080, protocol: "TCP" }], true);
    t.after(() => responder.close());
  }
  const rig = new Rig(node);
  t.after(() => rig[Symbol.dispose]());
  rig.serve(ALL);
  // IPv6 needs a moment: addresses of links are tried first.
  const giveUpAt = performance.now() + 20_000;
  for (const from of CLIENTS) {
    while (!(ALL as readonly string[]).includes(await rig.dial(from))) assert.ok(performance.now() < giveUpAt, from);
  }
  rig.forgetAll();
  return rig;
}

/** Everybody whose endpoint is there still has it; the others have one that is. @returns who has what */
async function keeps(rig: Rig, before: ReadonlyMap<string, string>, names: readonly string[]) {
  const after = await rig.dialAll();
  for (const [from, had] of before) {
    const has = after.get(from) ?? "";
    assert.ok(names.includes(has), `${from} reaches ${has}, not one of ${names.join()}`);
    if (names.includes(had)) assert.equal(has, had, `${from} had one that is still there`);
  }
  for (let again = 0; again < 3; again++) assert.deepEqual(await rig.dialAll(), after);
  return after;
}

const slotOf = ({ text }: ObservedElement) => Number(text.split(" . ").at(-1));

test("IPv6 clients keep their endpoint in the kernel while others go, also into another slot, and when the agent is another", async (t) => {
  const rig = await started(t);
  let moved = 0;
  // Until somebody had the last slot when the first endpoint went: the kernel draws, mostly it takes one round or two.
  for (let round = 0; round < 40 && moved === 0; round++) {
    const before = await rig.dialAll();
    assert.equal(rig.clients().length, CLIENTS.length, "each client is remembered once");
    for (const { endsInMs = 0 } of rig.clients()) assert.ok(endsInMs > 900_000 && endsInMs <= 1_000_000);
    moved += rig.clients().filter((client) => slotOf(client) === 2).length;
    rig.serve(["far", "node"]);
    for (const client of rig.clients()) assert.ok(slotOf(client) < 2, client.text);
    const then = await keeps(rig, before, ["far", "node"]);
    if (round % 2 === 1) rig.restart();
    rig.serve(ALL);
    await keeps(rig, then, ALL);
    rig.forgetAll();
    rig.serve(["node"]);
    rig.serve(ALL);
  }
  assert.ok(moved > 0, "a client moved with its endpoint");
  t.diagnostic(`${moved} clients moved`);
});

test("clients that move keep what is left of their time", async (t) => {
  const rig = await started(t);
  const [client, vip] = ["fd00:10:244:1::9", VIP];
  const elements = [`${client} . ${vip} . 80 . 2 timeout 5000ms`];
  rig.nft.commit(SERVICE_TABLES[6], [{ do: "addElements", set: clientSet, elements }]);
  rig.serve(["far", "node"]);
  const [found, ...others] = rig.clients();
  assert.deepEqual([found?.text, others], [`${client} . ${vip} . 80 . 0`, []]);
  assert.ok((found?.endsInMs ?? 0) > 0 && (found?.endsInMs ?? 0) <= 5000, String(found?.endsInMs));
  assert.match(rig.tool(["list", "ruleset"]), /fd00:10:244:1::9 \. .* \. 80 \. 0 timeout 16m40s expires [0-4]s/);
  // The next connection renews it for the whole timeout.
  assert.equal(await rig.dial("b"), "node");
  assert.ok((rig.clients()[0]?.endsInMs ?? 0) > 900_000);
});

test("affinity is switched off and on in the kernel: all clients are forgotten, the table is as before", async (t) => {
  const rig = await started(t);
  await rig.dialAll();
  const { affinitySeconds: _, ...plain } = sticky;
  const held = () => {
    const table = rig.nft.table(SERVICE_TABLES[6]);
    return [table?.sets, table?.chains.toSorted((a, b) => (a.name < b.name ? -1 : 1))];
  };
  const before = held();
  rig.serve(ALL, plain);
  assert.deepEqual(rig.clients(), []);
  assert.doesNotMatch(rig.tool(["list", "ruleset"]), /affinity-tcp/);
  rig.serve(ALL);
  assert.deepEqual(held(), before);
});

test("nft(8) saves and restores the table with its clients: who had an endpoint has it still", async (t) => {
  const rig = await started(t);
  const before = await rig.dialAll();
  const whole = () => rig.tool(["list", "ruleset"]).replaceAll(/expires [0-9a-z]+/g, "expires T");
  const printed = rig.tool(["list", "ruleset"]);
  const expected = whole();
  assert.match(printed, /set clients-tcp {[^}]*elements = {/);
  rig.tool(["-f", "-"], `flush ruleset\n${printed}`);
  assert.equal(whole(), expected);
  assert.deepEqual(await rig.dialAll(), before);
  rig.restart();
  rig.serve(["far", "node"]);
  await keeps(rig, before, ["far", "node"]);
});
