import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakwaterError, describeError, isBreakwaterError, messageOf } from "./errors.ts";

const cause = new Error("ENODEV");
const full = new BreakwaterError("BW_ROUTE", "Cannot add route 10.244.2.0/24: ENODEV", {
  operation: "add route",
  object: "10.244.2.0/24",
  errno: "ENODEV",
  remedy: "Bring eth0 up",
  cause,
});

test("BreakwaterError carries code, operation, object, errno, remedy and cause", () => {
  const { name, code, operation, object, errno, remedy } = full;
  assert.deepEqual(
    { name, code, operation, object, errno, remedy },
    {
      name: "BreakwaterError",
      code: "BW_ROUTE",
      operation: "add route",
      object: "10.244.2.0/24",
      errno: "ENODEV",
      remedy: "Bring eth0 up",
    },
  );
  assert.equal(full.cause, cause);
  assert.ok(full instanceof Error);
});

test("BreakwaterError without details has none, and no cause property", () => {
  const bare = new BreakwaterError("BW_X", "no");
  assert.deepEqual(
    [bare.operation, bare.object, bare.errno, bare.remedy],
    [undefined, undefined, undefined, undefined],
  );
  assert.equal("cause" in bare, false);
});

test("isBreakwaterError() asks for the class, and for the code where one is given", () => {
  assert.equal(isBreakwaterError(full), true);
  assert.equal(isBreakwaterError(full, "BW_ROUTE"), true);
  assert.equal(isBreakwaterError(full, "BW_OTHER"), false);
  for (const other of [new Error("x"), { code: "BW_ROUTE" }, "BW_ROUTE", undefined, null])
    assert.equal(isBreakwaterError(other), false);
});

test("messageOf() reads anything thrown", () => {
  assert.equal(messageOf(full), full.message);
  assert.equal(messageOf("text"), "text");
  assert.equal(messageOf(undefined), "undefined");
  assert.equal(messageOf({ toString: () => "odd" }), "odd");
});

test("describeError() prints the message with its code, then the remedy", () => {
  assert.equal(describeError(full), "Cannot add route 10.244.2.0/24: ENODEV (BW_ROUTE)\n  -> Bring eth0 up");
  assert.equal(describeError(new BreakwaterError("BW_X", "no")), "no (BW_X)");
  assert.equal(describeError(new RangeError("too far")), "too far");
});
