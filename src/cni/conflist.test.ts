import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { CONFLIST_FILE, type ConflistOptions, removeConflist, writeConflist } from "./conflist.ts";
import { installPlugin } from "./install-plugin.ts";
import { parseNetworkConfig } from "./network-config.ts";

let directory = "";
let options: ConflistOptions;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "bw-conflist-"));
  options = { directory: join(directory, "net.d"), binDirectory: directory, socketPath: "/run/breakwater/cni.sock" };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function plugin(name: string, script: string): void {
  writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const speaks = (versions: readonly string[]) =>
  `[ "$CNI_COMMAND" = VERSION ] && echo '${JSON.stringify({ cniVersion: "1.0.0", supportedVersions: versions })}'`;
const path = () => join(options.directory, CONFLIST_FILE);
const read = () =>
  JSON.parse(readFileSync(path(), "utf8")) as Record<string, unknown> & { plugins: Record<string, unknown>[] };

test("writeConflist() writes a list that libcni reads, whole, and not again when it says the same", async () => {
  assert.equal(await writeConflist(options), true);
  const { cniVersion, cniVersions, name, plugins } = read();
  assert.deepEqual([cniVersion, name], ["1.0.0", "breakwater"]);
  assert.deepEqual(cniVersions, ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
  assert.deepEqual(plugins, [{ type: "breakwater", capabilities: { ips: true }, socket: options.socketPath }]);
  assert.deepEqual(readdirSync(options.directory), [CONFLIST_FILE]);
  assert.equal(statSync(path()).mode & 0o777, 0o644);
  assert.equal(await writeConflist(options), false);
  assert.equal(await writeConflist({ ...options, socketPath: "/run/other.sock" }), true);
});

test("writeConflist() writes what our own server accepts", async () => {
  await writeConflist(options);
  const { name, cniVersion, plugins } = read();
  const stdin = JSON.stringify({ ...plugins[0], name, cniVersion, runtimeConfig: { ips: [] } });
  assert.equal(parseNetworkConfig(stdin, "ADD").name, "breakwater");
});

test("writeConflist() chains portmap and bandwidth, and offers only versions that all of them speak", async () => {
  plugin("portmap", speaks(["0.4.0", "1.0.0"]));
  plugin("bandwidth", speaks(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
  await writeConflist({ ...options, portmap: true, bandwidth: true });
  assert.deepEqual(read()["cniVersions"], ["0.4.0", "1.0.0"]);
  assert.deepEqual(
    read().plugins.map(({ type, capabilities }) => [type, capabilities]),
    [
      ["breakwater", { ips: true }],
      ["portmap", { portMappings: true }],
      ["bandwidth", { bandwidth: true }],
    ],
  );
});

for (const [name, script] of [
  ["is missing", undefined],
  ["fails", "exit 3"],
  ["answers nonsense", "echo '{}'"],
] as const) {
  test(`writeConflist() refuses a chained plugin that ${name}, and writes nothing`, async () => {
    if (script !== undefined) plugin("portmap", script);
    const isRefusal = (error: unknown) =>
      isBreakwaterError(error, "BW_CNI_CHAINED_PLUGIN") && /portmap/.test(error.message);
    await assert.rejects(writeConflist({ ...options, portmap: true }), isRefusal);
    assert.throws(() => statSync(path()), /ENOENT/);
  });
}

test("removeConflist() removes our file, and is fine without one", async () => {
  await writeConflist(options);
  assert.equal(removeConflist(options.directory), true);
  assert.equal(removeConflist(options.directory), false);
});

for (const foreign of ['{"cniVersion":"1.0.0","name":"cbr0","plugins":[]}', "not json"]) {
  test(`writeConflist() and removeConflist() leave alone what we did not write: ${foreign}`, async () => {
    await writeConflist(options);
    writeFileSync(path(), foreign);
    const isForeign = (error: unknown) => isBreakwaterError(error, "BW_CNI_CONFLIST_FOREIGN");
    await assert.rejects(writeConflist(options), isForeign);
    assert.throws(() => removeConflist(options.directory), isForeign);
    assert.equal(readFileSync(path(), "utf8"), foreign);
  });
}

test("installPlugin() copies the binary, executable, once", () => {
  const source = join(directory, "source");
  const bin = join(directory, "bin");
  writeFileSync(source, "binary");
  assert.deepEqual([installPlugin(source, bin), installPlugin(source, bin)], [true, false]);
  assert.deepEqual(readdirSync(bin), ["breakwater"]);
  assert.equal(statSync(join(bin, "breakwater")).mode & 0o777, 0o755);
  writeFileSync(source, "newer binary");
  assert.equal(installPlugin(source, bin), true);
});

test("installPlugin() without a binary names it and how to build it", () => {
  assert.throws(
    () => installPlugin(join(directory, "none"), directory),
    (error) =>
      isBreakwaterError(error, "BW_CNI_INSTALL") && error.errno === "ENOENT" && /build\.sh/.test(error.remedy ?? ""),
  );
});
