/** Elements of frontends: the fewest that bring the kernel from one state to the next, and none that a packet would miss. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyNftChange, type FakeTable, observeTable } from "../kernel/fake/nft-steps.ts";
import type { Frontend } from "../model/frontend.ts";
import type { NftSet } from "../model/nft.ts";
import type { ObservedTable } from "../model/nft-changes.ts";
import { planServiceChains } from "../plan/services/chains.ts";
import { frontendElements, frontendNeeds } from "../plan/services/elements.ts";
import { planService } from "../plan/services/frontends.ts";
import { claimFrontends, planServiceSets, slotElement } from "../plan/services/table.ts";
import { node1 } from "../plan/services/testing/objects.ts";
import { randomCluster, randomNumbers } from "../plan/services/testing/random-services.ts";
import { diffNft } from "./nft.ts";
import {
  changeFrontend,
  ElementBatch,
  hasLeftovers,
  type ObservedFrontend,
  observeFrontends,
  sweepFrontend,
} from "./services.ts";

const KEY = "10.96.0.10 . tcp . 80";
const TABLE = { family: "ip", name: "breakwater" } as const;
const sets = new Map(planServiceSets(4, false).map((set) => [set.name, set]));
const at = (...numbers: number[]) => numbers.map((number) => `10.244.1.${number} . 8080`);

function frontend(endpoints: readonly string[], fields: Partial<Frontend> = {}): Frontend {
  return {
    key: KEY,
    family: 4,
    address: "10.96.0.10",
    protocol: "tcp",
    port: 80,
    kind: "ClusterIP",
    service: "default/web:http",
    endpoints,
    otherwise: "reject",
    keepsSource: false,
    ...fields,
  };
}

/** The batch as lines: "- services KEY : …", "+ endpoints KEY . 1 : …". */
function lines(batch: ElementBatch): string[] {
  return batch.changes(sets).flatMap((change) => {
    if (change.do !== "addElements" && change.do !== "deleteElements") return [];
    return change.elements.map((element) => `${change.do === "addElements" ? "+" : "-"} ${change.set.name} ${element}`);
  });
}

/** What the kernel has after `wanted` came to `before`, and the steps there. */
function change(before: ObservedFrontend | undefined, wanted: Frontend | undefined) {
  const batch = new ElementBatch();
  const after = changeFrontend(KEY, before, wanted, batch);
  return { after, steps: lines(batch), size: batch.size };
}

/** What the kernel has after these frontends, one behind the other. */
function having(...wanted: (Frontend | undefined)[]): ObservedFrontend | undefined {
  return wanted.reduce<ObservedFrontend | undefined>((before, next) => change(before, next).after, undefined);
}

const verdict = (count: number) => `services ${KEY} comment "ClusterIP default/web:http" : goto lb-${count}`;
const slot = (number: number, endpoint: string) => `endpoints ${slotElement(KEY, number, endpoint)}`;

test("changeFrontend() makes a frontend of its verdict and a slot for each endpoint", () => {
  const { after, steps, size } = change(undefined, frontend(at(5, 6)));
  assert.deepEqual(steps, [`+ ${verdict(2)}`, `+ ${slot(0, at(5)[0] ?? "")}`, `+ ${slot(1, at(6)[0] ?? "")}`]);
  assert.equal(size, 3);
  assert.deepEqual(after?.endpoints, at(5, 6));
});

test("changeFrontend() changes nothing where nothing differs, whatever the order of endpoints", () => {
  const have = having(frontend(at(5, 6, 7)));
  assert.deepEqual(change(have, frontend(at(7, 5, 6))).steps, []);
  assert.deepEqual(change(have, frontend(at(5, 6, 7))).after, have);
});

test("changeFrontend() adds an endpoint with three elements", () => {
  const { steps, size } = change(having(frontend(at(5, 6))), frontend(at(1, 5, 6)));
  assert.deepEqual(steps, [`- ${verdict(2)}`, `+ ${verdict(3)}`, `+ ${slot(2, at(1)[0] ?? "")}`]);
  assert.equal(size, 3);
});

test("changeFrontend() swaps an endpoint in its slot, and the verdict stays", () => {
  const { steps, after } = change(having(frontend(at(5, 6, 7))), frontend(at(5, 7, 8)));
  assert.deepEqual(steps, [`- ${slot(1, at(6)[0] ?? "")}`, `+ ${slot(1, at(8)[0] ?? "")}`]);
  assert.deepEqual(after?.endpoints, at(5, 8, 7));
});

test("changeFrontend() takes an endpoint away with four elements at most, and leaves the slot behind the last for the sweep", () => {
  const last = change(having(frontend(at(5, 6, 7))), frontend(at(5, 6)));
  assert.deepEqual(last.steps, [`- ${verdict(3)}`, `+ ${verdict(2)}`]);
  assert.deepEqual(last.after?.endpoints, at(5, 6, 7));
  const first = change(having(frontend(at(5, 6, 7))), frontend(at(6, 7)));
  // The one from behind takes the place, and is there twice until the sweep.
  assert.deepEqual(first.steps, [
    `- ${verdict(3)}`,
    `- ${slot(0, at(5)[0] ?? "")}`,
    `+ ${verdict(2)}`,
    `+ ${slot(0, at(7)[0] ?? "")}`,
  ]);
  assert.deepEqual(first.after?.endpoints, at(7, 6, 7));
});

test("sweepFrontend() deletes the slots behind the last one, once", () => {
  const wanted = frontend(at(5));
  const have = having(frontend(at(5, 6, 7)), wanted) as ObservedFrontend;
  assert.equal(hasLeftovers(have, wanted), true);
  const batch = new ElementBatch();
  const after = sweepFrontend(KEY, have, wanted, batch) as ObservedFrontend;
  assert.deepEqual(lines(batch), [`- ${slot(1, at(6)[0] ?? "")}`, `- ${slot(2, at(7)[0] ?? "")}`]);
  assert.equal(hasLeftovers(after, wanted), false);
  const again = new ElementBatch();
  assert.equal(sweepFrontend(KEY, after, wanted, again)?.endpoints, after.endpoints);
  assert.equal(again.isEmpty, true);
});

test("changeFrontend() takes slots that wait for the sweep before it makes new ones", () => {
  const have = having(frontend(at(5, 6, 7)), frontend(at(5)));
  assert.deepEqual(change(have, frontend(at(5, 7))).steps, [
    `- ${verdict(1)}`,
    `- ${slot(1, at(6)[0] ?? "")}`,
    `+ ${verdict(2)}`,
    `+ ${slot(1, at(7)[0] ?? "")}`,
  ]);
  assert.deepEqual(change(have, frontend(at(5, 6, 7))).steps, [`- ${verdict(1)}`, `+ ${verdict(3)}`]);
});

test("a frontend that goes loses its verdict first and its slots with the sweep; the key is forgotten then", () => {
  const { after, steps } = change(having(frontend(at(5, 6))), undefined);
  assert.deepEqual(steps, [`- ${verdict(2)}`]);
  assert.deepEqual(after, { single: {}, ranges: [], endpoints: at(5, 6), outsideEndpoints: [] });
  const batch = new ElementBatch();
  assert.equal(sweepFrontend(KEY, after as ObservedFrontend, undefined, batch), undefined);
  assert.equal(batch.size, 2);
  assert.equal(change(having(frontend([])), undefined).after, undefined, "one without slots is forgotten at once");
});

test("a frontend without endpoints has a verdict only where it drops", () => {
  assert.deepEqual(change(undefined, frontend([])).steps, []);
  const drop = frontend([], { otherwise: "drop" });
  assert.deepEqual(change(undefined, drop).steps, [`+ services ${KEY} comment "ClusterIP default/web:http" : drop`]);
});

const holes: [string, (string | undefined)[], string[], string[]][] = [
  ["the first slot", [undefined, ...at(6)], at(5, 6), [`+ ${slot(0, at(5)[0] ?? "")}`]],
  ["one in between", [...at(5), undefined, ...at(7)], at(5, 6, 7), [`+ ${slot(1, at(6)[0] ?? "")}`]],
  ["the last slot", at(5), at(5, 6), [`+ ${slot(1, at(6)[0] ?? "")}`]],
  ["all", [], at(5), [`+ ${slot(0, at(5)[0] ?? "")}`]],
];
for (const [name, slots, endpoints, expected] of holes) {
  test(`changeFrontend() fills what the kernel lost: ${name}`, () => {
    const elements = slots.flatMap((endpoint, i) => (endpoint === undefined ? [] : [slotElement(KEY, i, endpoint)]));
    const single = { services: verdict(endpoints.length).replace("services ", "") };
    // As the kernel's elements are read: what is missing is a hole.
    const read = observeFrontends([{ name: "endpoints", elements }]).get(KEY);
    const before = { single, ranges: [], endpoints: read?.endpoints ?? [], outsideEndpoints: [] };
    const { steps, after } = change(before, frontend(endpoints));
    assert.deepEqual(steps, expected);
    assert.deepEqual(after?.endpoints, endpoints);
  });
}

test("changeFrontend() leaves one of an endpoint that the kernel holds twice, and gives the other slot away", () => {
  const before = { ...(having(frontend(at(5, 6, 7))) as ObservedFrontend), endpoints: at(5, 5, 7) };
  const { steps, after } = change(before, frontend(at(5, 6, 7)));
  assert.deepEqual(steps, [`- ${slot(1, at(5)[0] ?? "")}`, `+ ${slot(1, at(6)[0] ?? "")}`]);
  assert.deepEqual(after?.endpoints, at(5, 6, 7));
});

test("changeFrontend() replaces elements whose comment or verdict is another's", () => {
  const have = having(frontend(at(5))) as ObservedFrontend;
  const other = { ...have, single: { services: `${KEY} comment "else" : goto lb-1` } };
  assert.deepEqual(change(other, frontend(at(5))).steps, [
    `- services ${KEY} comment "else" : goto lb-1`,
    `+ ${verdict(1)}`,
  ]);
});

test("changeFrontend() replaces source ranges one by one", () => {
  const guarded = (...sourceRanges: string[]) => frontend(at(5), { kind: "LoadBalancer", sourceRanges });
  const { steps } = change(having(guarded("10.0.0.0/8", "10.1.0.0/16")), guarded("10.1.0.0/16", "192.168.0.0/16"));
  assert.deepEqual(steps, [`- source-ranges ${KEY} . 10.0.0.0/8`, `+ source-ranges ${KEY} . 192.168.0.0/16`]);
  const all = change(having(guarded("10.0.0.0/8")), frontend(at(5), { kind: "LoadBalancer" })).steps;
  assert.deepEqual(all, [`- guarded ${KEY}`, `- source-ranges ${KEY} . 10.0.0.0/8`]);
});

test("changeFrontend() keeps endpoints of traffic from outside apart", () => {
  const local = (outside: string[]) => frontend(at(5, 6), { kind: "LoadBalancer", keepsSource: true, outside });
  const { steps, after } = change(having(local(at(5, 7))), local(at(7)));
  assert.deepEqual(steps, [
    `- outside ${KEY} : goto outside-2`,
    `- outside-endpoints ${slotElement(KEY, 0, at(5)[0] ?? "")}`,
    `+ outside ${KEY} : goto outside-1`,
    `+ outside-endpoints ${slotElement(KEY, 0, at(7)[0] ?? "")}`,
  ]);
  assert.deepEqual(after?.outsideEndpoints, at(7, 7));
});

test("observeFrontends() reads what frontendElements() writes, IPv6 too", () => {
  for (const [key, address, endpoint] of [
    [KEY, "10.96.0.10", "10.244.1.5 . 8080"],
    ["fd00:10:96::a . tcp . 80", "fd00:10:96::a", "fd00:10:244:1::5 . 8080"],
  ] as const) {
    const full = frontend([endpoint], {
      ...{ key, address, kind: "LoadBalancer", outside: [endpoint], affinitySeconds: 10, keepsSource: true },
      sourceRanges: [address.includes(":") ? "fd00::/8" : "10.0.0.0/8"],
    });
    const { single, ranges } = frontendElements(full);
    const elements: Record<string, string[]> = Object.fromEntries(
      Object.entries(single).map(([set, text]) => [set, [text]]),
    );
    const read = observeFrontends([
      ...Object.entries(elements).map(([name, texts]) => ({ name, elements: texts })),
      { name: "source-ranges", elements: ranges },
      { name: "endpoints", elements: [slotElement(key, 0, endpoint)] },
      { name: "outside-endpoints", elements: [slotElement(key, 0, endpoint)] },
      { name: "cluster-ips", elements: [address] },
    ]);
    assert.deepEqual([...read], [[key, { single, ranges, endpoints: [endpoint], outsideEndpoints: [endpoint] }]]);
    if (key === KEY) assert.deepEqual(change(read.get(key), full).steps, []);
  }
});

test("observeFrontends() reads slots in any order, and what nobody would have put there without harm", () => {
  const slots = [2, 0, 1].map((i) => slotElement(KEY, i, `10.244.1.${i} . 80`));
  const stray = slotElement(KEY, 4_000_000_000, "10.0.0.1 . 1");
  const read = observeFrontends([{ name: "endpoints", elements: [...slots, stray] }]).get(KEY);
  assert.deepEqual(read?.endpoints, ["10.244.1.0 . 80", "10.244.1.1 . 80", "10.244.1.2 . 80"]);
  const { steps, after } = change(read, frontend(at(5)));
  assert.ok(steps.includes(`- endpoints ${stray}`));
  assert.equal(after?.strays, undefined);
});

/** A table in memory with every chain that any of these may need. */
function emptyTable(frontends: readonly Frontend[]) {
  const needs = frontends.flatMap(frontendNeeds);
  const chains = planServiceChains({ family: 4, podCidrs: [], serviceCidrs: [], dropInvalid: true, needs });
  const wanted = { ...TABLE, sets: [...sets.values()], chains };
  return diffNft(wanted, undefined).reduce<ReturnType<typeof applyNftChange>>(
    (table, step) => applyNftChange(TABLE, table, step),
    undefined,
  );
}

/** Slots that a packet could draw and not find: `before` is what it read of the verdicts, `now` of the slots. */
function missingSlots(before: ObservedTable, now: ObservedTable): string[] {
  const slots = observeFrontends(now.sets);
  return [...observeFrontends(before.sets)].flatMap(([key, { single }]) =>
    (
      [
        ["services", "endpoints"],
        ["outside", "outsideEndpoints"],
      ] as const
    ).flatMap(([set, list]) => {
      const [, count] = /goto (?:outside-)?(?:lb|affinity|outside)-(\d+)$/.exec(single[set] ?? "") ?? [];
      const have = slots.get(key)?.[list] ?? [];
      return Array.from({ length: Number(count ?? 0) }, (_, i) => i)
        .filter((i) => have[i] === undefined)
        .map((i) => `${set} ${key} slot ${i}`);
    }),
  );
}

function elementsOf(table: ObservedTable): Record<string, string[]> {
  const plain = (set: Omit<NftSet, "comment">) =>
    set.elements
      .map((element) => (set.name.endsWith("endpoints") ? element.replace(/ \. \d+ : /, " : ") : element))
      .sort();
  return Object.fromEntries(table.sets.map((set) => [set.name, plain(set)]));
}

type Frontends = ReadonlyMap<string, Frontend>;

/** The state of frontends in a random cluster. */
function randomState(random: (below: number) => number): Frontends {
  const { services, slicesOf } = randomCluster(random);
  const plans = services.map((service) => planService(service, slicesOf(service), node1));
  return new Map([...claimFrontends(plans).frontends].filter(([, { family }]) => family === 4));
}

/** The kernel's table, what is believed of it, and transactions between the two. */
class Kernel {
  #table: ReturnType<typeof applyNftChange>;
  known: ReadonlyMap<string, ObservedFrontend> = new Map();

  constructor(all: readonly Frontend[]) {
    this.#table = emptyTable(all);
  }

  read(): ObservedTable {
    return observeTable(TABLE, this.#table as FakeTable);
  }

  /** What is believed of frontends that have any element. */
  held(): Map<string, ObservedFrontend> {
    const isEmpty = ({ single, ranges, endpoints, outsideEndpoints }: ObservedFrontend) =>
      Object.keys(single).length + ranges.length + endpoints.length + outsideEndpoints.length === 0;
    return new Map([...this.known].filter(([, frontend]) => !isEmpty(frontend)));
  }

  /** One transaction, behind which no packet may miss a slot, whether it read its verdict before or behind it. */
  commit(
    what: string,
    keys: Iterable<string>,
    make: (key: string, batch: ElementBatch) => ObservedFrontend | undefined,
  ) {
    const batch = new ElementBatch();
    const known = new Map(this.known);
    for (const key of keys) {
      const after = make(key, batch);
      if (after === undefined) known.delete(key);
      else known.set(key, after);
    }
    const before = this.read();
    for (const step of batch.changes(sets)) this.#table = applyNftChange(TABLE, this.#table, step);
    const now = this.read();
    assert.deepEqual(missingSlots(now, now), [], what);
    assert.deepEqual(missingSlots(before, now), [], `${what}, for who read the verdict before`);
    this.known = known;
  }

  enter(what: string, state: Frontends): void {
    const keys = new Set([...this.known.keys(), ...state.keys()]);
    this.commit(what, keys, (key, batch) => changeFrontend(key, this.known.get(key), state.get(key), batch));
  }

  sweep(what: string, state: Frontends): void {
    this.commit(what, [...this.known.keys()], (key, batch) => {
      const known = this.known.get(key) as ObservedFrontend;
      return sweepFrontend(key, known, state.get(key), batch);
    });
  }
}

test("random histories: no packet misses its slot, whenever it read its verdict, and after the sweep all is as from the start", () => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = randomNumbers(seed);
    const states = Array.from({ length: 25 }, () => randomState(random));
    const all = states.flatMap((state) => [...state.values()]);
    const kernel = new Kernel(all);
    for (const [i, state] of states.entries()) {
      kernel.enter(`seed ${seed}: change ${i}`, state);
      assert.deepEqual(observeFrontends(kernel.read().sets), kernel.held(), `seed ${seed}: what is believed is there`);
      if (random(3) > 0) continue;
      kernel.sweep(`seed ${seed}: sweep ${i}`, state);
      const fresh = new Kernel(all);
      fresh.enter("from the start", state);
      assert.deepEqual(elementsOf(kernel.read()), elementsOf(fresh.read()), `seed ${seed}: swept ${i}`);
    }
  }
});
