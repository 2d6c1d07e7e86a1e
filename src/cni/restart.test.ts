/** What the server knows after a restart, and on a disk that is full. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { CniRequest } from "./frame.ts";
import { openJournalFile } from "./journal-file.ts";
import { call, type Fixture, request, startFixture } from "./server-fixture.ts";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await startFixture();
});
afterEach(() => fixture.close());

async function succeed(command: string, fields: Partial<CniRequest> = {}): Promise<void> {
  const { exitStatus, body } = await call(fixture.socketPath, request(command, fields));
  assert.equal(exitStatus, 0, JSON.stringify(body));
}

test("a restart keeps records with all they know, and drops those whose namespace and link are gone", async () => {
  const netns = join(fixture.directory, "netns");
  writeFileSync(netns, "");
  fixture.pods.pods.set("shop/web", { uid: "u", annotations: {} });
  await succeed("ADD", { containerId: "kept", netns, args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u" });
  await succeed("ADD", { containerId: "gone" });
  const before = fixture.server.records();
  fixture.network.attachments.delete("gone/eth0");
  fixture.network.attachments.delete("kept/eth0");
  const { recovery } = await fixture.restart();
  assert.deepEqual(fixture.server.records(), before.slice(0, 1));
  assert.deepEqual([recovery.kept, recovery.dropped.map((record) => record.containerId)], [1, ["gone"]]);
  // The dropped one's address rests, also over yet another restart.
  await fixture.restart();
  await succeed("ADD");
  assert.deepEqual(fixture.server.records().at(-1)?.ips, ["10.244.1.3"]);
});

test("a full disk fails ADD with code 5 and leaves nothing; DEL succeeds; all is well when there is room", async () => {
  let full = false;
  const openFile = (path: string) => {
    const file = openJournalFile(path);
    const enospc = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    const write = (bytes: Uint8Array) => {
      if (full) throw enospc;
      return file.write(bytes);
    };
    return { ...file, write };
  };
  await fixture.restart({ journal: { openFile } });
  await succeed("ADD");
  full = true;
  const { body } = await call(fixture.socketPath, request("ADD", { containerId: "c2" }));
  assert.equal(body["code"], 5);
  assert.match(String(body["msg"]), /ENOSPC/);
  await succeed("DEL");
  assert.deepEqual([fixture.server.records(), fixture.network.attachments.size], [[], 0]);
  assert.ok(fixture.log.some(({ level, message }) => level === "warn" && /kept in memory/.test(message)));
  full = false;
  await succeed("ADD", { containerId: "c3" });
  fixture.network.attachments.delete("c1/eth0");
  await fixture.restart();
  assert.deepEqual(
    fixture.server.records().map((record) => record.containerId),
    ["c3"],
  );
});
