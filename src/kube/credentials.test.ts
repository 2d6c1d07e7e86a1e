import assert from "node:assert/strict";
import { test } from "node:test";
import { bearer, rereadCredentials } from "./credentials.ts";

/** A token that changes with every read, and a clock in hand. */
function rotating() {
  const state = { now: 0, reads: 0, broken: false };
  const source = rereadCredentials(
    () => {
      if (state.broken) throw new Error("the file is gone");
      return bearer(`t${++state.reads}`);
    },
    () => state.now,
  );
  const token = async () => (await source.credentials()).authorization;
  return { state, source, token };
}

test("rereadCredentials() reads a rotating token again after a minute", async () => {
  const { state, token } = rotating();
  assert.equal(await token(), "Bearer t1");
  state.now = 59_999;
  assert.equal(await token(), "Bearer t1");
  state.now = 60_000;
  assert.equal(await token(), "Bearer t2");
});

test("rereadCredentials() reads again at once after a 401", async () => {
  const { source, token } = rotating();
  await token();
  source.invalidate();
  assert.equal(await token(), "Bearer t2");
  assert.equal(await token(), "Bearer t2");
});

test("rereadCredentials() keeps the last token while the file cannot be read, but not without one", async () => {
  const { state, token } = rotating();
  await token();
  state.broken = true;
  state.now = 120_000;
  assert.equal(await token(), "Bearer t1");
  const never = rotating();
  never.state.broken = true;
  await assert.rejects(never.token(), /the file is gone/);
});

for (const token of ["", "a b", "a\r\nX-Evil: 1", "tök"]) {
  test(`bearer() refuses ${JSON.stringify(token)} as a header`, () => assert.throws(() => bearer(token), SyntaxError));
}
