import assert from "node:assert/strict";
import { test } from "node:test";
import type { CniCommand } from "./call-environment.ts";
import { CniError } from "./cni-error.ts";
import { parseNetworkConfig, versionForErrors } from "./network-config.ts";
import { config } from "./server-fixture.ts";

/** Configuration, command, code, and what the message must name. */
const REFUSED: readonly (readonly [string, CniCommand, number, RegExp])[] = [
  ["", "ADD", 6, /empty/],
  ["  \n", "ADD", 6, /empty/],
  ['{"cniVersion":"1.0', "ADD", 6, /Cannot decode/],
  ['{"name":"a\0"}', "ADD", 6, /NUL/],
  ["[1]", "ADD", 6, /no object/],
  ["null", "DEL", 6, /no object/],
  ["7", "GC", 6, /no object/],
  ["{}", "ADD", 1, /"0\.1\.0"/],
  [config({ cniVersion: "0.2.0" }), "DEL", 1, /"0\.2\.0"; Breakwater speaks 0\.3\.0/],
  [config({ cniVersion: "1.2.0" }), "ADD", 1, /"1\.2\.0"/],
  [config({ cniVersion: 1 }), "ADD", 7, /cniVersion is 1/],
  [config({ cniVersion: "0.3.1" }), "CHECK", 1, /CHECK came with 0\.4\.0/],
  [config({ cniVersion: "1.0.0" }), "GC", 1, /GC came with 1\.1\.0/],
  [config({ cniVersion: "1.0.0" }), "STATUS", 1, /STATUS came with 1\.1\.0/],
  [config({ name: undefined }), "ADD", 7, /name is missing/],
  [config({ name: "a/b" }), "DEL", 7, /name is "a\/b"/],
  [config({ name: 5 }), "ADD", 7, /name is 5/],
  [config({ mtu: 9000 }), "ADD", 2, /mtu is 9000/],
  [config({ ipam: { type: "host-local" } }), "ADD", 2, /ipam is .*host-local/],
  [config({ runtimeConfig: { portMappings: [] } }), "ADD", 2, /runtimeConfig\.portMappings/],
  [config({ runtimeConfig: [] }), "ADD", 7, /runtimeConfig is \[\]/],
  [config({ runtimeConfig: { ips: "10.0.0.1" } }), "ADD", 7, /runtimeConfig\.ips/],
  [config({ runtimeConfig: { ips: [1] } }), "ADD", 7, /runtimeConfig\.ips/],
  [config({ dns: { nameservers: "1.1.1.1" } }), "ADD", 7, /dns\.nameservers/],
  [config({ dns: { nameserver: [] } }), "ADD", 2, /dns\.nameserver is/],
  [config(), "GC", 7, /cni\.dev\/valid-attachments is missing/],
  [config({ "cni.dev/valid-attachments": {} }), "GC", 7, /list of attachments/],
  [config({ "cni.dev/valid-attachments": [{ containerID: "c" }] }), "GC", 7, /containerID/],
];

for (const [stdin, command, code, message] of REFUSED) {
  test(`parseNetworkConfig() refuses ${command} with ${JSON.stringify(stdin)}: code ${code}`, () => {
    assert.throws(
      () => parseNetworkConfig(stdin, command),
      (error) => error instanceof CniError && error.cniCode === code && message.test(error.message),
    );
  });
}

test("parseNetworkConfig() lets DEL pass with fields and values that ADD refuses", () => {
  const stdin = config({ mtu: 1, runtimeConfig: { mac: "x", ips: 5 }, dns: 7, prevResult: 3 });
  assert.equal(parseNetworkConfig(stdin, "DEL").name, "breakwater");
});

test("parseNetworkConfig() passes over fields of others' domains, of libcni and of empty objects", () => {
  const stdin = config({
    "example.com/x": 1,
    ipam: {},
    args: { cni: {} },
    cniVersions: [],
    disableCheck: true,
    socket: "/x",
  });
  assert.equal(parseNetworkConfig(stdin, "ADD").cniVersion, "1.1.0");
});

test("parseNetworkConfig() reads the attachments to keep under both names, null as an empty list", () => {
  const list = [{ containerID: "a", ifname: "eth0" }];
  const kept = [{ containerId: "a", ifname: "eth0" }];
  const read = (fields: Record<string, unknown>) => parseNetworkConfig(config(fields), "GC").validAttachments;
  assert.deepEqual(read({ "cni.dev/valid-attachments": list, "cni.dev/attachments": [] }), kept);
  assert.deepEqual(read({ "cni.dev/attachments": list }), kept);
  assert.deepEqual(read({ "cni.dev/valid-attachments": null }), []);
});

test("versionForErrors() is the configuration's where that is spoken, the newest otherwise", () => {
  assert.equal(versionForErrors(config({ cniVersion: "0.4.0" })), "0.4.0");
  for (const stdin of ["", "{", config({ cniVersion: "9.9.9" }), config({ cniVersion: [] })]) {
    assert.equal(versionForErrors(stdin), "1.1.0");
  }
});
