/** What an administrator does to a router's session with a neighbour, in the words of FRR and of GoBGP. */
import type { FabricNeighbor } from "./plan.ts";
import type { Router } from "./router.ts";

/** Ends the session; both sides begin anew at once (a NOTIFICATION, RFC 4486: administrative reset). */
export async function resetSession(router: Router, { address }: FabricNeighbor): Promise<void> {
  if (router.plan.software === "frr") await router.vtysh(`clear bgp ${address}`);
  else await router.gobgp("neighbor", address, "reset");
}

/** Gives neighbours other AS numbers or passwords than they have; their sessions begin anew. */
export async function changeNeighbors(router: Router, neighbors: readonly FabricNeighbor[]): Promise<void> {
  if (router.plan.software === "gobgp") {
    // Of two neighbours that changed in its file GoBGP 3.10 takes the first alone.
    for (const neighbor of neighbors) await router.reconfigure(neighbor);
    return;
  }
  await router.vtysh(
    "configure terminal",
    `router bgp ${router.plan.asNumber}`,
    ...neighbors.flatMap(({ address, asNumber, password }) => [
      `neighbor ${address} remote-as ${asNumber}`,
      password === undefined ? `no neighbor ${address} password` : `neighbor ${address} password ${password}`,
    ]),
  );
}
