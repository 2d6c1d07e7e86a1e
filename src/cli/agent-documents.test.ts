/** What is said where no agent answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakwaterError } from "../model/errors.ts";
import { askAgent } from "./agent-documents.ts";

/** tcpmux: nothing of ours listens there, and nothing else does in tests. */
const NOBODY = "127.0.0.1:1";

async function remedyOf(path: string): Promise<string> {
  try {
    await askAgent(NOBODY, path);
  } catch (error) {
    assert.ok(error instanceof BreakwaterError && error.code === "BW_AGENT_AWAY", String(error));
    return error.remedy ?? "";
  }
  return assert.fail(`somebody answers on ${NOBODY}`);
}

test("askAgent() names another way to what was asked for, where there is one, and none to something else", async () => {
  assert.match(await remedyOf("/mtu"), /--metrics-address; or 'breakwater mtu --all'$/);
  assert.match(await remedyOf("/policies"), /--metrics-address$/);
});
