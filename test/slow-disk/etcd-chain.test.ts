/** `breakwater host chain` and a real etcd, on a quick disk that becomes slow, and behind TLS client certificates. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeAuthority } from "../../src/kube/testing/certificates.ts";
import type { ChainReport, ChainStage } from "../../src/model/chain-report.ts";
import { type EtcdProcess, startEtcd } from "./etcd-process.ts";

const SYNC_MS = 40;
const CANNOT = process.geteuid?.() !== 0 || !fs.existsSync("/dev/fuse") ? "needs root and /dev/fuse" : false;
const PROGRAM = join(import.meta.dirname, "../../src/cli/main.ts");

/** The command, where etcd's disk is in sight. */
async function chain(
  { pid }: EtcdProcess,
  args: readonly string[],
): Promise<{ code: number | null; report: ChainReport }> {
  const command = [process.execPath, PROGRAM, "host", "chain", "--no-api", "-o", "json", ...args];
  // No agent on this machine is meant.
  const all = [...command, "--metrics-address", "127.0.0.1:1"];
  const child = spawn("nsenter", ["--mount", `--target=${pid}`, `--wd=${process.cwd()}`, ...all]);
  let [text, errors] = ["", ""];
  child.stdout.on("data", (part) => (text += part));
  child.stderr.on("data", (part) => (errors += part));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  assert.notEqual(text, "", errors);
  return { code, report: JSON.parse(text) };
}

/** Writes as fast as etcd takes it, until told to stop. @returns how many there were */
async function writeUntil({ url }: EtcdProcess, stop: AbortSignal): Promise<number> {
  const key = Buffer.from("key").toString("base64");
  let writes = 0;
  for (; !stop.aborted; writes++) {
    const value = Buffer.from(String(writes)).toString("base64");
    const answer = await fetch(`${url}/v3/kv/put`, { method: "POST", body: JSON.stringify({ key, value }) });
    assert.equal(answer.status, 200);
    await answer.text();
  }
  return writes;
}

async function chainUnderLoad(etcd: EtcdProcess, args: readonly string[]) {
  const stop = new AbortController();
  const writing = writeUntil(etcd, stop.signal);
  const [result, writes] = await Promise.all([chain(etcd, args).finally(() => stop.abort()), writing]);
  return { ...result, writes };
}

function link(report: ChainReport, stage: ChainStage, what: RegExp) {
  const found = report.links.find((candidate) => candidate.stage === stage && what.test(candidate.what));
  assert.ok(found, `${stage} ${what}`);
  return found;
}

test("host chain: a disk that becomes slow is seen, in itself and in what etcd says", { skip: CANNOT }, async (t) => {
  const etcd = await startEtcd(t);
  const args = ["--etcd", etcd.url, "--disk", etcd.folder, "--seconds", "3"];
  const quick = await chainUnderLoad(etcd, args);
  etcd.setSyncDelay(SYNC_MS);
  const slow = await chainUnderLoad(etcd, args);
  const p50 = ({ report }: typeof quick, stage: ChainStage, what: RegExp) => link(report, stage, what).p50Ms ?? 0;
  for (const [stage, what] of [
    ["disk", /fdatasync/],
    ["etcd", /write-ahead log/],
  ] as const) {
    assert.ok(p50(quick, stage, what) < 10, `${stage}: ${p50(quick, stage, what)} ms on the quick disk`);
    // etcd counts in buckets that double.
    assert.ok(p50(slow, stage, what) > SYNC_MS * 0.75, `${stage}: ${p50(slow, stage, what)} ms on the slow disk`);
    assert.equal(link(slow.report, stage, what).verdict, "slow");
  }
  t.diagnostic(`fdatasync p50 ${p50(quick, "disk", /fdatasync/)} -> ${p50(slow, "disk", /fdatasync/)} ms`);
  t.diagnostic(
    `WAL p50 ${p50(quick, "etcd", /ahead/)} -> ${p50(slow, "etcd", /ahead/)} ms, writes ${quick.writes} -> ${slow.writes}`,
  );
  assert.ok(link(slow.report, "disk", /fdatasync/).remedy?.includes("disk of its own"));
  assert.ok(link(slow.report, "etcd", /ahead/).notes.includes("during 3 s"), "judged by what happened meanwhile");
  assert.equal(slow.report.cause, "disk");
  assert.match(slow.report.summary, /slow from disk on: fdatasync of .*; late behind it: etcd/);
  assert.equal(slow.code, 1);
  assert.ok(slow.writes < quick.writes / 2, "etcd itself took fewer writes");
});

test("host chain: etcd behind TLS client certificates", { skip: CANNOT }, async (t) => {
  const files = certificateFiles(t);
  const flags = ["--cert-file", files.serverCert, "--key-file", files.serverKey];
  const etcd = await startEtcd(t, "https", [...flags, "--client-cert-auth", "--trusted-ca-file", files.ca]);
  const well = ["--etcd", etcd.url, "--etcd-ca", files.ca, "--etcd-cert", files.cert, "--etcd-key", files.key];
  const { report } = await chain(etcd, [...well, "--seconds", "1"]);
  assert.equal(link(report, "etcd", /write-ahead log/).stage, "etcd");
  const without = await chain(etcd, ["--etcd", etcd.url, "--etcd-ca", files.ca, "--seconds", "1"]);
  assert.equal(without.report.cause, "etcd");
  assert.match(without.report.summary, /broken at etcd.*wants a client certificate/);
  assert.equal(without.code, 1);
  const plain = await chain(etcd, ["--etcd", etcd.url.replace("https", "http"), "--seconds", "1"]);
  assert.equal(link(plain.report, "etcd", /./).verdict, "failed");
  const stranger = makeAuthority().client("stranger");
  fs.writeFileSync(files.cert, stranger.cert);
  fs.writeFileSync(files.key, stranger.key);
  assert.match(
    (await chain(etcd, [...well, "--seconds", "1"])).report.summary,
    /does not accept this client certificate/,
  );
});

function certificateFiles(t: TestContext) {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-pki-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const authority = makeAuthority();
  const [server, client] = [authority.serverForAddress("127.0.0.1"), authority.client("healthcheck")];
  const write = (name: string, text: string) => {
    fs.writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  return {
    ca: write("ca.crt", authority.ca),
    serverCert: write("server.crt", server.cert),
    serverKey: write("server.key", server.key),
    cert: write("client.crt", client.cert),
    key: write("client.key", client.key),
  };
}
