import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable } from "./table.ts";

test("formatTable() aligns columns and leaves no blanks at the ends of lines", () => {
  const text = formatTable(
    ["NODE", "MTU"],
    [
      ["node1", "1500"],
      ["n", ""],
    ],
  );
  assert.equal(text, "NODE    MTU\nnode1   1500\nn\n");
});

test("formatTable() prints the heads alone when there are no rows", () => {
  assert.equal(formatTable(["A", "B"], []), "A   B\n");
});
