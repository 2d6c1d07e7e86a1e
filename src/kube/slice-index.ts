/**
 * EndpointSlices by the Service they belong to. Every change touches the list of one Service (two where a slice moves
 * between them), so one slice among ten thousand costs what its Service has, not what the cluster has.
 */
import type { EndpointSlice } from "../model/service.ts";

const NONE: readonly EndpointSlice[] = [];

export class SliceIndex {
  readonly #byService = new Map<string, readonly EndpointSlice[]>();

  /**
   * Slices of a Service ("namespace/name"), sorted by name; empty for one that has none. The list is never changed: the
   * same list means that nothing happened to them.
   */
  of(serviceKey: string): readonly EndpointSlice[] {
    return this.#byService.get(serviceKey) ?? NONE;
  }

  add(slice: EndpointSlice): void {
    const key = sliceServiceKey(slice);
    const slices = this.of(key);
    this.#byService.set(key, slices.toSpliced(place(slices, slice.name), 0, slice));
  }

  /** @throws RangeError when it is not there: index and store have parted */
  remove(slice: EndpointSlice): void {
    const key = sliceServiceKey(slice);
    const slices = this.of(key);
    const at = place(slices, slice.name);
    if (slices[at]?.name !== slice.name)
      throw new RangeError(
        `Cannot remove EndpointSlice ${slice.namespace}/${slice.name}: it is not among those of ${key}`,
      );
    if (slices.length === 1) this.#byService.delete(key);
    else this.#byService.set(key, slices.toSpliced(at, 1));
  }
}

/** Key of the Service that a slice belongs to. */
export function sliceServiceKey(slice: EndpointSlice): string {
  return `${slice.namespace}/${slice.service}`;
}

/** Index of the first slice whose name is not before `name`. */
function place(slices: readonly EndpointSlice[], name: string): number {
  let [low, high] = [0, slices.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((slices[middle]?.name ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
