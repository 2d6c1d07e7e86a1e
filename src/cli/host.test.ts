/** `breakwater host` as a process, beside an agent that is none but its document. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { HostReport } from "../model/host-report.ts";

const PROGRAM = join(import.meta.dirname, "main.ts");
const NOTHING = { modules: [], features: [], staleRequests: [], sysctls: [], sysctlMistakes: [], agent: null };

function host(...args: readonly string[]): Promise<HostReport> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [PROGRAM, "host", "-o", "json", ...args], (_, stdout, stderr) => {
      if (stdout === "") reject(new Error(stderr));
      else resolve(JSON.parse(stdout) as HostReport);
    });
  });
}

test("host asks the agent of its own mode, and answers by itself where options name another", async (t) => {
  const agent = createServer((_, response) => response.end(JSON.stringify({ ...NOTHING, kernel: "the agent's" })));
  agent.listen(0, "127.0.0.1");
  t.after(() => agent.close());
  await once(agent, "listening");
  const address = ["--metrics-address", `127.0.0.1:${(agent.address() as AddressInfo).port}`];
  assert.equal((await host(...address)).kernel, "the agent's");
  assert.equal((await host(...address, "--routing", "auto")).kernel, "the agent's");
  for (const mode of [
    ["--service-proxy", "ipvs"],
    ["--routing", "vxlan"],
    ["--log-denied", "5"],
    ["--flowtable"],
    ["--no-masquerade"],
    ["--no-network-policy"],
  ]) {
    assert.notEqual((await host(...address, ...mode)).kernel, "the agent's", mode.join(" "));
  }
});
