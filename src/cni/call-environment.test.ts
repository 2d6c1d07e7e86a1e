import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAttachmentKey, parseCommand, parseNetns, parsePodIdentity } from "./call-environment.ts";
import { CniError } from "./cni-error.ts";
import { request } from "./server-fixture.ts";

const isCode4 = (variable: string) => (error: unknown) =>
  error instanceof CniError && error.cniCode === 4 && error.message.startsWith(variable);

for (const command of ["", "add", "INSTALL"]) {
  test(`parseCommand() refuses ${JSON.stringify(command)}`, () => {
    assert.throws(() => parseCommand(request(command)), isCode4("CNI_COMMAND"));
  });
}

for (const containerId of ["", "-a", "a/b", "a b", "a\0", "ä", "../x", "a".repeat(1025)]) {
  test(`parseAttachmentKey() refuses container id ${JSON.stringify(containerId.slice(0, 10))}`, () => {
    assert.throws(() => parseAttachmentKey(request("ADD", { containerId })), isCode4("CNI_CONTAINERID"));
  });
}

for (const ifname of ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\0", "sixteen-bytes-xx"]) {
  test(`parseAttachmentKey() refuses interface ${JSON.stringify(ifname)}`, () => {
    assert.throws(() => parseAttachmentKey(request("ADD", { ifname })), isCode4("CNI_IFNAME"));
  });
}

test("parseAttachmentKey() takes the longest interface name and every character of a container id", () => {
  const key = { containerId: "0aZ_.-", ifname: "fifteen-bytes-x" };
  assert.deepEqual(parseAttachmentKey(request("ADD", key)), key);
});

for (const netns of ["", "netns", "/a\0b"]) {
  test(`parseNetns() refuses ${JSON.stringify(netns)}`, () => {
    assert.throws(() => parseNetns(request("ADD", { netns })), isCode4("CNI_NETNS"));
  });
}

const pod = { namespace: "n", name: "p" };
for (const [args, expected] of [
  ["", undefined],
  ["IgnoreUnknown=1", undefined],
  ["K8S_POD_NAMESPACE=n;K8S_POD_NAME=p", pod],
  ["K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_UID=u;K8S_POD_INFRA_CONTAINER_ID=c", { ...pod, uid: "u" }],
  ["IgnoreUnknown=TRUE;FOO=bar;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_UID=", pod],
  ["K8S_POD_NAME=p", undefined],
] as const) {
  test(`parsePodIdentity() reads ${JSON.stringify(args)}`, () => assert.deepEqual(parsePodIdentity(args), expected));
}

for (const args of [
  "FOO=bar",
  "FOO=bar;IgnoreUnknown=0",
  "IgnoreUnknown=yes;A=b",
  "a",
  "a=b=c",
  "=b",
  "IgnoreUnknown=1;",
]) {
  test(`parsePodIdentity() refuses ${JSON.stringify(args)}`, () => {
    assert.throws(() => parsePodIdentity(args), isCode4("CNI_ARGS"));
  });
}
