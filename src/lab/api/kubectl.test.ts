/**
 * The server as kubectl sees it: every verb a person types. Skipped where kubectl is not installed.
 */
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeCertificate } from "../certificates.ts";
import { at, type Fields, listOf } from "./object/object.ts";
import { startServer, type TestServer } from "./test-server.ts";

const version = spawnSync("kubectl", ["version", "--client"], { encoding: "utf8" });
/** kubectl 1.24 brought --subresource; before 1.27 it checks fields itself and words faults its own way. */
const minor = Number(
  /v1\.(\d+)|Minor:"(\d+)"/
    .exec(version.stdout ?? "")
    ?.slice(1)
    .find(Boolean) ?? 0,
);
const skip = version.error === undefined ? false : "kubectl is not installed";

const MANIFEST = `
apiVersion: v1
kind: Node
metadata: {name: node1}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: c, image: "nginx:1", ports: [{containerPort: 80, name: http}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Kubectl {
  readonly server: TestServer;
  readonly environment: NodeJS.ProcessEnv;
  /** Runs kubectl; `input` is its standard input. */
  run(command: string, input?: string): Promise<Result>;
  /** The same, and fails the test when kubectl does. */
  ok(command: string, input?: string): Promise<string>;
}

async function startKubectl(context: TestContext): Promise<Kubectl> {
  // kubectl sends a token over TLS only.
  const tls = await makeCertificate(["127.0.0.1"]);
  const server = await startServer(context, { token: "t0ken", tls });
  const directory = await mkdtemp(join(tmpdir(), "kubectl-test-"));
  context.after(() => rm(directory, { recursive: true, force: true }));
  const kubeconfig = join(directory, "config");
  await writeFile(kubeconfig, JSON.stringify(config(server.port, tls.cert)), { mode: 0o600 });
  const environment = {
    PATH: process.env["PATH"],
    HOME: directory,
    KUBECONFIG: kubeconfig,
    KUBECACHEDIR: join(directory, "cache"),
  };
  const run = (command: string, input = "") => kubectl(command, input, environment);
  const ok = async (command: string, input?: string) => {
    const { code, stdout, stderr } = await run(command, input);
    assert.equal(code, 0, `kubectl ${command}: ${stderr}`);
    return stdout;
  };
  return { server, environment, run, ok };
}

function config(port: number, authority: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "lab", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority-data": btoa(authority) } },
    ],
    contexts: [{ name: "lab", context: { cluster: "lab", user: "lab" } }],
    users: [{ name: "lab", user: { token: "t0ken" } }],
    "current-context": "lab",
  };
}

/** Words are split at spaces; a word in single quotes may hold some. */
function words(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

function kubectl(command: string, input: string, env: NodeJS.ProcessEnv): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const child = execFile("kubectl", words(command), { env, timeout: 30_000 }, (error, stdout, stderr) => {
    const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
    resolve({ code, stdout, stderr });
  });
  child.stdin?.end(input);
  return promise;
}

function running(server: TestServer, name: string): void {
  const status = {
    phase: "Running",
    podIP: "10.244.1.5",
    podIPs: [{ ip: "10.244.1.5" }],
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [{ name: "c", ready: true, restartCount: 0, image: "", imageID: "", state: { running: {} } }],
  };
  server.store.modify("pods", "default", name, (draft) => Object.assign(draft, { status }), { subresource: "status" });
}

/** Header and rows, cut at runs of spaces. */
function table(text: string): string[][] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) =>
      line
        .trimEnd()
        .split(/ {2,}| (?=\S)/)
        .filter((cell) => cell !== ""),
    );
}

test("kubectl: apply, get -o wide, describe, wait, delete", { skip }, async (context) => {
  const { server, ok, run } = await startKubectl(context);
  assert.equal(await ok("apply -f -", MANIFEST), "node/node1 created\npod/web created\nservice/web created\n");
  assert.match(await ok("apply -f -", MANIFEST), /service\/web unchanged/);
  running(server, "web");
  await ok("wait --for=condition=Ready pod/web --timeout=10s");
  const [header, row] = table(await ok("get pods -o wide"));
  assert.deepEqual(header?.slice(0, 7), ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]);
  assert.deepEqual(
    [row?.slice(0, 4), row?.slice(5, 7)],
    [
      ["web", "1/1", "Running", "0"],
      ["10.244.1.5", "node1"],
    ],
  );
  assert.match(await ok("describe pod web"), /Successfully assigned default\/web to node1/);
  assert.match(await ok("describe service web"), /Endpoints: +10\.244\.1\.5:80/);
  assert.match(await ok("describe node node1"), /PodCIDRs: +10\.244\.1\.0\/24/);
  assert.match(await ok("describe namespace default"), /Status: +Active/);
  assert.match(await ok("get endpointslices"), /web-\w+ +IPv4 +80 +10\.244\.1\.5/);
  assert.match(await ok("get events"), /Normal +Scheduled +pod\/web/);
  assert.match(await ok("get all"), /service\/kubernetes +ClusterIP +10\.96\.0\.1/);
  assert.match(await ok("delete pod web --grace-period=0 --force"), /pod "web" force deleted/);
  const lost = await run("get pod web");
  assert.deepEqual([lost.code, lost.stderr], [1, 'Error from server (NotFound): pods "web" not found\n']);
  assert.match(await ok("delete svc web"), /service "web" deleted/);
});

test("kubectl: delete waits until the kubelet has ended the Pod", { skip }, async (context) => {
  const { server, ok } = await startKubectl(context);
  await ok("apply -f -", MANIFEST);
  running(server, "web");
  const deleting = ok("delete pod web");
  const unsubscribe = server.store.subscribe("pods", ({ object, type }) => {
    if (type === "MODIFIED" && object.metadata.deletionTimestamp !== undefined) {
      setImmediate(() => server.store.delete("pods", "default", "web", { gracePeriodSeconds: 0 }));
    }
  });
  assert.match(await deleting, /pod "web" deleted/);
  unsubscribe();
});

test("kubectl: get -o wide -w prints each change as it comes", { skip }, async (context) => {
  const { server, ok, environment } = await startKubectl(context);
  await ok("apply -f -", MANIFEST);
  const child = spawn("kubectl", words("get pods -o wide -w"), { env: environment });
  context.after(() => child.kill());
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  const printed = async (text: RegExp) => {
    while (!text.test(output)) await once(child.stdout, "data");
  };
  await printed(/^web +0\/1 +Pending/m);
  running(server, "web");
  await printed(/^web +1\/1 +Running +0 +\S+ +10\.244\.1\.5 +node1/m);
  server.store.delete("pods", "default", "web");
  await printed(/^web +1\/1 +Terminating/m);
  assert.equal(output.match(/NAME/g)?.length, 1, "one header");
});

test("kubectl: label, annotate, patch of every type, replace, set image, edit", { skip }, async (context) => {
  const { server, ok, environment } = await startKubectl(context);
  await ok("apply -f -", MANIFEST);
  await ok("label pod web tier=front");
  await ok("annotate pod web note=x");
  await ok(`patch pod web -p '{"metadata":{"labels":{"a":"1"}}}'`);
  await ok(`patch pod web --type=merge -p '{"metadata":{"labels":{"b":"1"}}}'`);
  await ok(`patch pod web --type=json -p '[{"op":"remove","path":"/metadata/labels/a"}]'`);
  if (minor >= 24) await ok(`patch pod web --subresource=status --type=merge -p '{"status":{"message":"hi"}}'`);
  await ok("set image pod/web c=nginx:2");
  const object = server.store.get("pods", "default", "web");
  assert.deepEqual(object?.metadata.labels, { app: "web", tier: "front", b: "1" });
  assert.deepEqual(
    [object?.metadata.annotations?.["note"], at(object, "status", "message")],
    ["x", minor >= 24 ? "hi" : undefined],
  );
  const fetched = JSON.parse(await ok("get pod web -o json")) as Fields;
  (at(fetched, "metadata", "labels") as Fields)["c"] = "1";
  await ok("replace -f -", JSON.stringify(fetched));
  environment["KUBE_EDITOR"] = "sed -i s/nginx:2/nginx:3/";
  await ok("edit pod web");
  const edited = server.store.get("pods", "default", "web");
  assert.equal(at(listOf(at(edited, "spec", "containers"))[0], "image"), "nginx:3");
  assert.equal(edited?.metadata.labels?.["c"], "1");
});

test("kubectl: create of every shape, expose, run, dry run, diff", { skip }, async (context) => {
  const { server, ok, run } = await startKubectl(context);
  await ok("create namespace n");
  await ok("create configmap c -n n --from-literal=a=b");
  await ok("create secret generic s -n n --from-literal=a=b");
  await ok("create serviceaccount x -n n");
  await ok("create service nodeport np -n n --tcp=80:8080 --node-port=31000");
  await ok("run p -n n --image=x:1 --port=80 --labels=app=p");
  await ok("expose pod p -n n --port=80 --name=p");
  await ok("create configmap dry -n n --dry-run=server");
  assert.deepEqual(server.store.get("secrets", "n", "s")?.["data"], { a: "Yg==" });
  assert.equal(at(listOf(at(server.store.get("services", "n", "np"), "spec", "ports"))[0], "nodePort"), 31000);
  assert.equal(server.store.get("configmaps", "n", "dry"), undefined);
  const diff = await run(
    "diff -n n -f -",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: changed}\n",
  );
  assert.equal(diff.code, 1);
  assert.match(diff.stdout, /\+ {2}a: changed/);
  await ok("delete namespace n");
  assert.equal(server.store.get("namespaces", undefined, "n"), undefined);
});

test("kubectl: selectors, tables of every kind, output formats", { skip }, async (context) => {
  const { ok } = await startKubectl(context);
  await ok("apply -f -", MANIFEST);
  assert.equal(await ok("get pods -l 'app in (web)' --field-selector spec.nodeName=node1 -o name"), "pod/web\n");
  assert.equal(await ok("get pods -l app!=web -o name"), "");
  assert.equal(await ok("get svc web -o jsonpath={.spec.type}"), "ClusterIP");
  for (const kind of [
    "nodes",
    "ns",
    "svc",
    "ep",
    "endpointslices",
    "netpol",
    "cm",
    "secrets",
    "sa",
    "leases",
    "events",
    "crd",
  ]) {
    await ok(`get ${kind} -A -o wide`);
  }
  assert.match(await ok("get pods --sort-by=.metadata.name --show-labels"), /app=web/);
  assert.match(await ok("get pods,svc -o yaml"), /kind: List/);
});

test("kubectl: server-side apply, its conflicts, and taking over from client-side apply", { skip }, async (context) => {
  const { server, ok, run } = await startKubectl(context);
  await ok("apply -f -", MANIFEST);
  await ok("apply --server-side -f -", MANIFEST);
  const changed = MANIFEST.replace("port: 80, targetPort", "port: 80, name: x, targetPort");
  await ok("apply --server-side -f -", changed);
  const conflict = await run(
    "apply --server-side --field-manager=other -f -",
    MANIFEST.replace("{port: 80", "{port: 80, name: other"),
  );
  assert.equal(conflict.code, 1);
  assert.match(conflict.stderr, /conflict with "kubectl".*\.spec\.ports\[port=80,protocol="TCP"\]\.name/);
  await ok(
    "apply --server-side --field-manager=other --force-conflicts -f -",
    MANIFEST.replace("{port: 80", "{port: 80, name: other"),
  );
  assert.equal(at(listOf(at(server.store.get("services", "default", "web"), "spec", "ports"))[0], "name"), "other");
});

test("kubectl: unknown kinds and fields, wrong types and bad values are refused in one line", {
  skip,
}, async (context) => {
  const { run } = await startKubectl(context);
  const refused = async (manifest: string, message: RegExp) => {
    const { code, stderr } = await run("apply -f -", manifest);
    assert.equal(code, 1, manifest);
    assert.match(stderr, message);
  };
  await refused(
    MANIFEST.replace("image:", "imagee:"),
    minor >= 25 ? /strict decoding error: unknown field "spec\.containers\[0\]\.imagee"/ : /unknown field "imagee"/,
  );
  await refused(
    "apiVersion: x.io/v1\nkind: Gadget\nmetadata: {name: a}\n",
    /no matches for kind "Gadget" in version "x\.io\/v1"/,
  );
  await refused(
    MANIFEST.replace("containerPort: 80", "containerPort: eighty"),
    minor >= 25 ? /cannot unmarshal "eighty"/ : /invalid type/,
  );
  await refused(MANIFEST.replace("containerPort: 80", "containerPort: 80000"), /must be between 1 and 65535/);
  await refused(MANIFEST.replace("name: web, labels", "name: Web, labels"), /RFC 1123/);
});

test("kubectl: custom resources from definition to explain", { skip }, async (context) => {
  const { ok } = await startKubectl(context);
  const schema = {
    type: "object",
    properties: { spec: { type: "object", properties: { size: { type: "integer", description: "How large" } } } },
  };
  const columns = [{ name: "Size", type: "integer", jsonPath: ".spec.size" }];
  const crd = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Cluster",
      names: { plural: "widgets", kind: "Widget", shortNames: ["wd"] },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: schema },
        },
      ],
    },
  };
  await ok("apply -f -", JSON.stringify(crd));
  await ok("wait --for=condition=Established crd/widgets.example.com --timeout=10s");
  await ok("apply -f -", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n");
  assert.deepEqual(table(await ok("get wd")), [
    ["NAME", "SIZE"],
    ["w", "3"],
  ]);
  assert.match(await ok("explain widget.spec.size"), /How large/);
  await ok("delete crd widgets.example.com");
});

test("kubectl: version, api-resources, api-versions, explain, cluster-info, cordon, drain, taint", {
  skip,
}, async (context) => {
  const { server, ok } = await startKubectl(context);
  assert.match(await ok("version"), /v1\.32\.0\+breakwater/);
  assert.match(await ok("api-resources"), /networkpolicies +netpol +networking\.k8s\.io\/v1 +true +NetworkPolicy/);
  assert.match(await ok("api-versions"), /discovery\.k8s\.io\/v1/);
  assert.match(await ok("explain pod.spec.containers.ports"), /containerPort/);
  await ok("cluster-info");
  await ok("apply -f -", MANIFEST);
  await ok("cordon node1");
  assert.match(await ok("get nodes"), /Ready,SchedulingDisabled/);
  const unsubscribe = server.store.subscribe("pods", ({ object, type }) => {
    if (type === "MODIFIED" && object.metadata.deletionTimestamp !== undefined) {
      setImmediate(() => server.store.delete("pods", "default", object.metadata.name, { gracePeriodSeconds: 0 }));
    }
  });
  await ok("drain node1 --force --grace-period=1 --timeout=20s");
  unsubscribe();
  assert.equal(server.store.get("pods", "default", "web"), undefined);
  await ok("taint node node1 a=b:NoSchedule");
  await ok("uncordon node1");
});
