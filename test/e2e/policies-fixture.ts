/**
 * A dual-stack lab in which the NetworkPolicy cases run with real sockets. All pods of all cases stand in it at once, with
 * the ports that any case gives them, as upstream's suites have them: a case patches labels, applies policies and dials.
 */
import assert from "node:assert/strict";
import { namespaces, networkPolicies, type ObjectAddress, pods } from "../../src/kube/resource.ts";
import type { ProbeRequest } from "../../src/lab/control-protocol.ts";
import type { DialResult } from "../../src/lab/dial.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import type { CaseAction, CaseCluster, CasePod, CaseProbe, PolicyCase } from "../conformance/netpol/cases.ts";
import { clusterOf, connectionsOf, policyCases } from "../conformance/netpol/cases.ts";
import { ApiLab } from "./api-fixture.ts";
import { eventually, PATIENCE } from "./lab-fixture.ts";
import { SETTLED_MS } from "./services-fixture.ts";

type Labels = Readonly<Record<string, string>>;

/** Silence is believed early: a SYN that is let through is answered by the kernel in less than a millisecond. */
export const SILENCE_MS = PATIENCE * 400;
/** How long an answer that has to come is waited for, from a busy machine. */
export const ANSWER_MS = PATIENCE * 2000;
/** An address outside of the cluster that the cases dial and are dialled from. */
const OUTSIDE = "203.0.113.9";
const FENCE = "fence";
const FENCE_PORTS = [1, 2];
const FENCE_FIRST_MS = 30;
const FENCE_PODS = ["a", "b", "c"];

export function policy(namespace: string, name: string, spec: object): Record<string, unknown> {
  const head = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" };
  return { ...head, metadata: { namespace, name }, spec: { podSelector: {}, ...spec } };
}

/** A responder at an address of its choice; both families where `ips` has both. */
export function podAt(
  { namespace, name, node, ips, labels = {} }: Omit<CasePod, "ports" | "labels"> & { readonly labels?: Labels },
  ports: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[],
  spec: object = {},
): Record<string, unknown> {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, labels, annotations: { "breakwater.dev/ip": ips.join(",") } },
    spec: { nodeName: node, containers: [{ name: "main", image: "responder", ports }], ...spec },
  };
}

export function namespaceObject(name: string, labels: Labels = {}): Record<string, unknown> {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
}

/** The same host of the node's other pod CIDR: 10.244.1.11 -> fd00:10:244:1::b. */
export function ipv6Of(ip: string): string {
  const [, , node, host] = ip.split(".").map(Number);
  return `fd00:10:244:${node}::${(host ?? 0).toString(16)}`;
}

/** Pods of one name in several cases; where they have different addresses, one of each. */
function standingPods(): Map<string, CasePod> {
  const found = new Map<string, CasePod>();
  for (const theCase of policyCases) {
    for (const pod of clusterOf(theCase).pods) {
      const before = found.get(placeOf(pod))?.ports ?? [];
      const more = pod.ports.filter(({ name }) => before.every((port) => port.name !== name));
      found.set(placeOf(pod), { ...pod, ports: [...before, ...more] });
    }
  }
  return found;
}

const placeOf = ({ namespace, name, ips }: CasePod) => `${namespace}/${name} ${ips[0]}`;
const keyOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }) => `${namespace}/${name}`;

function manifest(pod: CasePod): Record<string, unknown> {
  const ports = pod.ports.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol }));
  return podAt({ ...pod, ips: [...pod.ips, ...pod.ips.map(ipv6Of)] }, ports);
}

function fencePods(): Record<string, unknown>[] {
  return FENCE_PODS.map((name, i) => {
    const ips = [`10.244.${i + 1}.99`, `fd00:10:244:${i + 1}::63`];
    const ports = FENCE_PORTS.map((containerPort) => ({ containerPort }));
    return podAt({ namespace: FENCE, name, node: `node${i + 1}`, ips }, ports);
  });
}

export class PolicyLab extends ApiLab {
  readonly #places = standingPods();
  /** What stands now, by "namespace/name". */
  readonly #pods = new Map<string, CasePod>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #policies = new Map<string, ObjectAddress>();
  #fencePort = 0;

  async start(): Promise<void> {
    for (const pod of this.#places.values()) if (!this.#pods.has(keyOf(pod))) this.#pods.set(keyOf(pod), pod);
    const names = new Set([FENCE, ...[...this.#pods.values()].map(({ namespace }) => namespace)]);
    for (const given of ["default", "kube-system"]) names.delete(given);
    await this.up([
      ...[...names].map((name) => namespaceObject(name)),
      ...fencePods(),
      ...[...this.#pods.values()].map(manifest),
    ]);
    await this.#reachOutside();
    await this.lookForSctp(`${FENCE}/a`, `${FENCE}/b`);
  }

  /** The outside has the cases' address, and the router knows where pods are. */
  async #reachOutside(): Promise<void> {
    const own = `ip addr add ${OUTSIDE}/24 dev eth0; ip route replace default via 203.0.113.1 src ${OUTSIDE}`;
    await this.exec("node/outside", "sh", "-ec", own);
    const routes = this.nodes.map((node, i) => `ip route add 10.244.${i + 1}.0/24 via ${this.addresses(node)[0]}`);
    await this.exec("node/router", "sh", "-ec", routes.join("\n"));
  }

  /** The case's pods and namespaces with its labels, and no policies. */
  async prepare(theCase: PolicyCase): Promise<void> {
    const wanted: CaseCluster = clusterOf(theCase);
    await this.deletePolicies();
    await Promise.all(wanted.namespaces.map(({ name, labels }) => this.#labelNamespace(name, labels)));
    await Promise.all(wanted.pods.map((pod) => this.#standAt(pod)));
    await Promise.all(wanted.pods.map(({ namespace, name, labels }) => this.#labelPod(namespace, name, labels)));
  }

  /** A pod of that name with another address makes way. */
  async #standAt(pod: CasePod): Promise<void> {
    if (this.#pods.get(keyOf(pod))?.ips[0] === pod.ips[0]) return;
    await this.deletePod(pod.namespace, pod.name);
    const next = this.#places.get(placeOf(pod)) ?? pod;
    await this.create(manifest(next));
    await this.isReady(pod.namespace, pod.name);
    this.#pods.set(keyOf(pod), next);
  }

  async create(object: Record<string, unknown>): Promise<void> {
    const { namespace } = object["metadata"] as { namespace?: string };
    await this.api.create(object["kind"] === "Pod" ? pods : namespaces, namespace, object);
  }

  async deletePod(namespace: string, name: string): Promise<void> {
    const address = { resource: pods, namespace, name };
    await this.api.delete(address, { gracePeriodSeconds: 0 });
    await eventually(SETTLED_MS, () =>
      assert.rejects(this.api.get(address), (error) => isBreakwaterError(error) && error.code === "BW_KUBE_NOT_FOUND"),
    );
  }

  async isReady(namespace: string, name: string): Promise<void> {
    await eventually(SETTLED_MS, async () => {
      const { status } = await this.api.get({ resource: pods, namespace, name });
      const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] };
      assert.ok(
        conditions.some((each) => each.type === "Ready" && each.status === "True"),
        `${namespace}/${name} is not ready: ${JSON.stringify(status)}`,
      );
    });
  }

  async act(action: CaseAction): Promise<void> {
    if (action.op === "applyPolicy") await this.applyPolicy(action.policy);
    else if (action.op === "deletePolicy") await this.deletePolicy(action.namespace, action.name);
    else if (action.op === "setNamespaceLabels") await this.#labelNamespace(action.namespace, action.labels);
    else await this.#labelPod(action.namespace, action.name, action.labels);
  }

  async applyPolicy(object: Record<string, unknown>): Promise<void> {
    const { namespace, name } = object["metadata"] as { namespace: string; name: string };
    const address = { resource: networkPolicies, namespace, name };
    await this.api.patch(address, object, { type: "apply", fieldManager: "e2e", force: true });
    this.#policies.set(keyOf(address), address);
  }

  async deletePolicy(namespace: string, name: string): Promise<void> {
    await this.api.delete({ resource: networkPolicies, namespace, name });
    this.#policies.delete(`${namespace}/${name}`);
  }

  /** All but the fence. */
  async deletePolicies(): Promise<void> {
    const left = [...this.#policies.values()].filter(({ namespace }) => namespace !== FENCE);
    await Promise.all(left.map(({ namespace = "", name }) => this.deletePolicy(namespace, name)));
  }

  async deleteFence(): Promise<void> {
    await this.deletePolicy(FENCE, "fence");
  }

  async #labelNamespace(name: string, labels: Labels): Promise<void> {
    const before = this.#namespaces.get(name) ?? {};
    await this.#label({ resource: namespaces, name }, before, labels);
    this.#namespaces.set(name, labels);
  }

  async #labelPod(namespace: string, name: string, labels: Labels): Promise<void> {
    const pod = this.#pods.get(`${namespace}/${name}`);
    assert.ok(pod, `${namespace}/${name} stands`);
    await this.#label({ resource: pods, namespace, name }, pod.labels, labels);
    this.#pods.set(keyOf(pod), { ...pod, labels });
  }

  async #label(address: ObjectAddress, before: Labels, after: Labels): Promise<void> {
    const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
    const changed = Object.entries(after).some(([key, value]) => before[key] !== value);
    if (gone.length === 0 && !changed) return;
    const labels = { ...Object.fromEntries(gone.map((key) => [key, null])), ...after };
    await this.api.patch(address, { metadata: { labels } }, { type: "merge" });
  }

  /**
   * Waits until every node enforces all policies that were written before: each reads them in their order, and the fence is
   * the last one. It opens another port each time.
   */
  async fence(): Promise<void> {
    this.#fencePort = FENCE_PORTS.find((port) => port !== this.#fencePort) ?? 0;
    const ingress = [{ ports: [{ port: this.#fencePort }] }];
    await this.applyPolicy(policy(FENCE, "fence", { ingress, policyTypes: ["Ingress"] }));
    // It was closed before: a dial gets through as soon as the node of that pod has read so far.
    let timeoutMs = FENCE_FIRST_MS;
    const rows = () =>
      FENCE_PODS.map((name, i) => {
        const from = `${FENCE}/${FENCE_PODS[(i + 1) % FENCE_PODS.length]}`;
        return { from, to: `${FENCE}/${name}`, port: this.#fencePort, allowed: true, timeoutMs };
      });
    await eventually(SETTLED_MS, () => {
      timeoutMs *= 1.3;
      return this.holds(rows());
    });
  }

  /** Dials of both families, where the case has any that an ipBlock does not tell apart. */
  rows(theCase: PolicyCase, probes: readonly CaseProbe[]): Row[] {
    const hasBlock = JSON.stringify(theCase.steps).includes('"ipBlock"');
    return probes.flatMap((probe) =>
      [...connectionsOf(probe)].flatMap(({ from, to, allowed }) => {
        const { port, protocol } = probe;
        const target = this.#pods.get(to)?.ips[0] ?? to;
        const row = {
          from: this.#pods.has(from) ? from : "node/outside",
          to: target,
          who: to,
          port,
          protocol,
          allowed,
        };
        const isInside = this.#pods.has(from) && this.#pods.has(to);
        return isInside && !hasBlock ? [row, { ...row, to: ipv6Of(target) }] : [row];
      }),
    );
  }

  /** Silence, or the pod that was meant: anything else is wrong. */
  async holds(rows: readonly Row[]): Promise<void> {
    const results = await this.dial(
      rows.map(({ from, to, port, protocol, allowed, timeoutMs = allowed ? ANSWER_MS : SILENCE_MS }) => ({
        ...{ from, to, port, timeoutMs },
        ...(protocol === undefined ? {} : { protocol }),
      })),
    );
    const wrong = rows.flatMap((row, i) => (isRight(row, results[i]) ? [] : [describe(row, results[i])]));
    assert.deepEqual(wrong, []);
  }

  settlesTo(rows: readonly Row[], deadlineMs = PATIENCE * 5000): Promise<void> {
    return eventually(deadlineMs, () => this.holds(rows));
  }
}

export interface Row extends ProbeRequest {
  readonly allowed: boolean;
  /** Who answers; `to` unless given. */
  readonly who?: string;
}

function isRight({ allowed, who, to }: Row, result: DialResult | undefined): boolean {
  return allowed ? result?.answer === (who ?? to) : result?.error === "ETIMEDOUT";
}

function describe({ from, to, port, protocol = "TCP", allowed }: Row, result: DialResult | undefined): string {
  const got = result?.answer ?? result?.error ?? "a connection without an answer";
  return `${from} -> ${to} ${protocol} ${port} got ${got}, ${allowed ? "but it is allowed" : "not silence"}`;
}
