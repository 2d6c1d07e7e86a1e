/** Compares what the kernel holds with what the API asks for, from the start: nothing that we remember counts. */
import { diffNft } from "../../diff/nft.ts";
import { observeFrontends } from "../../diff/services.ts";
import { compareFrontend, type ServiceDifference } from "../../diff/verify-services.ts";
import type { ServiceSource } from "../../kube/service-source.ts";
import type { Family } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ObservedTable } from "../../model/nft-changes.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import { planServiceChains } from "../../plan/services/chains.ts";
import { planService, type ServiceContext } from "../../plan/services/frontends.ts";
import { elementFamily, noneTouched, ServiceLedger } from "../../plan/services/ledger.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import type { ServiceTable } from "./service-table.ts";

export interface Verification {
  readonly services: number;
  readonly frontends: number;
  /** Elements of the kernel's maps and sets that were compared. */
  readonly elements: number;
  readonly differences: readonly ServiceDifference[];
}

export function verifyTables(
  tables: readonly ServiceTable[],
  source: Pick<ServiceSource, "services" | "slicesOf">,
  context: ServiceContext,
  config: ServiceConfig,
): Verification {
  const ledger = new ServiceLedger();
  for (const [key, service] of source.services()) {
    ledger.set(key, planService(service, source.slicesOf(key), context), noneTouched());
  }
  const differences: ServiceDifference[] = [];
  let elements = 0;
  for (const table of tables) {
    const observed = table.read();
    for (const set of observed?.sets ?? []) elements += set.elements.length;
    differences.push(...compareTable(table.family, observed, ledger, context, config));
  }
  return { services: ledger.size, frontends: [...ledger.frontends()].length, elements, differences };
}

function compareTable(
  family: Family,
  observed: ObservedTable | undefined,
  ledger: ServiceLedger,
  context: ServiceContext,
  config: ServiceConfig,
): ServiceDifference[] {
  const name = `${SERVICE_TABLES[family].family} ${SERVICE_TABLES[family].name}`;
  const frontends = observeFrontends(observed?.sets ?? []);
  const keys = [...ledger.frontends()].filter((key) => elementFamily(key) === family);
  const differences = [...new Set([...keys, ...frontends.keys()])]
    .sort()
    .flatMap((key) => compareFrontend(name, key, ledger.frontend(key), frontends.get(key)));
  const shared = [
    ["cluster-ips", ledger.clusterIps()],
    ["hairpin", ledger.hairpins()],
  ] as const;
  for (const [set, wanted] of shared) {
    const found = new Set(observed?.sets.find((each) => each.name === set)?.elements);
    const ours = new Set([...wanted].filter((element) => elementFamily(element) === family));
    for (const element of ours.difference(found)) differences.push(difference(`${name} ${set}`, element, null));
    for (const element of found.difference(ours)) differences.push(difference(`${name} ${set}`, null, element));
  }
  if (observed === undefined && keys.length === 0) return differences;
  return [...differences, ...compareChains(family, observed, ledger, context, config)];
}

function difference(set: string, api: string | null, kernel: string | null): ServiceDifference {
  return { set, service: null, api, kernel };
}

/** Chains that nobody needs wait for their deletion, and are no difference. */
function compareChains(
  family: Family,
  observed: ObservedTable | undefined,
  ledger: ServiceLedger,
  { podCidrs }: ServiceContext,
  config: ServiceConfig,
): ServiceDifference[] {
  const ofFamily = (prefix: string) => elementFamily(prefix) === family;
  const chains = planServiceChains({
    family,
    podCidrs: podCidrs.filter(ofFamily),
    serviceCidrs: config.serviceCidrs.filter(ofFamily),
    needs: ledger.needs(family),
    dropInvalid: config.dropInvalid,
  });
  const wanted = new Set(chains.map(({ name }) => name));
  const name = `${SERVICE_TABLES[family].family} ${SERVICE_TABLES[family].name}`;
  const known = observed && {
    ...observed,
    sets: observed.sets.map((set) => ({ ...set, elements: [] })),
    chains: observed.chains.filter((chain) => wanted.has(chain.name)),
  };
  const sets = planServiceSets(family, config.counters);
  const changes = diffNft({ ...SERVICE_TABLES[family], sets, chains }, known);
  const touched = new Set(
    changes.map((change) => {
      if ("chain" in change) return `chain ${typeof change.chain === "string" ? change.chain : change.chain.name}`;
      if ("set" in change) return `set ${typeof change.set === "string" ? change.set : change.set.name}`;
      return "table";
    }),
  );
  return [...touched].map((what) => difference(`${name} ${what}`, "as planned", "other or missing"));
}
