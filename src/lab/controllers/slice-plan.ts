/**
 * Which EndpointSlices have to change so that they hold the wanted endpoints: as few as possible. An endpoint stays in
 * the slice it is in; new ones fill slices with room before a new slice is made. Pure.
 */
import { equal, type KubeObject, listOf } from "../api/object/object.ts";
import type { AddressType, Endpoint, EndpointGroup, EndpointPort } from "./endpoints-of-service.ts";

/** --max-endpoints-per-slice of kube-controller-manager. */
export const MAX_ENDPOINTS_PER_SLICE = 100;

export interface NewSlice {
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface SlicePlan {
  readonly create: readonly NewSlice[];
  /** Slices with the endpoints they should have. */
  readonly update: readonly { readonly slice: KubeObject; readonly endpoints: readonly Endpoint[] }[];
  readonly remove: readonly KubeObject[];
}

/**
 * @param addressTypes families of the Service; each keeps an empty slice when it has no endpoint at all
 */
export function planSlices(
  existing: readonly KubeObject[],
  groups: readonly EndpointGroup[],
  addressTypes: readonly AddressType[],
): SlicePlan {
  const plan = {
    create: [] as NewSlice[],
    update: [] as { slice: KubeObject; endpoints: readonly Endpoint[] }[],
    remove: [] as KubeObject[],
  };
  const unclaimed = new Set(existing);
  for (const group of groups) {
    const slices = existing.filter(
      (slice) => slice["addressType"] === group.addressType && equal(listOf(slice["ports"]), group.ports),
    );
    for (const slice of slices) unclaimed.delete(slice);
    planGroup(group, slices, plan);
  }
  for (const addressType of addressTypes) {
    if (groups.some((group) => group.addressType === addressType)) continue;
    keepPlaceholder(addressType, unclaimed, plan);
  }
  plan.remove.push(...unclaimed);
  return plan;
}

function planGroup(
  group: EndpointGroup,
  slices: readonly KubeObject[],
  plan: { create: NewSlice[]; update: { slice: KubeObject; endpoints: readonly Endpoint[] }[]; remove: KubeObject[] },
): void {
  const wanted = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]));
  const contents = slices.map((slice) => ({ slice, endpoints: keepWanted(slice, wanted) }));
  // Whatever is still wanted has no slice yet: the fullest slices with room are filled first.
  const rest = [...wanted.values()];
  for (const content of [...contents].sort((a, b) => b.endpoints.length - a.endpoints.length)) {
    const room = MAX_ENDPOINTS_PER_SLICE - content.endpoints.length;
    if (content.endpoints.length > 0) content.endpoints.push(...rest.splice(0, Math.max(0, room)));
  }
  for (const content of contents) {
    if (content.endpoints.length === 0) content.endpoints.push(...rest.splice(0, MAX_ENDPOINTS_PER_SLICE));
  }
  for (const { slice, endpoints } of contents) {
    if (endpoints.length === 0) plan.remove.push(slice);
    else if (!equal(slice["endpoints"], endpoints)) plan.update.push({ slice, endpoints });
  }
  for (let i = 0; i < rest.length; i += MAX_ENDPOINTS_PER_SLICE) {
    const { addressType, ports } = group;
    plan.create.push({ addressType, ports, endpoints: rest.slice(i, i + MAX_ENDPOINTS_PER_SLICE) });
  }
}

/** The slice's endpoints that are wanted, in their new state; they are taken out of `wanted`. */
function keepWanted(slice: KubeObject, wanted: Map<string, Endpoint>): Endpoint[] {
  return (listOf(slice["endpoints"]) as Endpoint[]).flatMap((endpoint) => {
    const key = identity(endpoint);
    const next = wanted.get(key);
    wanted.delete(key);
    return next === undefined ? [] : [next];
  });
}

/** An endpoint is the same while it is the same Pod at the same address. */
function identity({ addresses, targetRef }: Endpoint): string {
  return `${targetRef?.uid ?? ""} ${addresses.join(",")}`;
}

function keepPlaceholder(
  addressType: AddressType,
  unclaimed: Set<KubeObject>,
  plan: { create: NewSlice[]; update: { slice: KubeObject; endpoints: readonly Endpoint[] }[] },
): void {
  const slices = [...unclaimed].filter((slice) => slice["addressType"] === addressType);
  const placeholder = slices.find((slice) => listOf(slice["ports"]).length === 0);
  if (placeholder === undefined) {
    plan.create.push({ addressType, ports: [], endpoints: [] });
    return;
  }
  unclaimed.delete(placeholder);
  if (listOf(placeholder["endpoints"]).length > 0) plan.update.push({ slice: placeholder, endpoints: [] });
}
