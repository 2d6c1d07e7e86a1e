/** What whoever gives LoadBalancer Services their addresses watches: Services, LoadBalancerPools and namespaces. */
import type { ClusterNamespace } from "../model/cluster.ts";
import type { AddressPool, BalancedService } from "../model/load-balancer.ts";
import { coalesce } from "./coalesce.ts";
import { parseBalancedService } from "./parse-balanced-service.ts";
import { parseLoadBalancerPool } from "./parse-load-balancer-pool.ts";
import { parseNamespace } from "./parse-namespace.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { loadBalancerPools, namespaces, type ResourceType, services } from "./resource.ts";
import { reflectorOptions, type SourceOptions, withProblems } from "./source-options.ts";

export interface LoadBalancerSource {
  /** Resolves when everything was listed once; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** Services that have a balancer, or had one, by "namespace/name". */
  services(): ReadonlyMap<string, BalancedService>;
  /** By name; empty in a cluster that does not know the kind. */
  pools(): ReadonlyMap<string, AddressPool>;
  namespaces(): ReadonlyMap<string, ClusterNamespace>;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startLoadBalancerSource(options: SourceOptions): LoadBalancerSource {
  const notice = coalesce(options.onChange);
  const common = (resource: ResourceType) => reflectorOptions(options, resource);
  const serviceReflector = new Reflector<BalancedService>({
    ...common(services),
    parse: parseBalancedService,
    // A Service that is no LoadBalancer any more parses to nothing.
    unparsable: "absent",
  });
  const poolReflector = new Reflector<AddressPool>({
    ...common(loadBalancerPools),
    parse: withProblems(parseLoadBalancerPool),
    isOptional: true,
    unparsable: "last-good",
  });
  const namespaceReflector = new Reflector<ClusterNamespace>({
    ...common(namespaces),
    parse: parseNamespace,
    unparsable: "last-good",
  });
  for (const reflector of [serviceReflector, poolReflector, namespaceReflector]) {
    reflector.onChange(notice.call);
    reflector.start();
  }
  const reflectors = [serviceReflector, poolReflector, namespaceReflector];
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => undefined);
  // Who does not wait for it must not be killed by its rejection.
  synced.catch(() => undefined);
  return {
    synced,
    services: () => serviceReflector.items(),
    pools: () => poolReflector.items(),
    namespaces: () => namespaceReflector.items(),
    state: () => reflectors.map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}
