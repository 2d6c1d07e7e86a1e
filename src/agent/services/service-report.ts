/** What the agent tells of Services: how each is served on this node, or why it is not. */
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { ServiceSource } from "../../kube/service-source.ts";
import type { Frontend } from "../../model/frontend.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import type { ClusterService } from "../../model/service.ts";
import type { FrontendReport, ServiceReport, ServicesReport } from "../../model/service-report.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import type { ServiceProxy } from "./service-proxy.ts";

export function serviceReport(
  node: string,
  proxy: ServiceProxy,
  source: Pick<ServiceSource, "services">,
  nftables: Nftables,
  config: ServiceConfig,
): ServicesReport {
  const connections = readConnections(nftables);
  const conflicts = proxy.conflicts();
  const services = [...source.services()].map(([key, service]): ServiceReport => {
    const frontends = (proxy.ledger.plan(key)?.frontends ?? []).map((frontend) =>
      describe(frontend, connections.get(frontend.key)),
    );
    return {
      service: key,
      type: service.type,
      notServed: whyNotServed(service),
      frontends,
      conflicts: conflicts
        .filter(({ loser }) => loser === key)
        .map(({ key: frontend, winner }) => ({ frontend, winner })),
    };
  });
  services.sort((a, b) => (a.service < b.service ? -1 : 1));
  return { node, failure: proxy.failure ?? null, config, services };
}

function whyNotServed({ type, clusterIps, leftTo }: ClusterService): string | null {
  if (type === "ExternalName") return "ExternalName: DNS answers for it";
  if (leftTo === "headless") return "label service.kubernetes.io/headless";
  if (leftTo !== undefined) return `label service.kubernetes.io/service-proxy-name: left to ${leftTo.proxy}`;
  return clusterIps.length === 0 ? "headless: DNS answers for it" : null;
}

function describe(frontend: Frontend, connections: number | undefined): FrontendReport {
  const { address, protocol, port, kind, service, endpoints, outside, otherwise, affinitySeconds, sourceRanges } =
    frontend;
  const plain = (texts: readonly string[]) =>
    texts.map((text) => {
      const [ip = "", number] = text.split(" . ");
      return ip.includes(":") ? `[${ip}]:${number}` : `${ip}:${number}`;
    });
  return {
    address,
    protocol: protocol.toUpperCase(),
    port,
    kind,
    portName: service.split(":")[1] ?? "",
    endpoints: plain(endpoints),
    outside: outside === undefined ? null : plain(outside),
    otherwise: endpoints.length === 0 ? otherwise : null,
    affinitySeconds: affinitySeconds ?? null,
    sourceRanges: sourceRanges ?? null,
    connections: connections ?? null,
  };
}

/** New connections by frontend, where they are counted. */
function readConnections(nftables: Nftables): Map<string, number> {
  const counts = new Map<string, number>();
  for (const family of [4, 6] as const) {
    const set = planServiceSets(family, false).find(({ name }) => name === "services");
    if (set === undefined) continue;
    for (const { text, packets } of nftables.elements(SERVICE_TABLES[family], set)) {
      const key = text.slice(0, text.search(/ comment "| : /));
      if (packets !== undefined) counts.set(key, Number(packets));
    }
  }
  return counts;
}
