/**
 * A node's PolicyEnforcer on the kernel in memory, told what the API says object by object, in any order. What it has in the
 * kernel is walked through by packets.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { PolicyEnforcer } from "../../../src/agent/policies/policy-enforcer.ts";
import { FakeConntrack } from "../../../src/kernel/fake/conntrack.ts";
import { FakeHost } from "../../../src/kernel/fake/host.ts";
import { supervise } from "../../../src/kernel/fake/supervision.ts";
import type { JsonObject } from "../../../src/kube/json.ts";
import { parseNamespace } from "../../../src/kube/parse-namespace.ts";
import { parseNetworkPolicy } from "../../../src/kube/parse-network-policy.ts";
import { parsePolicyPod } from "../../../src/kube/parse-policy-pod.ts";
import { ManualClock } from "../../../src/kube/testing/manual-clock.ts";
import type { ClusterNamespace } from "../../../src/model/cluster.ts";
import { type Family, ipFamily } from "../../../src/model/ip.ts";
import { POLICY_TABLES } from "../../../src/model/marks.ts";
import type { ClusterPolicy, PolicyPod } from "../../../src/model/policy.ts";
import type { LocalPod } from "../../../src/model/state.ts";
import { PacketTracer } from "../../../src/plan/testing/packet-tracer.ts";
import type { Connection, Raw, RawCluster } from "./evaluator.ts";
import { fieldsOf } from "./raw-fields.ts";

const NETNS = "/run/netns/node1";
export const NODE = "node1";
/** Rounds, their pauses, and retries behind failures. */
const SETTLED_MS = 30_000;

export type Kind = "namespaces" | "pods" | "policies";

/** An object comes or changes; without one it goes. */
export interface ApiEvent {
  readonly kind: Kind;
  /** "namespace/name", of a namespace its name. */
  readonly key: string;
  readonly object: Raw | undefined;
}

export function keyOf(kind: Kind, object: Raw): string {
  const { namespace, name } = fieldsOf(object["metadata"]);
  return kind === "namespaces" ? String(name) : `${namespace}/${name}`;
}

export class EnforcerRig implements Disposable {
  readonly host = new FakeHost();
  readonly other = this.host.addNamespace(NETNS);
  readonly clock = new ManualClock();
  readonly #addresses: readonly string[];
  readonly #namespaces = new Map<string, ClusterNamespace>();
  readonly #pods = new Map<string, PolicyPod>();
  readonly #policies = new Map<string, ClusterPolicy>();
  /** Keys that pods ever had: each may have changed. */
  readonly #keys = new Set<string>();
  #enforcer: PolicyEnforcer;

  constructor(nodes: RawCluster["nodes"]) {
    this.#addresses = nodes[NODE] ?? [];
    this.#enforcer = this.#start();
  }

  [Symbol.dispose](): void {
    this.#enforcer[Symbol.dispose]();
  }

  #start(): PolicyEnforcer {
    const ignore = () => undefined;
    return new PolicyEnforcer({
      nodeName: NODE,
      nftables: this.host.kernel(NETNS).nftables,
      conntrack: new FakeConntrack(supervise(NETNS, this.host.failures, this.host.log)),
      source: {
        policies: () => this.#policies,
        clusterNetworkPolicies: () => new Map(),
        pods: () => this.#pods,
        takeChangedPods: () => this.#everyKey(),
        complete: () => true,
      },
      namespaces: () => this.#namespaces,
      nodes: () => new Map(),
      ownPods: () => new Map(),
      attached: () => this.#attached(),
      readPod: async () => undefined,
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      clock: this.clock,
    });
  }

  /** Pods of the node that have addresses: each is attached as soon as the API tells of it. */
  #attached(): LocalPod[] {
    return [...this.#pods].flatMap(([name, { nodeName, ips }]) =>
      nodeName === NODE && ips.length > 0
        ? [{ name, ips, containerId: name, ifname: "eth0", netns: `/run/netns/${name}` }]
        : [],
    );
  }

  #everyKey(): ReadonlySet<string> {
    for (const key of this.#pods.keys()) this.#keys.add(key);
    return this.#keys;
  }

  get failure(): string | undefined {
    return this.#enforcer.failure;
  }

  /** The agent is killed, and another one begins with what the kernel has. */
  restart(): void {
    this.#enforcer[Symbol.dispose]();
    this.#enforcer = this.#start();
    this.#enforcer.request();
  }

  /** What a watch makes of an event: an object that was parsed anew. */
  tell({ kind, key, object }: ApiEvent): void {
    const parsed = object as JsonObject | undefined;
    const ignore = () => undefined;
    if (kind === "namespaces") put(this.#namespaces, key, parsed && parseNamespace(parsed, ignore));
    else if (kind === "policies") put(this.#policies, key, parsed && parseNetworkPolicy(parsed, ignore));
    else put(this.#pods, key, parsed && parsePolicyPod(parsed, ignore));
    this.#enforcer.request();
  }

  async elapse(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    do {
      await this.host.settled();
      for (let turn = 0; turn < 3; turn++) await nextTurn();
      const [next = ms] = this.clock.delays();
      this.clock.advance(Math.min(next, end - this.clock.now()));
    } while (this.clock.now() < end);
    await this.host.settled();
  }

  settle(): Promise<void> {
    return this.elapse(SETTLED_MS);
  }

  /** All that the kernel holds of both families, as sorted text. */
  tables(): string {
    const described = ([4, 6] as const).map((family) => {
      const table = this.other.tableWithRules(POLICY_TABLES[family]);
      const sets = table?.sets.map((set) => JSON.stringify({ ...set, elements: [...set.elements].sort() })).sort();
      return [sets, table?.chains.map((chain) => JSON.stringify(chain)).sort()];
    });
    return JSON.stringify(described, undefined, 1);
  }

  /** Transactions since the last time. */
  commits(): string[] {
    return this.host.log.takeLines().filter((line) => line.startsWith("commit"));
  }

  /** By the kernel's tables; both ends count as far as they are this node's. */
  lets({ source, destination, protocol, port }: Connection): boolean {
    const isHere = (ip: string) => this.#attached().some(({ ips }) => ips.includes(ip));
    const device = this.#addresses.includes(source) ? {} : { from: isHere(source) ? "bwh0" : "eth0" };
    const { verdict } = this.#tracer(ipFamily(source)).send({
      ...{ source, destination, destinationPort: port, ...device },
      protocol: protocol.toLowerCase() as "tcp" | "udp" | "sctp",
    });
    return verdict === "sent" || verdict === "local";
  }

  #tracer(family: Family): PacketTracer {
    const table = this.other.tableWithRules(POLICY_TABLES[family]);
    return new PacketTracer({
      tables: table === undefined ? [] : [table],
      addresses: this.#addresses,
      sourceAddress: () => this.#addresses[0] ?? "",
      route: () => "eth0",
    });
  }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
