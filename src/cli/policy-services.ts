/** Addresses of Services in a question about policies: they are translated before policies look, so endpoints are meant. */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import { type ClusterService, type ServicePort, serviceKey } from "../model/service.ts";
import { listText } from "../plan/policies/policy-text.ts";
import { portEndpoints } from "../plan/services/endpoints.ts";
import type { KnownCluster, KnownServices } from "./policy-cluster.ts";
import type { Target } from "./policy-target.ts";

/**
 * @param isNode the address is a node's: then the port may be a NodePort
 * @throws BreakwaterError BW_EXPLAIN that names the endpoints to ask about, where the address is a Service's
 */
export function refuseService(
  ip: Ip,
  isNode: boolean,
  target: Target,
  cluster: KnownCluster,
  { services, slices }: KnownServices,
): void {
  const number = Number(target.port);
  const protocol = target.protocol ?? "TCP";
  const isAt = (service: ClusterService) =>
    [...service.clusterIps, ...service.externalIps, ...service.loadBalancerIps].includes(ip);
  const isNodePort = (port: ServicePort) => isNode && port.nodePort === number && port.protocol === protocol;
  const service = services.find((each) => isAt(each) || each.ports.some(isNodePort));
  if (service === undefined) return;
  const port = service.ports.find(
    (each) => isNodePort(each) || (isAt(service) && each.protocol === protocol && each.port === number),
  );
  const own = slices.filter((slice) => slice.namespace === service.namespace && slice.service === service.name);
  const where = `${ip.includes(":") ? `[${ip}]` : ip}${target.port === undefined ? "" : `:${target.port}`}`;
  throw new BreakwaterError(
    "BW_EXPLAIN",
    `${where} is Service ${serviceKey(service)}: it is translated before policies look, and they see an endpoint and its port`,
    {
      operation: "explain",
      object: where,
      remedy:
        port === undefined
          ? `The Service has no such port; it has ${listText(service.ports.map((each) => `${each.port}/${each.protocol}`))}`
          : whichEndpoints(endpointsOf(port, ip, cluster, own)),
    },
  );
}

function whichEndpoints(endpoints: readonly string[]): string {
  if (endpoints.length === 0) return "It has no endpoints: nothing would answer, whatever policies say";
  return `Ask about its endpoints: ${listText(endpoints, 8)}`;
}

/** As they are to be asked about: "shop/redis-0:6379/TCP". */
function endpointsOf(
  port: ServicePort,
  ip: Ip,
  { pods }: KnownCluster,
  slices: KnownServices["slices"],
): readonly string[] {
  return portEndpoints(slices, port, ipFamily(ip))
    .map(({ endpoint: { address }, port: number }) => {
      const pod = pods.find(({ ips }) => ips.includes(address));
      const name =
        pod === undefined ? (address.includes(":") ? `[${address}]` : address) : `${pod.namespace}/${pod.name}`;
      return `${name}:${number}/${port.protocol}`;
    })
    .sort();
}
