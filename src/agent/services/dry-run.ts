/** What serving the cluster's Services would change in the kernel, each with the Service that asks for it. */
import type { Nftables, NftChange } from "../../kernel/nfnetlink/types.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import type { Operation } from "../../model/operation.ts";
import { type ClusterService, type EndpointSlice, serviceKey } from "../../model/service.ts";
import { planService, type ServiceContext } from "../../plan/services/frontends.ts";
import { noneTouched, ServiceLedger } from "../../plan/services/ledger.ts";
import { planIpvsOperations } from "./ipvs-dry-run.ts";
import type { IpvsKernel } from "./ipvs-services.ts";
import { ServiceTable } from "./service-table.ts";

export interface DryRunInput {
  readonly nftables: Pick<Nftables, "table">;
  readonly ipvs: IpvsKernel;
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
  readonly context: ServiceContext;
  readonly config: ServiceConfig;
}

/** What is opened first stands first, and behind the tables what is closed. */
export function planServiceOperations({ nftables, ipvs, services, slices, context, config }: DryRunInput): Operation[] {
  const ledger = new ServiceLedger();
  const touched = noneTouched();
  const byService = Map.groupBy(slices, ({ namespace, service }) => `${namespace}/${service}`);
  for (const service of services) {
    const key = serviceKey(service);
    ledger.set(key, planService(service, byService.get(key) ?? [], context), touched);
  }
  const { before, after } = planIpvsOperations({ kernel: ipvs, ledger, config: config.ipvs, causeOf });
  const tables = ([4, 6] as const).flatMap((family) => {
    const recorder = recordingNftables(nftables);
    const table = new ServiceTable({ family, nftables: recorder, ledger, config });
    table.adopt(table.read());
    const operations: Operation[] = [];
    const note = (cause: string) => {
      const changes = recorder.taken();
      if (changes.length > 0) operations.push({ do: "changeNft", table: SERVICE_TABLES[family], changes, cause });
    };
    const shared = {
      frontends: new Set<string>(),
      clusterIps: new Set([...touched.clusterIps, ...table.shared("cluster-ips")]),
      hairpins: new Set([...touched.hairpins, ...table.shared("hairpin")]),
    };
    table.update(shared, context);
    note("Services of the cluster");
    for (const key of [...new Set([...table.frontends().keys(), ...touched.frontends])].sort()) {
      table.update({ ...noneTouched(), frontends: new Set([key]) }, context);
      note(causeOf(ledger, key));
    }
    table.sweep();
    note("no Service any more");
    return operations;
  });
  return [...before, ...tables, ...after];
}

function causeOf(ledger: ServiceLedger, key: string): string {
  const frontend = ledger.frontend(key);
  return frontend === undefined ? "no Service any more" : `Service ${frontend.service}`;
}

/** Reads the kernel, and keeps what it is asked to commit. */
function recordingNftables(nftables: Pick<Nftables, "table">) {
  let changes: NftChange[] = [];
  return {
    table: (name) => nftables.table(name),
    tableInPieces: async (name) => nftables.table(name),
    elements: () => [],
    counters: () => [],
    commit: (_, some) => {
      changes.push(...some);
    },
    watch: () => ({ [Symbol.dispose]: () => undefined }),
    [Symbol.dispose]: () => undefined,
    taken: () => {
      const taken = changes;
      changes = [];
      return taken;
    },
  } satisfies Nftables & { taken(): NftChange[] };
}
