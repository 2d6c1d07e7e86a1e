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

/** Values in order. Where few came or went, the others are not compared again. */
export class Sorted<V> {
  readonly #compare: (a: V, b: V) => number;
  #values: ReadonlySet<V> = new Set();
  #sorted: readonly V[] = [];

  /** @param compare 0 only for values of which it does not matter which comes first */
  constructor(compare: (a: V, b: V) => number) {
    this.#compare = compare;
  }

  /** @param list each value once. @returns the same array as before where it has the same values */
  of(list: readonly V[]): readonly V[] {
    const added = list.filter((value) => !this.#values.has(value));
    if (added.length === 0 && list.length === this.#values.size) return this.#sorted;
    const values = new Set(list);
    const kept = this.#sorted.filter((value) => values.has(value));
    this.#sorted = added.length < FEW ? this.#insert(kept, added) : [...kept, ...added].sort(this.#compare);
    this.#values = values;
    return this.#sorted;
  }

  #insert(sorted: V[], added: readonly V[]): V[] {
    for (const value of added) {
      let [from, to] = [0, sorted.length];
      while (from < to) {
        const middle = (from + to) >>> 1;
        if (this.#compare(sorted[middle] as V, value) <= 0) from = middle + 1;
        else to = middle;
      }
      sorted.splice(from, 0, value);
    }
    return sorted;
  }
}

/** So many are put in their places one by one. */
const FEW = 16;

function sameMembers(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
