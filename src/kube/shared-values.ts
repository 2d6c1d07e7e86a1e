/**
 * One copy of what thousands of objects say alike. JSON.parse makes a new string every time it reads a node's name;
 * 10,000 EndpointSlices of 10 endpoints read 500 names a hundred thousand times.
 */

/** Names that are remembered; beyond it the table starts anew, so that names long gone do not stay. */
const LIMIT = 8192;

export class SharedValues {
  readonly #strings = new Map<string, string>();
  readonly #lists = new Map<string, readonly string[]>();

  /** The first string that was equal to `text`. */
  string(text: string): string {
    return remember(this.#strings, text, () => text);
  }

  /** The first list that had these entries; nobody may change it. */
  list(entries: readonly string[]): readonly string[] {
    return remember(this.#lists, entries.join("\n"), () => entries.map((entry) => this.string(entry)));
  }
}

function remember<V>(table: Map<string, V>, key: string, make: () => V): V {
  const known = table.get(key);
  if (known !== undefined) return known;
  if (table.size >= LIMIT) table.clear();
  const value = make();
  table.set(key, value);
  return value;
}
