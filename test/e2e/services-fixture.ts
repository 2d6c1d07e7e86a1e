/** Dual-stack labs for tests of Services: objects by kubectl, waiting for what every node serves, dials by the batch. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { dirname, join, resolve } from "node:path";
import { json } from "node:stream/consumers";
import { callLab, type LabStatus, type ProbeRequest } from "../../src/lab/control-protocol.ts";
import type { DialResult } from "../../src/lab/dial.ts";
import type { FrontendReport, ServicesReport } from "../../src/model/service-report.ts";
import { eventually, LabHome, type Outcome, PATIENCE } from "./lab-fixture.ts";
import type { HttpOutcome } from "./peers/http-get.ts";
import type { Traffic, TrafficOutcome } from "./peers/steady.ts";

/** A dial, and what it has to get: "namespace/pod", or the errno name ("ECONNREFUSED"; "ETIMEDOUT" for silence). */
export interface Expectation extends ProbeRequest {
  readonly gets: string;
  /** Address that the responder has to see as the client's. */
  readonly sees?: string;
}

/** Who balances. */
export type Backend = "nftables" | "ipvs";
let usualBackend: Backend = "nftables";

/** What labs from here on have: the same tests stand for each backend. */
export function serveWith(backend: Backend): void {
  usualBackend = backend;
}

/** Where agents answer, on loopback. */
const AGENT_PORT = 9098;
/** Objects and endpoints are everywhere long before; a busy machine may take its time. */
export const SETTLED_MS = PATIENCE * 20_000;
/** An answer is awaited as long as a busy machine may need; silence is believed earlier, for it is most of a test's time. */
const ANSWER_MS = PATIENCE * 5000;
const SILENCE_MS = PATIENCE * 600;
/** A dial that has to see each of a few pods is repeated so often at most: one in a million misses one of three. */
const MOST_ROUNDS = 5;
const DIALS_A_ROUND = 8;

/** node1 and node3 share a subnet, node2 is behind the router. */
const SHAPE = ["--nodes", "3", "--subnets", "2", "--zones", "3"];

/** A program of `peers/`, by this Node. */
export const peer = (name: string, ...args: string[]) => [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  resolve(`test/e2e/peers/${name}.ts`),
  ...args,
];

/** A Service on port 80 for pods with the label app=NAME, with both families unless `spec` says otherwise. */
export function service(name: string, spec: object = {}, metadata: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", ...metadata },
    spec: { ipFamilyPolicy: "RequireDualStack", selector: { app: name }, ports: [{ port: 80 }], ...spec },
  };
}

/** A responder on `node` with the label app=APP, on TCP and UDP 80 unless `ports` says otherwise. */
export function responder(name: string, app: string, node: string, spec: object = {}, ports?: object[]): object {
  const containerPorts = ports ?? [{ containerPort: 80 }, { containerPort: 80, protocol: "UDP" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app } },
    spec: { nodeName: node, containers: [{ name: "main", image: "responder", ports: containerPorts }], ...spec },
  };
}

export class ServiceLab {
  readonly home = new LabHome();
  readonly backend = usualBackend;
  readonly #name: string;
  #status: LabStatus | undefined;
  #files = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Comes up with objects that are ready then, dual-stack. */
  async up(objects: readonly object[] = [], shape: readonly string[] = SHAPE): Promise<void> {
    const file = this.home.write("objects.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    const manifests = objects.length === 0 ? [] : ["--manifests", file];
    const backend =
      this.backend === "nftables" || shape.includes("--service-proxy") ? [] : ["--service-proxy", this.backend];
    const timeout = ["--timeout", String(PATIENCE * 60)];
    const up = await this.lab("up", "--dual-stack", ...timeout, ...shape, ...backend, ...manifests);
    assert.equal(up.code, 0, up.stderr);
    this.#status = await this.status();
    await Promise.all(this.nodes.map((node) => this.#startRelay(node)));
  }

  close(): Promise<void> {
    return this.home.close();
  }

  lab(verb: string, ...args: string[]): Promise<Outcome> {
    return this.home.lab(this.#name, verb, ...args);
  }

  async status(): Promise<LabStatus> {
    return JSON.parse((await this.lab("status", "-o", "json")).stdout);
  }

  get nodes(): string[] {
    return (this.#status?.nodes ?? []).map(({ name }) => name);
  }

  /** Addresses of a node, IPv4 first. */
  addresses(node: string): readonly string[] {
    const found = this.#status?.nodes.find(({ name }) => name === node);
    assert.ok(found, `the lab has no ${node}`);
    return found.addresses;
  }

  /** Every address of a node, on whatever device. */
  async ownAddresses(node: string): Promise<string[]> {
    const devices: { addr_info: { local: string }[] }[] = JSON.parse(
      await this.exec(`node/${node}`, "ip", "-j", "address"),
    );
    return devices.flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
  }

  /** Output of a command in a pod or on a node; it has to succeed. */
  async exec(target: string, ...command: string[]): Promise<string> {
    const outcome = await this.lab("exec", target, "--", ...command);
    assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout;
  }

  /** Output of kubectl, which has to succeed. */
  async kubectl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.home.kubectl(this.#name, args);
    assert.equal(code, 0, `kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** What kubectl says of a manifest that the API server has to refuse. */
  async refusal(object: object): Promise<string> {
    const { code, stderr } = await this.home.kubectl(this.#name, ["apply", "-f", "-"], JSON.stringify(object));
    assert.notEqual(code, 0, "the API server took it");
    return stderr;
  }

  async apply(...objects: object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    const { code, stderr } = await this.home.kubectl(this.#name, ["apply", "-f", "-"], list);
    assert.equal(code, 0, stderr);
  }

  /** Merges into the spec of a Service. */
  async patch(name: string, spec: object): Promise<void> {
    await this.kubectl("patch", "service", name, "--type=merge", "-p", JSON.stringify({ spec }));
  }

  /** What a load balancer's controller would report. */
  async reportLoadBalancer(name: string, ...ips: string[]): Promise<void> {
    const status = { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } };
    const patch = ["--subresource=status", "--type=merge", "-p", JSON.stringify({ status })];
    await this.kubectl("patch", "service", name, ...patch);
  }

  /** The router leads addresses that nobody has to a node, as a load balancer or an administrator would. */
  async lead(ips: readonly string[], node: string): Promise<void> {
    const [via4 = "", via6 = ""] = this.addresses(node);
    const routes = ips.map((ip) => `ip route replace ${ip} via ${ip.includes(":") ? via6 : via4}`);
    await this.exec("node/router", "sh", "-ec", routes.join("\n"));
  }

  async ready(...pods: string[]): Promise<void> {
    const names = pods.map((name) => `pod/${name}`);
    await this.kubectl("wait", ...names, "--for=condition=Ready", `--timeout=${PATIENCE * 30}s`);
  }

  /** Both addresses of a pod, IPv4 first. */
  async podIps(name: string): Promise<string[]> {
    return (await this.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIPs[*].ip}")).split(" ");
  }

  async clusterIps(name: string): Promise<string[]> {
    return (await this.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIPs[*]}")).split(" ");
  }

  /** What every node's agent says of its Services. */
  reports(): Promise<ServicesReport[]> {
    return Promise.all(this.nodes.map((node) => report(this.#relay(node), node)));
  }

  /** `breakwater services` takes half a second, an agent that is asked through a socket a millisecond. Ends with the lab. */
  async #startRelay(node: string): Promise<void> {
    const relay = peer("relay", this.#relay(node), String(AGENT_PORT)).join(" ");
    await this.exec(`node/${node}`, "sh", "-c", `${relay} < /dev/null > /dev/null 2>&1 &`);
    await eventually(SETTLED_MS, async () => assert.ok(existsSync(this.#relay(node)), `no relay on ${node}`));
  }

  #relay(node: string): string {
    return join(this.home.folder, `${node}.sock`);
  }

  /** Waits until what every node serves of a Service passes `check`; no frontends: the Service is not known or not served. */
  served(name: string, check: (frontends: readonly FrontendReport[], node: string) => boolean): Promise<void> {
    return eventually(SETTLED_MS, async () => {
      for (const { node, failure, services } of await this.reports()) {
        assert.equal(failure, null, node);
        const frontends = services.find(({ service }) => service === `default/${name}`)?.frontends ?? [];
        assert.ok(check(frontends, node), `${node} serves ${name}: ${JSON.stringify(frontends)}`);
      }
    });
  }

  /** Waits until the Service has so many endpoints at each of its addresses and ports on every node. */
  endpoints(name: string, count: number): Promise<void> {
    return this.served(
      name,
      (frontends) => frontends.length > 0 && frontends.every(({ endpoints }) => endpoints.length === count),
    );
  }

  /** Waits until no node serves the Service any more. */
  gone(name: string): Promise<void> {
    return this.served(name, (frontends) => frontends.length === 0);
  }

  /** As `breakwater lab probe --batch` does, without a process for each batch. */
  async dial(probes: readonly ProbeRequest[]): Promise<readonly DialResult[]> {
    const control = join(dirname(this.home.kubeconfig(this.#name)), "control.sock");
    return callLab(control, "probe", {
      probes: probes.map((each) => ({ timeoutMs: ANSWER_MS, ...each })),
      batch: true,
    });
  }

  /** Dials each once, all at the same time. */
  async expect(rows: readonly Expectation[]): Promise<void> {
    const silence = { timeoutMs: SILENCE_MS };
    const results = await this.dial(rows.map((row) => (row.gets === "ETIMEDOUT" ? { ...silence, ...row } : row)));
    const wrong = rows.flatMap(({ gets, sees, ...probe }, i) => {
      const got = results[i]?.answer ?? results[i]?.error ?? "a connection without an answer";
      const saw = results[i]?.clientIp;
      const isRight = got === gets && (sees === undefined || saw === sees);
      return isRight ? [] : [`${text(probe)} got ${got} (client ${saw}), not ${gets} (client ${sees ?? "any"})`];
    });
    assert.deepEqual(wrong, []);
  }

  /** The same, as soon as all nodes have heard of what changed. */
  settles(rows: readonly Expectation[]): Promise<void> {
    return eventually(SETTLED_MS, () => this.expect(rows));
  }

  /** For each probe, who answered how often ("namespace/pod", or the errno name), of `times` dials. */
  async answers(probes: readonly ProbeRequest[], times: number): Promise<Map<string, number>[]> {
    const results = await this.dial(probes.flatMap((probe) => Array.from({ length: times }, () => probe)));
    return probes.map((_, i) => {
      const counts = new Map<string, number>();
      for (const { answer, error } of results.slice(i * times, (i + 1) * times)) {
        const who = answer ?? error ?? "nobody";
        counts.set(who, (counts.get(who) ?? 0) + 1);
      }
      return counts;
    });
  }

  /** Each probe reaches all of these pods, and nothing else, in a number of dials. */
  async reachesAll(probes: readonly ProbeRequest[], pods: readonly string[]): Promise<void> {
    const wanted = pods.map((name) => `default/${name}`).sort();
    let left = probes.map((probe) => ({ probe, seen: new Set<string>() }));
    for (let round = 0; round < MOST_ROUNDS && left.length > 0; round++) {
      const again = left.map(({ probe }) => probe);
      const found = await this.answers(again, wanted.length === 1 ? 2 : DIALS_A_ROUND);
      for (const [i, { probe, seen }] of left.entries()) {
        for (const who of found[i]?.keys() ?? []) {
          assert.ok(wanted.includes(who), `${text(probe)} got ${who}, not one of ${wanted.join(", ")}`);
          seen.add(who);
        }
      }
      left = left.filter(({ seen }) => seen.size < wanted.length);
    }
    const missing = left.map(({ probe, seen }) => `${text(probe)} reached only ${[...seen].join(", ")}`);
    assert.deepEqual(missing, [], `of ${wanted.join(", ")}`);
  }

  /** While `body` runs, traffic goes on from a pod or a node; none of it may fail. @returns how often each succeeded */
  async steadily(from: string, traffic: readonly Traffic[], body: () => Promise<void>): Promise<number[]> {
    const base = join(this.home.folder, `steady${++this.#files}`);
    const running = this.lab("exec", from, "--", ...peer("steady", base, JSON.stringify(traffic)));
    const ended = running.then(({ stdout, stderr }) => assert.fail(`it ended too early: ${stdout}${stderr}`));
    try {
      await Promise.race([
        ended,
        eventually(SETTLED_MS, async () => assert.ok(existsSync(`${base}.on`), "no success")),
      ]);
      await Promise.race([ended, body()]);
    } finally {
      ended.catch(() => undefined);
      writeFileSync(`${base}.off`, "");
    }
    const { stdout, stderr } = await running;
    const outcomes: TrafficOutcome[] = stdout === "" ? assert.fail(stderr) : JSON.parse(stdout);
    const failed = outcomes.map(({ failures }, i) => ({ ...traffic[i], failures }));
    assert.deepEqual(
      failed,
      traffic.map((each) => ({ ...each, failures: {} })),
    );
    return outcomes.map(({ succeeded }) => succeeded);
  }

  /** Asks URLs from a machine of the lab. */
  async httpGet(from: string, ...urls: string[]): Promise<HttpOutcome[]> {
    return JSON.parse(await this.exec(from, ...peer("http-get", ...urls)));
  }
}

function report(socketPath: string, node: string): Promise<ServicesReport> {
  return new Promise((done, fail) => {
    const request = get({ socketPath, path: "/services", agent: false }, (response) => {
      json(response).then((body) => done(body as ServicesReport), fail);
    });
    request.on("error", (error) => fail(new Error(`the agent of ${node} does not answer: ${error.message}`)));
  });
}

function text({ from, to, port, protocol = "TCP" }: ProbeRequest): string {
  return `${from} -> ${to} ${protocol} ${port}`;
}
