/** What an administrator does to a router's session with a neighbour, in the words of FRR and of GoBGP. */
import type { FabricNeighbor } from "./plan.ts";
import type { Router } from "./router.ts";

/** Ends the session; both sides begin anew at once (a NOTIFICATION, RFC 4486: administrative reset). */
export async function resetSession(router: Router, { address }: FabricNeighbor): Promise<void> {
  if (router.plan.software === "frr") await router.vtysh(`clear bgp ${address}`);
  else await router.gobgp("neighbor", address, "reset");
}

/** Gives a neighbour another AS number or password than it has; the session begins anew. */
export async function changeNeighbor(router: Router, neighbor: FabricNeighbor): Promise<void> {
  const { address, asNumber, password } = neighbor;
  if (router.plan.software === "gobgp") return router.reconfigure(neighbor);
  await router.vtysh(
    "configure terminal",
    `router bgp ${router.plan.asNumber}`,
    `neighbor ${address} remote-as ${asNumber}`,
    password === undefined ? `no neighbor ${address} password` : `neighbor ${address} password ${password}`,
  );
}
