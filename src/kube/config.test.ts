import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { loadConnection } from "./config.ts";
import { makeAuthority } from "./testing/certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "breakwater-kubeconfig-"));
after(() => rmSync(folder, { recursive: true }));

const authority = makeAuthority();
const mine = authority.client("me");
const base64 = (text: string) => Buffer.from(text).toString("base64");

let serial = 0;
/** Writes a file into a folder of its own and returns its path. */
function file(content: string, name = "config"): string {
  const path = join(folder, String(serial++), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** A kubeconfig of one cluster, user and context named "a", as JSON, which is YAML. */
function kubeconfig(cluster: object, user: object | undefined, more: object = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "a",
    clusters: [{ name: "a", cluster: { server: "https://10.0.0.1:6443", ...cluster } }],
    users: user === undefined ? [] : [{ name: "a", user }],
    contexts: [{ name: "a", context: { cluster: "a", ...(user === undefined ? {} : { user: "a" }) } }],
    ...more,
  });
}

const load = (path: string, context?: string) => loadConnection({ kubeconfig: path, context, env: {}, home: folder });

test("loadConnection() reads a kubeconfig in YAML with inline certificates", async () => {
  const path = file(`
apiVersion: v1
kind: Config
current-context: a
clusters:
- name: c
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority-data: ${base64(authority.ca)}
    tls-server-name: kubernetes
    proxy-url: http://proxy:3128
users:
- name: u
  user: {client-certificate-data: ${base64(mine.cert)}, client-key-data: ${base64(mine.key)}}
contexts:
- name: a
  context: {cluster: c, user: u, namespace: shop}
`);
  const { credentialSource, ...connection } = await load(path);
  assert.deepEqual(connection, {
    origin: `kubeconfig ${path}, context "a"`,
    server: new URL("https://10.0.0.1:6443"),
    ca: authority.ca,
    insecureSkipTlsVerify: false,
    tlsServerName: "kubernetes",
    proxyUrl: "http://proxy:3128",
    namespace: "shop",
  });
  assert.deepEqual(await credentialSource.credentials(), mine);
});

test("loadConnection() finds certificate, key and token files from the kubeconfig's own folder", async () => {
  const path = file(
    kubeconfig(
      { "certificate-authority": "ca.pem" },
      { "client-certificate": "pki/me.pem", "client-key": "./pki/me.key", tokenFile: "token" },
    ),
  );
  mkdirSync(join(dirname(path), "pki"));
  for (const [name, text] of [
    ["ca.pem", authority.ca],
    ["pki/me.pem", mine.cert],
    ["pki/me.key", mine.key],
    ["token", "abc\n"],
  ] as const)
    writeFileSync(join(dirname(path), name), text);
  const connection = await load(path);
  assert.equal(connection.ca, authority.ca);
  assert.deepEqual(await connection.credentialSource.credentials(), { ...mine, authorization: "Bearer abc" });
});

const USERS: readonly { readonly name: string; readonly user: object | undefined; readonly credentials: object }[] = [
  { name: "a token", user: { token: "t" }, credentials: { authorization: "Bearer t" } },
  {
    name: "basic",
    user: { username: "u", password: "p:w" },
    credentials: { authorization: `Basic ${base64("u:p:w")}` },
  },
  { name: "nothing", user: {}, credentials: {} },
  { name: "no user at all", user: undefined, credentials: {} },
];
for (const { name, user, credentials } of USERS) {
  test(`loadConnection() takes a user with ${name}`, async () => {
    const connection = await load(file(kubeconfig({}, user)));
    assert.deepEqual(await connection.credentialSource.credentials(), credentials);
  });
}

test("loadConnection() takes the context it is told", async () => {
  const contexts = [
    { name: "a", context: { cluster: "a" } },
    { name: "b", context: { cluster: "b" } },
  ];
  const clusters = ["a", "b"].map((name) => ({ name, cluster: { server: `https://${name}` } }));
  const path = file(kubeconfig({}, undefined, { contexts, clusters }));
  assert.equal((await load(path)).server.host, "a");
  assert.equal((await load(path, "b")).server.host, "b");
});

test("loadConnection() replaces the server and keeps the identity", async () => {
  const kubeconfigPath = file(kubeconfig({}, { token: "t" }));
  const connection = await loadConnection({ kubeconfig: kubeconfigPath, server: "https://192.168.1.1:6443" });
  assert.equal(connection.server.host, "192.168.1.1:6443");
  assert.deepEqual(await connection.credentialSource.credentials(), { authorization: "Bearer t" });
  await assert.rejects(loadConnection({ kubeconfig: kubeconfigPath, server: "ftp://x" }), { code: "BW_KUBE_CONFIG" });
});

test("loadConnection() reads impersonation", async () => {
  const user = { as: "eve", "as-uid": "7", "as-groups": ["g"], "as-user-extra": { scope: ["x"] } };
  const { impersonation } = await load(file(kubeconfig({}, user)));
  assert.deepEqual(impersonation, { user: "eve", uid: "7", groups: ["g"], extra: { scope: ["x"] } });
});

test("loadConnection() merges the files of KUBECONFIG, first wins, missing ones skipped", async () => {
  const first = file(JSON.stringify({ clusters: [{ name: "a", cluster: { server: "https://first" } }] }));
  const second = file(kubeconfig({ server: "https://second" }, { token: "t" }));
  const env = { KUBECONFIG: [join(folder, "missing"), first, second].join(":") };
  const connection = await loadConnection({ env, home: folder });
  assert.equal(connection.server.host, "first");
  assert.deepEqual(await connection.credentialSource.credentials(), { authorization: "Bearer t" });
  const alone = { env: { KUBECONFIG: join(folder, "missing") }, home: folder };
  await assert.rejects(loadConnection(alone), { code: "BW_KUBE_CONFIG", message: /missing.*ENOENT/ });
});

test("loadConnection() falls back to ~/.kube/config, then to the service account, then says what it tried", async () => {
  const home = join(folder, "home");
  mkdirSync(join(home, ".kube"), { recursive: true });
  writeFileSync(join(home, ".kube", "config"), kubeconfig({ server: "https://home" }, undefined));
  const account = join(folder, "account");
  mkdirSync(account);
  writeFileSync(join(account, "token"), "sa-token\n");
  writeFileSync(join(account, "ca.crt"), authority.ca);
  writeFileSync(join(account, "namespace"), "kube-system");
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  const options = { env, serviceAccountDirectory: account };
  assert.equal((await loadConnection({ ...options, home })).server.host, "home");
  const inCluster = await loadConnection({ ...options, home: folder });
  assert.equal(inCluster.server.href, "https://[fd00::1]/");
  assert.equal(inCluster.namespace, "kube-system");
  assert.deepEqual(await inCluster.credentialSource.credentials(), { authorization: "Bearer sa-token" });
  await assert.rejects(loadConnection({ env: {}, home: folder }), {
    code: "BW_KUBE_CONFIG",
    message: /no KUBECONFIG, no .*\/\.kube\/config, not in a pod/,
  });
});

const BAD: readonly { readonly name: string; readonly text: string; readonly message: RegExp }[] = [
  { name: "no YAML", text: "clusters: [\n  - a: b: c", message: /does not parse as YAML: .*line 2/ },
  { name: "a text", text: "hello", message: /holds a string, not a Config object/ },
  { name: "another kind", text: "kind: Pod", message: /kind is "Pod"/ },
  { name: "an empty file", text: "", message: /has no current-context/ },
  { name: "clusters that are no list", text: "clusters: {}", message: /"clusters" is an object, not a list/ },
  { name: "a user without a name", text: "users: [{user: {}}]", message: /users\[0\] has no name/ },
  { name: "no such context", text: kubeconfig({}, {}, { "current-context": "b" }), message: /has no context "b"/ },
  { name: "no such cluster", text: kubeconfig({}, {}, { clusters: [] }), message: /has no cluster "a"/ },
  { name: "no such user", text: kubeconfig({}, {}, { users: [] }), message: /has no user "a"/ },
  {
    name: "a context without a cluster",
    text: kubeconfig({}, {}, { contexts: [{ name: "a" }] }),
    message: /names no cluster/,
  },
  { name: "a cluster without a server", text: kubeconfig({ server: "" }, {}), message: /cluster "a" has no server/ },
  {
    name: "a server that is no URL",
    text: kubeconfig({ server: "https://:x" }, {}),
    message: /server of cluster "a" is "https:\/\/:x"/,
  },
  { name: "a server that is a number", text: kubeconfig({ server: 5 }, {}), message: /server of "a" is a number/ },
  {
    name: "a CA file that is missing",
    text: kubeconfig({ "certificate-authority": "nope.pem" }, {}),
    message: /certificate-authority of "a" names a file .*nope\.pem/,
  },
  {
    name: "CA data that is no PEM",
    text: kubeconfig({ "certificate-authority-data": "AAAA" }, {}),
    message: /certificate-authority-data of "a" is not PEM/,
  },
  {
    name: "CA data that is no certificate",
    text: kubeconfig(
      { "certificate-authority-data": base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----") },
      {},
    ),
    message: /certificate-authority-data of "a" is no X\.509 certificate/,
  },
  {
    name: "a CA and no verification",
    text: kubeconfig({ "certificate-authority-data": base64(authority.ca), "insecure-skip-tls-verify": true }, {}),
    message: /both a certificate-authority and insecure/,
  },
  {
    name: "a certificate without its key",
    text: kubeconfig({}, { "client-certificate-data": base64(mine.cert) }),
    message: /client certificate without its key/,
  },
  {
    name: "a key without its certificate",
    text: kubeconfig({}, { "client-key-data": base64(mine.key) }),
    message: /client key without its certificate/,
  },
  {
    name: "a token file that is missing",
    text: kubeconfig({}, { tokenFile: "nope" }),
    message: /tokenFile of "a" names a file .*nope/,
  },
  {
    name: "a token with a line break",
    text: kubeconfig({}, { token: "a\nb" }),
    message: /user "a": the token holds spaces/,
  },
  {
    name: "an auth-provider",
    text: kubeconfig({}, { "auth-provider": { name: "gcp" } }),
    message: /auth-provider, which Kubernetes 1\.26 removed/,
  },
  {
    name: "a SOCKS proxy",
    text: kubeconfig({ "proxy-url": "socks5://x" }, {}),
    message: /proxy-url "socks5:\/\/x" of cluster "a" is not supported/,
  },
  { name: "an exec without a command", text: kubeconfig({}, { exec: {} }), message: /exec of user "a" has no command/ },
  {
    name: "an exec of an old version",
    text: kubeconfig({}, { exec: { command: "x", apiVersion: "client.authentication.k8s.io/v1alpha1" } }),
    message: /has apiVersion "client.*v1alpha1"/,
  },
];

for (const { name, text, message } of BAD) {
  test(`loadConnection() names the file, the object and the remedy: ${name}`, async () => {
    const path = file(text);
    await assert.rejects(load(path), (error) => {
      assert.ok(isBreakwaterError(error, "BW_KUBE_CONFIG"));
      assert.match(error.message, message);
      assert.ok(error.message.includes(path), error.message);
      assert.notEqual(error.remedy ?? "", "");
      return true;
    });
  });
}

test("loadConnection() lists the contexts there are when the one named is not", async () => {
  await assert.rejects(load(file(kubeconfig({}, {})), "prod"), { remedy: "Name one of: a" });
});

/** A plugin that is a shell script, and the kubeconfig that runs it. */
function plugin(script: string, exec: object = {}): string {
  const path = file(
    kubeconfig({}, { exec: { apiVersion: "client.authentication.k8s.io/v1", command: "./plugin", ...exec } }),
  );
  writeFileSync(join(dirname(path), "plugin"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(dirname(path), "plugin"), 0o755);
  return path;
}

test("loadConnection() runs an exec plugin once until it expires or the server says 401", async () => {
  const path = plugin(
    `echo run >> "$COUNT"; printf '{"status":{"token":"%s","expirationTimestamp":"2999-01-01T00:00:00Z"}}' "$1-$(wc -l < "$COUNT")"`,
    { args: ["tok"], env: [{ name: "COUNT", value: join(folder, "count") }] },
  );
  const { credentialSource } = await load(path);
  const [one, two] = await Promise.all([credentialSource.credentials(), credentialSource.credentials()]);
  assert.deepEqual([one, two], [{ authorization: "Bearer tok-1" }, { authorization: "Bearer tok-1" }]);
  assert.deepEqual(await credentialSource.credentials(), one);
  credentialSource.invalidate();
  assert.deepEqual(await credentialSource.credentials(), { authorization: "Bearer tok-2" });
});

test("loadConnection() runs an exec plugin again when its credentials have expired", async () => {
  const count = join(folder, "expired");
  const path = plugin(
    `echo run >> ${count}; printf '{"status":{"token":"t%s","expirationTimestamp":"2001-01-01T00:00:00Z"}}' "$(wc -l < ${count})"`,
  );
  const { credentialSource } = await load(path);
  await credentialSource.credentials();
  assert.deepEqual(await credentialSource.credentials(), { authorization: "Bearer t2" });
});

test("loadConnection() tells an exec plugin of the cluster where it asks for that", async () => {
  const path = plugin(
    `printf '{"status":{"token":"%s"}}' "$(printf %s "$KUBERNETES_EXEC_INFO" | od -An -tx1 | tr -d ' \\n')"`,
    {
      provideClusterInfo: true,
    },
  );
  const { authorization } = await (await load(path)).credentialSource.credentials();
  const info: unknown = JSON.parse(Buffer.from((authorization ?? "").slice("Bearer ".length), "hex").toString());
  assert.deepEqual(info, {
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    spec: { interactive: false, cluster: { server: "https://10.0.0.1:6443" } },
  });
});

const BAD_PLUGINS: readonly (readonly [string, string, object, RegExp])[] = [
  ["fails", "echo 'no session' >&2; exit 3", {}, /credential plugin .*\/plugin of user "a" failed: no session/],
  ["prints no JSON", "echo hello", {}, /its answer is not JSON/],
  ["prints no credential", "echo '{\"status\":{}}'", {}, /neither a token nor a certificate/],
  [
    "prints a time that is none",
    'echo \'{"status":{"token":"t","expirationTimestamp":"soon"}}\'',
    {},
    /"soon" is no time/,
  ],
  ["is not there", "", { command: "./absent" }, /ENOENT/],
];
for (const [what, script, exec, message] of BAD_PLUGINS) {
  test(`credentials() says why an exec plugin ${what}`, async () => {
    const { credentialSource } = await load(plugin(script, exec));
    await assert.rejects(credentialSource.credentials(), { code: "BW_KUBE_CONFIG", message });
  });
}

test("credentials() gives the install hint of a plugin that is not there", async () => {
  const { credentialSource } = await load(plugin("", { command: "./absent", installHint: "apt install it" }));
  await assert.rejects(credentialSource.credentials(), { remedy: "apt install it" });
});
