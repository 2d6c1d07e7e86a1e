/**
 * The cluster's Services and their EndpointSlices, kept true by one reflector each, with what changed since it was last
 * asked: a plan of ten thousand Services is mended where something happened, not made anew.
 */
import type { ClusterService, EndpointSlice } from "../model/service.ts";
import { coalesce } from "./coalesce.ts";
import { parseEndpointSlice } from "./parse-endpoint-slice.ts";
import { parseService } from "./parse-service.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { endpointSlices, type ResourceType, services } from "./resource.ts";
import { SharedValues } from "./shared-values.ts";
import { SliceIndex, sliceServiceKey } from "./slice-index.ts";
import { reflectorOptions, type SourceOptions, withProblems } from "./source-options.ts";
import type { Change } from "./store.ts";

/**
 * Slices carry their Service's labels. Those of headless Services and of other proxies' are most of the slices in some
 * clusters and nothing to this agent. Services are watched all: why one is not served can then be told.
 */
const SLICE_SELECTOR = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";

export type ServiceSourceOptions = SourceOptions;

export interface ServiceSource {
  /** Resolves when both kinds were listed once; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** By "namespace/name". The map is live until the next list: read it within one turn. */
  services(): ReadonlyMap<string, ClusterService>;
  /** Slices of a Service, sorted by name; the same list for as long as nothing happens to them. */
  slicesOf(serviceKey: string): readonly EndpointSlice[];
  /**
   * Keys of the Services that changed since the last call, themselves or in their slices; also of those that are gone,
   * and of Services that only slices speak of.
   */
  takeChanged(): ReadonlySet<string>;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startServiceSource(options: ServiceSourceOptions): ServiceSource {
  const { serviceReflector, sliceReflector } = makeReflectors(options);
  const index = new SliceIndex();
  const notice = coalesce(options.onChange);
  let changed = new Set<string>();
  serviceReflector.onChange((changes) => {
    for (const { key } of changes) changed.add(key);
    notice.call();
  });
  sliceReflector.onChange((changes) => {
    for (const change of changes) applyChange(change, index, changed);
    notice.call();
  });
  const reflectors = [serviceReflector, sliceReflector];
  for (const reflector of reflectors) reflector.start();
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => {});
  synced.catch(() => {});
  return {
    synced,
    services: () => serviceReflector.items(),
    slicesOf: (serviceKey) => index.of(serviceKey),
    takeChanged: () => {
      const taken = changed;
      changed = new Set();
      return taken;
    },
    state: () => reflectors.map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}

/** A slice that moved to another Service touches both. */
function applyChange(change: Change<EndpointSlice>, index: SliceIndex, changed: Set<string>): void {
  if (change.type !== "add") {
    index.remove(change.old);
    changed.add(sliceServiceKey(change.old));
  }
  if (change.type !== "delete") {
    index.add(change.value);
    changed.add(sliceServiceKey(change.value));
  }
}

function makeReflectors(options: ServiceSourceOptions) {
  const common = (resource: ResourceType) => reflectorOptions(options, resource);
  const shared = new SharedValues();
  return {
    // A Service that cannot be read for a moment keeps its addresses; what is gone is deleted, and that is an event.
    serviceReflector: new Reflector<ClusterService>({
      ...common(services),
      parse: withProblems(parseService),
      unparsable: "last-good",
    }),
    // A slice that lost its Service's label parses to nothing, and must be nothing.
    sliceReflector: new Reflector<EndpointSlice>({
      ...common(endpointSlices),
      selection: { labelSelector: SLICE_SELECTOR },
      parse: withProblems((object, report) => parseEndpointSlice(object, report, shared)),
      unparsable: "absent",
    }),
  };
}
