/** All faults by name, and those that are in force. */
import { BreakwaterError } from "../../model/errors.ts";
import type { ActiveFault, FaultRequest } from "../control-protocol.ts";
import { deleteRoute, deleteVxlan, killAgent, staleFdb } from "./agent-faults.ts";
import { apiDown } from "./api-faults.ts";
import { hangBird, killBird } from "./bird-faults.ts";
import { bfdSilence, sessionReset, wrongAs, wrongPassword } from "./fabric-faults.ts";
import type { FaultKind, FaultSurroundings, FaultTarget, InjectedFault } from "./fault.ts";
import { icmpBlackhole, icmpFiltered } from "./icmp-faults.ts";
import { forgetLearnedMtus } from "./learned-mtus.ts";
import { linkDown, loss } from "./link-faults.ts";
import { mtuBlackhole } from "./mtu-blackhole.ts";
import { podMtu } from "./pod-mtu.ts";
import type { FaultPod } from "./pods.ts";
import { defaultRouteLeak, linkFlap, prefixFlood, routerKill } from "./router-faults.ts";
import { routerMtu } from "./router-mtu.ts";
import { Segmentation, switchSenders } from "./segmentation.ts";
import { mtu, underlayMtu } from "./underlay-mtu.ts";
import { vxlanMtu } from "./vxlan-mtu.ts";

export const faultKinds: readonly FaultKind[] = [
  underlayMtu,
  mtu,
  routerMtu,
  mtuBlackhole,
  icmpFiltered,
  icmpBlackhole,
  podMtu,
  vxlanMtu,
  linkDown,
  loss,
  deleteRoute,
  deleteVxlan,
  staleFdb,
  killAgent,
  killBird,
  hangBird,
  sessionReset,
  routerKill,
  linkFlap,
  bfdSilence,
  wrongAs,
  wrongPassword,
  prefixFlood,
  defaultRouteLeak,
  apiDown,
];

/** Where a fault is in force, and the words for it. */
interface Place {
  /** Or what else is struck. */
  readonly node: string;
  readonly pod?: string;
}

export class Faults {
  readonly #around: FaultSurroundings;
  #active: InjectedFault[] = [];
  /** Resolves when what was asked for last is done. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(around: Omit<FaultSurroundings, "segmentation">) {
    this.#around = { ...around, segmentation: new Segmentation(() => switchSenders(around.underlay)) };
  }

  list(): ActiveFault[] {
    return this.#active.map(summaryOf);
  }

  add(request: FaultRequest): Promise<ActiveFault> {
    return this.#inTurn(() => this.#add(request));
  }

  /** Takes faults back, all or those of one name, the last one first. @returns what was taken back */
  clear(name: string | undefined): Promise<ActiveFault[]> {
    return this.#inTurn(() => this.#clear(name));
  }

  /** One after the other: two of a kind that come at once would both find the place free. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #add(request: FaultRequest): Promise<ActiveFault> {
    const kind = kindNamed(request.name);
    const target = this.#targetOf(kind, request);
    const place = placeOf(kind, target, this.#around);
    this.#refuseSecond(kind, place);
    const { description, undo } = await kind.add(target, this.#around);
    const fault = { name: kind.name, ...place, description };
    // What cannot be taken back was one blow: it is over, and may be dealt again.
    if (undo !== undefined) this.#active.push({ ...fault, kind, undo });
    return fault;
  }

  async #clear(name: string | undefined): Promise<ActiveFault[]> {
    if (name !== undefined) kindNamed(name);
    const chosen = this.#active.filter((active) => name === undefined || active.name === name).toReversed();
    const cleared: InjectedFault[] = [];
    const errors: unknown[] = [];
    for (const fault of chosen) {
      try {
        await fault.undo();
        this.#active = this.#active.filter((active) => active !== fault);
        cleared.push(fault);
      } catch (error) {
        errors.push(error);
      }
    }
    if (cleared.some(({ kind }) => kind.teachesPathMtu === true)) forgetLearnedMtus(this.#around);
    if (errors.length > 0) throw errors[0];
    return cleared.map(summaryOf);
  }

  #targetOf(kind: FaultKind, request: FaultRequest): FaultTarget {
    const pod = this.#podOf(request);
    if (pod === undefined && kind.scope === "pod") {
      throw new BreakwaterError("BW_USAGE", `Fault ${kind.name} strikes a pod: which one?`, {
        remedy: "Give --pod NAMESPACE/POD; kubectl get pods -A -o wide",
      });
    }
    const node = pod?.node ?? request.node ?? this.#around.topology.nodes[0]?.name ?? "";
    const host = this.#around.underlay.nodes.get(node);
    if (host === undefined) throw this.#unknownNode(node);
    const everywhere = kind.scope === "cluster" && pod === undefined && request.node === undefined;
    const hosts = everywhere ? [...this.#around.underlay.nodes.values()] : [host];
    return { node, host, hosts, everywhere, pod, parameters: parametersOf(kind, request) };
  }

  #podOf({ node, pod }: FaultRequest): FaultPod | undefined {
    if (pod === undefined) return undefined;
    const [namespace = "", name = ""] = pod.split("/");
    const found = this.#around.pods.find(namespace, name);
    if (found === undefined) {
      throw new BreakwaterError("BW_USAGE", `There is no pod "${pod}" on any node`, {
        remedy: "kubectl get pods -A -o wide",
      });
    }
    if (node === undefined || node === found.node) return found;
    throw new BreakwaterError("BW_USAGE", `Pod ${pod} runs on ${found.node}, not on ${node}`, {
      remedy: "Give --pod or --node alone",
    });
  }

  #refuseSecond(kind: FaultKind, { node, pod }: Place): void {
    const subject = kind.subject ?? kind.name;
    const other = this.#active.find(
      (active) => (active.kind.subject ?? active.name) === subject && active.node === node && active.pod === pod,
    );
    if (other === undefined) return;
    throw new BreakwaterError("BW_REFUSED", `Fault ${other.name} is in force on ${pod ?? node} already`, {
      remedy: `Clear it first: breakwater lab fault clear ${other.name}`,
    });
  }

  #unknownNode(node: string): BreakwaterError {
    const names = this.#around.topology.nodes.map(({ name }) => name).join(", ");
    return new BreakwaterError("BW_USAGE", `The lab has no node "${node}"`, { remedy: `It has ${names}` });
  }
}

function summaryOf({ kind: _kind, undo: _undo, ...fault }: InjectedFault): ActiveFault {
  return fault;
}

function placeOf({ scope, strikes }: FaultKind, target: FaultTarget, around: FaultSurroundings): Place {
  const { node, pod, everywhere } = target;
  if (strikes !== undefined) return { node: strikes(target, around) };
  if (scope === "router") return { node: "the router" };
  if (scope === "api") return { node: "the API server" };
  if (everywhere) return { node: "every node" };
  return scope === "pod" && pod !== undefined ? { node, pod: pod.name } : { node };
}

function parametersOf(kind: FaultKind, { parameters }: FaultRequest): Record<string, string> {
  const known = Object.keys(kind.parameters ?? {});
  const unknown = Object.keys(parameters).find((key) => !known.includes(key));
  if (unknown === undefined) return { ...kind.parameters, ...parameters };
  const option = unknown === "bytes" ? " (--size)" : "";
  throw new BreakwaterError("BW_USAGE", `Fault ${kind.name} has no parameter "${unknown}"${option}`, {
    remedy: known.length === 0 ? "It takes none" : `It takes ${known.join(", ")}`,
  });
}

function kindNamed(name: string): FaultKind {
  const kind = faultKinds.find((candidate) => candidate.name === name);
  if (kind !== undefined) return kind;
  throw new BreakwaterError("BW_USAGE", `There is no fault "${name}"`, {
    remedy: `Known: ${faultKinds.map((candidate) => candidate.name).join(", ")}`,
  });
}
