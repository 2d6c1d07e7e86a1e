/** Wires between machines of the lab. */
import { openNamespace } from "../../kernel/netns.ts";
import { deriveMac } from "../../model/mac.ts";
import { type LabHost, linkIndex } from "./host.ts";

/** A veth pair between two hosts. MACs follow from the names, so that two labs look alike in a capture. */
export function wire(a: LabHost, nameA: string, b: LabHost, nameB: string, mtuBytes: number, master?: number): void {
  using far = openNamespace(b.netns);
  a.routes.createLink({
    name: nameA,
    mac: deriveMac(`lab ${a.name} ${nameA}`),
    mtuBytes,
    up: true,
    kind: {
      type: "veth",
      peer: { name: nameB, mac: deriveMac(`lab ${b.name} ${nameB}`), mtuBytes, namespaceFd: far.fd },
    },
  });
  // A bridge takes the port only now: a master given at creation is refused for a pair.
  if (master !== undefined) a.routes.changeLink(linkIndex(a, nameA), { master });
}
