import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { type CommandSpec, choiceOption, formatHelp, integerOption, parseOptions } from "./options.ts";

const spec = {
  usage: "breakwater thing [options] WORD",
  summary: "Does a thing.",
  options: {
    size: { type: "string", value: "N", default: "3", help: "How large" },
    label: { type: "string", help: "What it is called" },
    tag: { type: "string", multiple: true, value: "TAG", help: "Tags" },
    loud: { type: "boolean", help: "With noise" },
    output: { type: "string", short: "o", default: "text", env: "THING_OUTPUT", help: "How to print" },
  },
  positionals: [0, 1],
} as const satisfies CommandSpec;

function refused(args: readonly string[]): string {
  try {
    parseOptions(spec, args);
  } catch (error) {
    assert.ok(isBreakwaterError(error, "BW_USAGE"), String(error));
    assert.match(error.remedy ?? "", /'breakwater thing --help'/);
    return error.message;
  }
  return "";
}

test("parseOptions() gives defaults, lists and what stands behind --", () => {
  const parsed = parseOptions(spec, ["--tag", "a", "--tag=b", "word", "--", "ls", "--size"]);
  assert.deepEqual(parsed?.values, { size: "3", label: undefined, tag: ["a", "b"], loud: false, output: "text" });
  assert.deepEqual(parsed?.positionals, ["word"]);
  assert.deepEqual(parsed?.rest, ["ls", "--size"]);
});

test("parseOptions() takes an option before its environment variable, and that before the default", (t) => {
  process.env["THING_OUTPUT"] = "json";
  t.after(() => delete process.env["THING_OUTPUT"]);
  assert.equal(parseOptions(spec, [])?.values.output, "json");
  assert.equal(parseOptions(spec, ["-o", "yaml"])?.values.output, "yaml");
});

test("parseOptions() answers undefined for --help, also beside mistakes", () => {
  assert.equal(parseOptions(spec, ["--help"]), undefined);
  assert.equal(parseOptions(spec, ["--nonsense", "-h"]), undefined);
  assert.notEqual(parseOptions(spec, ["--", "--help"]), undefined);
});

for (const [args, message] of [
  [["--sise", "3"], /--sise/],
  [["--size"], /--size/],
  [["--loud=yes"], /--loud/],
  [["--size", "1", "--size", "2"], /--size is given twice/],
  [["one", "two"], /Unexpected argument "two"/],
] as const) {
  test(`parseOptions() refuses ${args.join(" ")}`, () => assert.match(refused(args), message));
}

test("parseOptions() names the usage when a word is missing", () => {
  const strict = { ...spec, positionals: [1, 1] } as const;
  assert.throws(() => parseOptions(strict, []), /Missing argument: breakwater thing/);
});

for (const text of ["", "0", "11", "1.5", "-1", "1e1", "ten", " 5"]) {
  test(`integerOption() refuses "${text}" for 1 to 10`, () => {
    assert.throws(() => integerOption(spec, "size", text, 1, 10), /--size ".*" is no whole number from 1 to 10/);
  });
}

test("integerOption() takes both bounds", () => {
  assert.deepEqual([integerOption(spec, "size", "1", 1, 10), integerOption(spec, "size", "10", 1, 10)], [1, 10]);
});

test("choiceOption() lists what there is", () => {
  assert.equal(choiceOption(spec, "output", "json", ["text", "json"]), "json");
  assert.throws(() => choiceOption(spec, "output", "xml", ["text", "json"]), /--output "xml" is none of text, json/);
});

test("formatHelp() says defaults, environment and repetition", () => {
  const help = formatHelp(spec);
  assert.match(help, /--size N +How large \(default 3\)/);
  assert.match(help, /--tag TAG +Tags \(may be repeated\)/);
  assert.match(help, /-o, --output VALUE +How to print \(default text; or THING_OUTPUT\)/);
});
