import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { isKubeProxyChain } from "../../model/kube-proxy.ts";
import { decodeTable, type RawTable } from "../xtables/table-codec.ts";
import type { XtTables } from "../xtables/table-socket.ts";
import { IptablesLegacyPart } from "./iptables-legacy.ts";

/** Tables that a real kernel gave, see ../xtables/table-codec.test.ts. */
function golden(name: string): RawTable & { readonly save: readonly string[] } {
  const file = join(import.meta.dirname, "../xtables/testdata", `${name}.json`);
  const { entries, ...rest } = JSON.parse(fs.readFileSync(file, "utf8"));
  return { ...rest, entries: gunzipSync(Buffer.from(entries, "base64")) };
}

/** How many lines of a table iptables-save prints of kube-proxy's: chains, and rules in them or with a jump to them. */
function kubeProxyLines(name: string): { chains: number; rules: number } {
  const table = golden(name);
  const start = table.save.indexOf(`*${table.name}`);
  const lines = table.save.slice(start, table.save.indexOf("COMMIT", start));
  const own = lines.filter((line) => line.split(/[\s:]/).some(isKubeProxyChain));
  const chains = own.filter((line) => line.startsWith(":")).length;
  return { chains, rules: own.length - chains };
}

/** Tables in memory. The counters of entry n are n packets and 1000 + n bytes. */
function rig() {
  const tables = new Map<string, RawTable>(
    [golden("nat4"), golden("filter6")].map((table) => [`${table.name}${table.family}`, table]),
  );
  const log: string[] = [];
  const added = new Map<string, number[]>();
  const state = { fail: "", locked: false };
  const kernel: XtTables = {
    names: (family) => [...tables.values()].filter((table) => table.family === family).map(({ name }) => name),
    read: (family, name) => tables.get(`${name}${family}`),
    replace: (table, oldCount) => {
      const name = `${table.name}${table.family}`;
      assert.ok(state.locked, "tables are replaced under the lock");
      if (state.fail === `replace ${name}`) throw new Error(state.fail);
      assert.equal(oldCount, tables.get(name)?.entryCount);
      log.push(`replace ${name}`);
      tables.set(name, table);
      const counters = Buffer.alloc(oldCount * 16);
      for (let i = 0; i < oldCount; i++) {
        counters.writeBigUInt64LE(BigInt(i), i * 16);
        counters.writeBigUInt64LE(BigInt(1000 + i), i * 16 + 8);
      }
      return counters;
    },
    addCounters: (family, name, counters) => {
      log.push(`addCounters ${name}${family}`);
      const packets = Array.from({ length: counters.length / 16 }, (_, i) => Number(counters.readBigUInt64LE(i * 16)));
      added.set(`${name}${family}`, packets);
    },
  };
  const withLock = <T>(body: () => T): T => {
    state.locked = true;
    try {
      return body();
    } finally {
      state.locked = false;
    }
  };
  return { part: new IptablesLegacyPart(kernel, withLock), tables, log, added, state };
}

function chainNames(table: RawTable | undefined): string[] {
  return table === undefined ? [] : decodeTable(table).chains.map(({ name }) => name);
}

test("IptablesLegacyPart replaces each table once, and restores its counters behind that", () => {
  const { part, log, tables } = rig();
  const before = chainNames(tables.get("nat4"));
  const [nat, filter] = [kubeProxyLines("nat4"), kubeProxyLines("filter6")];
  assert.deepEqual(part.remove(), { chains: nat.chains + filter.chains, rules: nat.rules + filter.rules });
  assert.deepEqual(log, ["replace nat4", "addCounters nat4", "replace filter6", "addCounters filter6"]);
  assert.deepEqual(
    chainNames(tables.get("nat4")),
    before.filter((name) => !isKubeProxyChain(name)),
  );
});

test("IptablesLegacyPart gives each entry that stays the counters that it had", () => {
  const { part, tables, added } = rig();
  const texts = (table: RawTable) =>
    decodeTable(table).chains.flatMap(({ rules }) =>
      rules.map(({ bytes, index }) => [bytes.toString("hex"), index] as const),
    );
  const old = Map.groupBy(texts(golden("nat4")), ([text]) => text);
  part.remove();
  const now = tables.get("nat4");
  assert.ok(now);
  // Rules with a jump are written anew, and the last ones of chains are all the same.
  const unique = texts(now).filter(([text]) => old.get(text)?.length === 1);
  assert.ok(unique.length > 12);
  for (const [text, index] of unique) assert.equal(added.get("nat4")?.[index], old.get(text)?.[0]?.[1]);
  assert.equal(added.get("nat4")?.length, now.entryCount);
});

test("IptablesLegacyPart leaves what it could not replace, and goes on there", () => {
  const { part, state, log } = rig();
  const all = part.find()?.counts;
  state.fail = "replace filter6";
  assert.throws(() => part.remove(), /replace filter6/);
  assert.equal(state.locked, false, "the lock is given back");
  const rest = part.find()?.counts ?? {};
  assert.ok((rest["chains"] ?? 0) > 0 && (rest["chains"] ?? 0) < (all?.["chains"] ?? 0));
  state.fail = "";
  log.length = 0;
  assert.deepEqual(part.remove(), rest);
  assert.deepEqual(log, ["replace filter6", "addCounters filter6"]);
  assert.equal(part.find(), undefined);
  assert.deepEqual(part.remove(), {});
});

test("IptablesLegacyPart touches no table that it does not understand", () => {
  const { part, tables, log } = rig();
  const nat = golden("nat4");
  tables.set("nat4", { ...nat, entries: nat.entries.subarray(0, nat.entries.length - 8) });
  assert.throws(() => part.remove(), /Cannot understand the IPv4 table nat/);
  assert.deepEqual(log, []);
});
