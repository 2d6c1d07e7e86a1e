import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { isBreakwaterError } from "../../model/errors.ts";
import { decodeTable, encodeTable, type RawTable, ruleContent, tableEntries, type XtTable } from "./table-codec.ts";

interface Golden {
  readonly raw: RawTable;
  /** What iptables-save printed of all tables. */
  readonly save: readonly string[];
}

/** Tables as the kernel gave them, made by iptables-legacy-restore: see test/kernel/kube-proxy.test.ts. */
function golden(name: "nat4" | "filter6"): Golden {
  const { entries, save, ...rest } = JSON.parse(
    fs.readFileSync(join(import.meta.dirname, "testdata", `${name}.json`), "utf8"),
  );
  return { raw: { ...rest, entries: gunzipSync(Buffer.from(entries, "base64")) }, save };
}

/** The lines of one table in what iptables-save printed. */
function tableLines({ raw, save }: Golden): string[] {
  const start = save.indexOf(`*${raw.name}`);
  return save.slice(start + 1, save.indexOf("COMMIT", start));
}

/** "PREROUTING: KUBE-SERVICES DOCKER - .", a word a rule: where it jumps to, "-" elsewhere, "." on to the next. */
function describe({ chains }: XtTable): string[] {
  return chains.map(({ name, rules }) => {
    const words = rules.map(({ jump, fallsThrough }) => jump ?? (fallsThrough === true ? "." : "-"));
    return `${name}: ${words.join(" ")}`;
  });
}

/** The same from iptables-save's lines. */
function describeLines(lines: readonly string[]): string[] {
  const chains = lines.flatMap((line) => /^:(\S+)/.exec(line)?.[1] ?? []);
  return chains.map((name) => {
    const rules = lines.filter((line) => line.includes(` -A ${name} `));
    const words = rules.map((line) => {
      const target = /-[jg] (\S+)/.exec(line)?.[1];
      return target === undefined ? "." : chains.includes(target) ? target : "-";
    });
    return `${name}: ${[...words, "-"].join(" ")}`;
  });
}

for (const name of ["nat4", "filter6"] as const) {
  test(`decodeTable() finds in ${name} the chains and jumps that iptables-save prints`, () => {
    const table = golden(name);
    const described = describe(decodeTable(table.raw));
    assert.ok(described.length > 10);
    assert.deepEqual(described, describeLines(tableLines(table)));
  });

  test(`encodeTable() gives ${name} back byte for byte when nothing was changed`, () => {
    const { raw } = golden(name);
    assert.deepEqual(encodeTable(decodeTable(raw)), raw);
  });

  test(`encodeTable() writes jumps, hooks and underflows of ${name} anew when rules and chains are gone`, () => {
    const { raw } = golden(name);
    const table = decodeTable(raw);
    const smaller: XtTable = {
      ...table,
      chains: table.chains
        .filter(({ name: chain }) => !chain.startsWith("KUBE-"))
        .map((chain) => ({ ...chain, rules: chain.rules.filter(({ jump }) => jump?.startsWith("KUBE-") !== true) })),
    };
    const encoded = encodeTable(smaller);
    assert.ok(encoded.entries.length < raw.entries.length && encoded.entryCount < raw.entryCount);
    assert.deepEqual(describe(decodeTable(encoded)), describe(smaller));
    const policies = decodeTable(encoded).chains.filter(({ hook }) => hook !== undefined);
    assert.deepEqual(
      policies.map(({ rules }) => rules.at(-1)?.bytes),
      table.chains.filter(({ hook }) => hook !== undefined).map(({ rules }) => rules.at(-1)?.bytes),
      "policies with their counters are those that were there",
    );
    const kept = tableEntries(smaller).map(({ index }) => index);
    assert.deepEqual(
      kept,
      kept.toSorted((a, b) => a - b),
      "entries stay in order",
    );
  });
}

test("encodeTable() keeps the numbers of hooks that the table has not", () => {
  const { raw } = golden("nat4");
  assert.equal(raw.validHooks & (1 << 2), 0, "nat has no FORWARD");
  assert.deepEqual([encodeTable(decodeTable(raw)).hookEntry[2]], [raw.hookEntry[2]]);
});

test("encodeTable() refuses a jump to a chain that is gone", () => {
  const table = decodeTable(golden("nat4").raw);
  const broken = { ...table, chains: table.chains.filter(({ name }) => name !== "DOCKER") };
  assert.throws(() => encodeTable(broken), /jumps to DOCKER, which is gone/);
});

test("ruleContent() is the same wherever a rule stands and whatever passed it, and another for another rule", () => {
  const { raw } = golden("nat4");
  const table = decodeTable(raw);
  const without = decodeTable(
    encodeTable({ ...table, chains: table.chains.filter(({ name }) => name !== "KUBE-PROXY-CANARY") }),
  );
  const contents = ({ chains }: XtTable) =>
    chains
      .filter(({ name }) => name !== "KUBE-PROXY-CANARY")
      .flatMap(({ rules }) => rules.map((rule) => ruleContent(4, rule).toString("hex")));
  assert.deepEqual(contents(without), contents(table));
  const services = table.chains.find(({ name }) => name === "KUBE-SERVICES")?.rules ?? [];
  assert.equal(new Set(services.map((rule) => ruleContent(4, rule).toString("hex"))).size, services.length);
});

test("decodeTable() says what is wrong with a table that no iptables makes", () => {
  const { raw } = golden("nat4");
  const cut = (bytes: number): RawTable => ({ ...raw, entries: raw.entries.subarray(0, raw.entries.length - bytes) });
  const written = (offset: number, value: number): RawTable => {
    const entries = Buffer.from(raw.entries);
    entries.writeUInt16LE(value, offset);
    return { ...raw, entries };
  };
  const cases: [RawTable, RegExp][] = [
    [cut(1), /no room for its target|cut short/],
    [cut(176), /entries and should have|no end/],
    [{ ...raw, entryCount: raw.entryCount + 1 }, /entries and should have/],
    [{ ...raw, entries: Buffer.alloc(0), entryCount: 0 }, /no end/],
    [{ ...raw, validHooks: 0 }, /belongs to no chain/],
    [written(88, 0), /no room for its target/],
    [written(90, 0), /no room for its target/],
    [written(90, 0xffff), /no room for its target/],
  ];
  for (const [table, why] of cases) {
    assert.throws(
      () => decodeTable(table),
      (error: unknown) => isBreakwaterError(error, "BW_XTABLES") && why.test(error.message),
    );
  }
});

test("decodeTable() refuses a jump into the middle of a chain", () => {
  const { raw } = golden("nat4");
  const table = decodeTable(raw);
  const jump = table.chains.flatMap(({ rules }) => rules).find((rule) => rule.jump !== undefined);
  assert.ok(jump);
  const verdict = jump.bytes.readUInt16LE(88) + 32;
  // The bytes are a view of the table's own.
  jump.bytes.writeInt32LE(jump.bytes.readInt32LE(verdict) + 8, verdict);
  assert.throws(() => decodeTable(raw), /jumps into the middle of a chain/);
});

test("decodeTable() ends on any bytes, with a table that encodes to them or with an error", () => {
  const { raw } = golden("filter6");
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const entries = Buffer.from(raw.entries);
    for (let i = 0; i < 1 + random(4); i++) entries[random(entries.length)] = random(256);
    try {
      assert.deepEqual(encodeTable(decodeTable({ ...raw, entries })).entries, entries);
    } catch (error) {
      assert.ok(isBreakwaterError(error, "BW_XTABLES"), String(error));
      refused++;
    }
  }
  assert.ok(refused > 0 && refused < 400);
});
