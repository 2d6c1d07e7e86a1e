/**
 * Clients that IPv6's sets remember by their slots, while endpoints change theirs: where an endpoint moves to another slot,
 * its clients move with it; where it goes, they are forgotten. What the kernel remembers of IPv4's clients names the
 * endpoint itself, and stays right whatever moves.
 */
import type { Ip } from "../model/ip.ts";
import { CLIENT_PROTOCOLS, type ClientSetName, clientSetName, rememberedBy } from "../plan/services/client-chains.ts";
import type { ObservedFrontend } from "./services.ts";

/** An element of a set of clients: `CLIENT . ADDRESS . PORT . SLOT`. */
export interface RememberedClient {
  readonly set: ClientSetName;
  readonly text: string;
  readonly endsInMs: number;
}

export interface ClientElement {
  readonly set: ClientSetName;
  readonly element: string;
}

export interface ClientChanges {
  /** With what is left of their timeout. They have to come with the verdicts and slots of the frontends. */
  readonly come: readonly ClientElement[];
  /** Nobody is looked up there any more, or another endpoint is behind it now. */
  readonly go: readonly ClientElement[];
}

/**
 * The kernel counts in jiffies, of which there may be 100 a second, and takes an element that ends in none for one without
 * an end.
 */
const LEAST_MS = 100;

type Lookup = (key: string) => ObservedFrontend | undefined;

/**
 * @param before what the kernel has of a frontend
 * @param after what it will have of it
 * @param isInside true for addresses of this node and of its pods
 */
export function moveClients(
  clients: readonly RememberedClient[],
  before: Lookup,
  after: Lookup,
  isInside: (client: Ip) => boolean,
): ClientChanges {
  const come = new Map<string, ClientElement>();
  const go = new Map<string, ClientElement>();
  for (const { set, text, endsInMs } of clients) {
    const { client, key, slot } = parseClient(set, text);
    const endpoint = used(before(key), set)[slot];
    const place = endpoint === undefined ? undefined : placeOf(endpoint, client, key, after(key), isInside);
    if (place?.set === set && place.slot === slot) continue;
    go.set(`${set} ${text}`, { set, element: text });
    if (place === undefined) continue;
    const moved = text.slice(0, text.lastIndexOf(" ") + 1) + place.slot;
    const left = Math.max(LEAST_MS, endsInMs);
    // Of an affinity that was shortened there may be more left than it has now.
    const element = `${moved} timeout ${Math.max(place.timeoutMs, left)}ms expires ${left}ms`;
    come.set(`${place.set} ${moved}`, { set: place.set, element });
  }
  // Where a client comes there may be one already that has to go: it is one element.
  for (const name of come.keys()) go.delete(name);
  return { come: [...come.values()], go: [...go.values()] };
}

/** True where a slot that clients may be remembered in gets another endpoint, or none. */
export function disturbsClients(before: ObservedFrontend | undefined, after: ObservedFrontend | undefined): boolean {
  if ((before?.single.outside === undefined) !== (after?.single.outside === undefined)) {
    return [...used(before, "clients-tcp"), ...used(before, "outside-clients-tcp")].length > 0;
  }
  return (["clients-tcp", "outside-clients-tcp"] as const).some((set) => {
    const has = used(after, set);
    return used(before, set).some((endpoint, slot) => endpoint !== has[slot]);
  });
}

/** Endpoints by the slots in which clients of such a set are looked up; none where none is remembered. */
function used(frontend: ObservedFrontend | undefined, set: ClientSetName): readonly (string | undefined)[] {
  if (frontend === undefined) return [];
  const slots = isOutside(set) ? frontend.outsideEndpoints : frontend.endpoints;
  return slots.slice(0, rememberedBy(verdictOf(frontend, set))?.slots ?? 0);
}

function verdictOf({ single }: ObservedFrontend, set: ClientSetName): string | undefined {
  return isOutside(set) ? single.outside : single.services;
}

function isOutside(set: ClientSetName): boolean {
  return set.startsWith("outside-");
}

interface Place {
  readonly set: ClientSetName;
  readonly slot: number;
  readonly timeoutMs: number;
}

/** Undefined where the endpoint is not there for this client. */
function placeOf(
  endpoint: string,
  client: Ip,
  key: string,
  frontend: ObservedFrontend | undefined,
  isInside: (client: Ip) => boolean,
): Place | undefined {
  if (frontend === undefined) return undefined;
  const side = frontend.single.outside === undefined || isInside(client) ? "" : "outside-";
  const [, protocol] = key.split(" . ");
  const set = clientSetName(side, protocol as (typeof CLIENT_PROTOCOLS)[number]);
  const slot = used(frontend, set).indexOf(endpoint);
  const { seconds = 0 } = rememberedBy(verdictOf(frontend, set)) ?? {};
  return slot < 0 ? undefined : { set, slot, timeoutMs: seconds * 1000 };
}

function parseClient(set: ClientSetName, text: string): { client: Ip; key: string; slot: number } {
  const [client = "", address, port, slot] = text.split(" . ");
  const protocol = CLIENT_PROTOCOLS.find((each) => set.endsWith(each));
  return { client, key: `${address} . ${protocol} . ${port}`, slot: Number(slot) };
}
