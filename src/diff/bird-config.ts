/**
 * BIRD's configuration as it is and as it is to be, compared for people: block by block, for each block has a name, and line
 * by line inside. Passwords are not shown.
 */

type Blocks = ReadonlyMap<string, readonly string[]>;

/** @returns lines that begin with "+ ", "- " or, for where they are, two spaces; none where nothing differs */
export function diffBirdConfig(before: string, after: string): string[] {
  const [old, now] = [blocksOf(before), blocksOf(after)];
  const lines: string[] = [];
  for (const [name, block] of now) {
    const former = old.get(name);
    if (former === undefined) lines.push(...block.map((line) => `+ ${line}`));
    else lines.push(...diffBlock(former, block));
  }
  for (const [name, block] of old) if (!now.has(name)) lines.push(...block.map((line) => `- ${line}`));
  return lines.map(withoutPassword);
}

/** Blocks stand apart by empty lines; the first line up to its braces or set names one. */
function blocksOf(text: string): Blocks {
  const blocks = new Map<string, string[]>();
  for (const block of text.split(/\n\n+/)) {
    const lines = block.split("\n").filter((line) => line !== "");
    const [first] = lines;
    if (first !== undefined) blocks.set(nameOf(first), lines);
  }
  return blocks;
}

function nameOf(line: string): string {
  return /^(define \w+)/.exec(line)?.[1] ?? line;
}

function diffBlock(before: readonly string[], after: readonly string[]): string[] {
  if (before.join("\n") === after.join("\n")) return [];
  const [first = ""] = after;
  if (first.startsWith("define ")) return diffSet(nameOf(first), before.join(), after.join());
  return [`  ${first}`, ...diffLines(before, after)];
}

/** Of a set of a thousand prefixes those that came and went. */
function diffSet(name: string, before: string, after: string): string[] {
  const items = (text: string) => (/\[ (.*) \]/.exec(text)?.[1] ?? "").split(", ");
  const [old, now] = [new Set(items(before)), new Set(items(after))];
  return [
    `  ${name}`,
    ...[...now].filter((item) => !old.has(item)).map((item) => `+   ${item}`),
    ...[...old].filter((item) => !now.has(item)).map((item) => `-   ${item}`),
  ];
}

/** Lines in the order of the new block, by their longest common subsequence. Blocks are short. */
function diffLines(before: readonly string[], after: readonly string[]): string[] {
  const length = commonLengths(before, after);
  const lines: string[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      i++;
      j++;
    } else if (j >= after.length || (i < before.length && at(length, i + 1, j) >= at(length, i, j + 1))) {
      lines.push(`- ${before[i++]}`);
    } else lines.push(`+ ${after[j++]}`);
  }
  return lines;
}

/** length[i][j]: of the longest common subsequence of before from i on and after from j on. */
function commonLengths(before: readonly string[], after: readonly string[]): number[][] {
  const length = Array.from({ length: before.length + 1 }, () => new Array<number>(after.length + 1).fill(0));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const row = length[i] as number[];
      row[j] =
        before[i] === after[j] ? at(length, i + 1, j + 1) + 1 : Math.max(at(length, i + 1, j), at(length, i, j + 1));
    }
  }
  return length;
}

function at(length: readonly (readonly number[])[], i: number, j: number): number {
  return length[i]?.[j] ?? 0;
}

function withoutPassword(line: string): string {
  return line.replace(/\bpassword "[^"]*"/, 'password "(not shown)"');
}
