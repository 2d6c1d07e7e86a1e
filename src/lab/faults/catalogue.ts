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
    const node = request.node ?? this.#around.topology.nodes[0]?.name ?? "";
    const host = this.#around.underlay.nodes.get(node);
    if (host === undefined) throw new BreakwaterError("BW_USAGE", `The lab has no node "${node}"`);
    const unknown = Object.keys(request.parameters).find((key) => kind.parameters?.[key] === undefined);
    if (unknown !== undefined)
      throw new BreakwaterError("BW_USAGE", `Fault ${kind.name} has no parameter "${unknown}"`);
    if (this.#active.some((fault) => fault.name === kind.name && fault.node === node)) {
      throw new BreakwaterError("BW_REFUSED", `Fault ${kind.name} is in force on ${node} already`, {
        remedy: "Clear it first: breakwater lab fault clear",
      });
    }
    const parameters = { ...kind.parameters, ...request.parameters };
    const { description, undo } = await kind.add({ node, host, parameters }, this.#around);
    const fault = { name: kind.name, node, description };
    this.#active.push({ ...fault, undo });
    return fault;
  }

  /** Takes faults back, all or those of one name. @returns what was taken back */
  async clear(name: string | undefined): Promise<ActiveFault[]> {
    if (name !== undefined && !faultKinds.some((kind) => kind.name === name)) throw unknownFault(name);
    const cleared = this.#active.filter((fault) => name === undefined || fault.name === name);
    this.#active = this.#active.filter((fault) => !cleared.includes(fault));
    for (const fault of cleared.toReversed()) await fault.undo();
    return cleared.map(({ undo: _, ...fault }) => fault);
  }
}

function unknownFault(name: string): BreakwaterError {
  return new BreakwaterError("BW_USAGE", `There is no fault "${name}"`, {
    remedy: `Known: ${faultKinds.map((kind) => kind.name).join(", ")}`,
  });
}
