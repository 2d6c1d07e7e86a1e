/**
 * What an earlier plan worked out, for the next one: where one node of a thousand changed, the others are not planned
 * again. A memo decides what a plan costs, never what it says: every value is kept with all that it was made from, and
 * given again while that is the same. (`memo.test.ts` plans random histories with and without.)
 *
 * Inputs are compared by identity: values of the model never change, and whoever keeps them (src/kube/store.ts) keeps
 * the same object while nothing that is read of it changed. What is given again is the same object too, so that who
 * comes next can tell at a glance that nothing happened.
 */

/** The last value. */
export class Remembered<V> {
  #inputs: readonly unknown[] | undefined;
  #value: V | undefined;

  /** @param inputs everything that `make` reads */
  get(inputs: readonly unknown[], make: () => V): V {
    if (this.#inputs === undefined || !sameMembers(this.#inputs, inputs)) {
      this.#value = make();
      this.#inputs = inputs;
    }
    return this.#value as V;
  }
}

interface Entry<V> {
  readonly inputs: readonly unknown[];
  readonly value: V;
  turn: number;
}

/** The last value of each key. What nobody asked for in one turn is forgotten. */
export class RememberedByKey<K, V> {
  readonly #entries = new Map<K, Entry<V>>();
  #turn = 0;
  #asked = 0;

  /** @param inputs everything that `make` reads */
  get(key: K, inputs: readonly unknown[], make: () => V): V {
    let entry = this.#entries.get(key);
    if (entry === undefined || !sameMembers(entry.inputs, inputs)) {
      entry = { inputs, value: make(), turn: entry?.turn ?? -1 };
      this.#entries.set(key, entry);
    }
    if (entry.turn !== this.#turn) this.#asked++;
    entry.turn = this.#turn;
    return entry.value;
  }

  /** Ends a turn. */
  sweep(): void {
    if (this.#asked < this.#entries.size) {
      for (const [key, { turn }] of this.#entries) if (turn !== this.#turn) this.#entries.delete(key);
    }
    this.#turn++;
    this.#asked = 0;
  }
}

/** What a list was and is, without what both begin and end with. */
interface ListChange<V> {
  readonly begin: number;
  readonly removed: readonly V[];
  readonly added: readonly V[];
}

/** Lists that follow each other mostly differ in one place: what stands before and behind it is only looked at. */
function listChange<V>(before: readonly V[], now: readonly V[]): ListChange<V> {
  const shorter = Math.min(before.length, now.length);
  let begin = 0;
  while (begin < shorter && before[begin] === now[begin]) begin++;
  let end = 0;
  while (end < shorter - begin && before[before.length - 1 - end] === now[now.length - 1 - end]) end++;
  return { begin, removed: before.slice(begin, before.length - end), added: now.slice(begin, now.length - end) };
}

/** What is made of each value of a list, by itself. */
export class Each<V, R> {
  readonly #make: (value: V) => R;
  #values: readonly V[] = [];
  #results: readonly R[] = [];

  constructor(make: (value: V) => R) {
    this.#make = make;
  }

  /** @returns the same array as before where the list is the same */
  of(values: readonly V[]): readonly R[] {
    const { begin, removed, added } = listChange(this.#values, values);
    if (removed.length === 0 && added.length === 0) return this.#results;
    const known = new Map(removed.map((value, i) => [value, this.#results[begin + i] as R]));
    const end = begin + removed.length;
    const fresh = added.map((value) => known.get(value) ?? this.#make(value));
    this.#results = this.#results.slice(0, begin).concat(fresh, this.#results.slice(end));
    this.#values = values;
    return this.#results;
  }
}

/** A list in order. Where few came or went, the others are not compared again. */
export class Sorted<V> {
  readonly #compare: (a: V, b: V) => number;
  #values: readonly V[] = [];
  #sorted: readonly V[] = [];

  /** @param compare 0 only for values of which it does not matter which comes first */
  constructor(compare: (a: V, b: V) => number) {
    this.#compare = compare;
  }

  /** @param values each once. @returns the same array as before where they are the same */
  of(values: readonly V[]): readonly V[] {
    const { removed, added } = listChange(this.#values, values);
    const isSmall = removed.length + added.length <= FEW;
    if (!isSmall) this.#sorted = [...values].sort(this.#compare);
    else if (removed.length > 0 || added.length > 0) this.#sorted = this.#exchange(removed, added);
    this.#values = values;
    return this.#sorted;
  }

  #exchange(removed: readonly V[], added: readonly V[]): readonly V[] {
    const sorted = [...this.#sorted];
    for (const value of removed) sorted.splice(sorted.indexOf(value), 1);
    for (const value of added) sorted.splice(this.#place(sorted, value), 0, value);
    return sorted;
  }

  #place(sorted: readonly V[], value: V): number {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#compare(sorted[middle] as V, value) <= 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** So many are put in their places one by one. */
const FEW = 32;

function sameMembers(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
