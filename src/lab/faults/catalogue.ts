/** All faults by name, and those that are in force. */
import { BreakwaterError } from "../../model/errors.ts";
import type { ActiveFault, FaultRequest } from "../control-protocol.ts";
import { deleteRoute, deleteVxlan, killAgent, staleFdb } from "./agent-faults.ts";
import type { FaultKind, FaultSurroundings, InjectedFault } from "./fault.ts";
import { icmpBlackhole, linkDown, loss, mtu } from "./link-faults.ts";

export const faultKinds: readonly FaultKind[] = [
  mtu,
  icmpBlackhole,
  linkDown,
  loss,
  deleteRoute,
  deleteVxlan,
  staleFdb,
  killAgent,
];

export class Faults {
  readonly #around: FaultSurroundings;
  #active: InjectedFault[] = [];

  constructor(around: FaultSurroundings) {
    this.#around = around;
  }

  list(): ActiveFault[] {
    return this.#active.map(({ undo: _, ...fault }) => fault);
  }

  async add(request: FaultRequest): Promise<ActiveFault> {
    const kind = faultKinds.find(({ name }) => name === request.name);
    if (kind === undefined) throw unknownFault(request.name);
    const node = this.#nodeOf(request);
    const host = this.#around.underlay.nodes.get(node);
    if (host === undefined) throw this.#unknownNode(node);
    const unknown = Object.keys(request.parameters).find((key) => kind.parameters?.[key] === undefined);
    if (unknown !== undefined) throw unknownParameter(kind, unknown);
    const where = kind.global === true ? "the router" : node;
    if (this.#active.some((fault) => fault.name === kind.name && fault.node === where)) {
      throw new BreakwaterError("BW_REFUSED", `Fault ${kind.name} is in force on ${where} already`, {
        remedy: `Clear it first: breakwater lab fault clear ${kind.name}`,
      });
    }
    const parameters = { ...kind.parameters, ...request.parameters };
    const { description, undo } = await kind.add({ node, host, parameters }, this.#around);
    const fault = { name: kind.name, node: where, description };
    // What cannot be taken back was one blow: it is over, and may be dealt again.
    if (undo !== undefined) this.#active.push({ ...fault, undo });
    return fault;
  }

  /** Takes faults back, all or those of one name, the last one first. @returns what was taken back */
  async clear(name: string | undefined): Promise<ActiveFault[]> {
    if (name !== undefined && !faultKinds.some((kind) => kind.name === name)) throw unknownFault(name);
    const cleared: ActiveFault[] = [];
    const errors: unknown[] = [];
    for (const fault of this.#active.filter((active) => name === undefined || active.name === name).toReversed()) {
      const { undo, ...summary } = fault;
      try {
        await undo();
        this.#active = this.#active.filter((active) => active !== fault);
        cleared.push(summary);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
    return cleared;
  }

  /** --node, else the node of --pod, else the first one. */
  #nodeOf({ node, pod }: FaultRequest): string {
    if (pod === undefined) return node ?? this.#around.topology.nodes[0]?.name ?? "";
    const [namespace = "", name = ""] = pod.split("/");
    const found = this.#around.nodeOfPod(namespace, name);
    if (found === undefined)
      throw new BreakwaterError("BW_USAGE", `There is no pod "${pod}" on any node`, {
        remedy: "kubectl get pods -A -o wide",
      });
    if (node === undefined || node === found) return found;
    throw new BreakwaterError("BW_USAGE", `Pod ${pod} runs on ${found}, not on ${node}`, {
      remedy: "Give --pod or --node alone",
    });
  }

  #unknownNode(node: string): BreakwaterError {
    const names = this.#around.topology.nodes.map(({ name }) => name).join(", ");
    return new BreakwaterError("BW_USAGE", `The lab has no node "${node}"`, { remedy: `It has ${names}` });
  }
}

function unknownParameter(kind: FaultKind, parameter: string): BreakwaterError {
  const known = Object.keys(kind.parameters ?? {});
  return new BreakwaterError("BW_USAGE", `Fault ${kind.name} has no parameter "${parameter}"`, {
    remedy: known.length === 0 ? "It takes none" : `It takes ${known.join(", ")}`,
  });
}

function unknownFault(name: string): BreakwaterError {
  return new BreakwaterError("BW_USAGE", `There is no fault "${name}"`, {
    remedy: `Known: ${faultKinds.map((kind) => kind.name).join(", ")}`,
  });
}
