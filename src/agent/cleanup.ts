/** Removes everything that carries our marks from this node's kernel, and nothing else. */
import { diffNode } from "../diff/diff.ts";
import type { Ipvs } from "../kernel/genetlink/ipvs.ts";
import { formatServer } from "../kernel/genetlink/ipvs-messages.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  isOurLink,
  NFT_TABLE,
  POLICY_TABLES,
  ROUTE_PROTOCOL,
  RULE_PRIORITIES,
  SERVICE_TABLES,
} from "../model/marks.ts";
import { formatOperation } from "../model/operation.ts";
import type { DesiredState } from "../model/state.ts";
import { applyOperations } from "./apply.ts";
import { bgpRoutes, deleteBgpRoute } from "./bgp/bird-cleanup.ts";
import { Mirror } from "./mirror.ts";
import { createPodLinks } from "./pod-links.ts";
import { ourServers } from "./services/ipvs-removal.ts";

const NOTHING: DesiredState = {
  podCidrs: [],
  vxlan: undefined,
  addresses: [],
  routes: [],
  neighbours: [],
  fdb: [],
  pods: [],
  features: [],
  sysctls: [],
  nft: { ...NFT_TABLE, sets: [], chains: [] },
  paths: [],
  podMtuBytes: 0,
  problems: [],
};

export interface CleanupStep {
  readonly text: string;
  /** Undefined when it is done, or was only to be shown. */
  readonly error?: Error;
}

/** @param dryRun only say what would be removed */
export function cleanUpKernel(kernel: Kernel, dryRun: boolean, openIpvs: () => Ipvs | undefined): CleanupStep[] {
  const mirror = new Mirror(kernel);
  mirror.list();
  const operations = diffNode(NOTHING, mirror.observed(NOTHING));
  const doomed = [...mirror.observed(NOTHING).links.values()].filter(
    (link) => isOurLink(link.name) && !operations.some((op) => op.do === "deleteLink" && op.device === link.name),
  );
  const rules = kernel.routes
    .rules()
    .filter(
      ({ priority, protocol }) =>
        protocol === ROUTE_PROTOCOL && priority >= RULE_PRIORITIES.first && priority <= RULE_PRIORITIES.last,
    );
  const tables = [...Object.values(SERVICE_TABLES), ...Object.values(POLICY_TABLES)].filter(
    (name) => kernel.nftables.table(name) !== undefined,
  );
  const ofBgp = bgpRoutes(kernel.routes);
  using ipvs = openIpvs();
  const servers = ipvs === undefined ? [] : ourServers(ipvs);
  if (dryRun) {
    return [
      ...servers.map((server) => ({ text: `delete virtual server ${formatServer(server)}` })),
      ...tables.map(({ family, name }) => ({ text: `delete nftables table ${family} ${name}` })),
      ...operations.map((operation) => ({ text: formatOperation(operation) })),
      ...doomed.map(({ name }) => ({ text: `delete link ${name}` })),
      ...rules.map(({ priority, family }) => ({ text: `delete IPv${family} rule ${priority}` })),
      ...ofBgp.map(({ destination }) => ({ text: `delete BIRD's route to ${destination}` })),
    ];
  }
  const results = applyOperations(operations, kernel, mirror, createPodLinks(kernel, mirror));
  return [
    ...servers.map((server) =>
      attempt(`delete virtual server ${formatServer(server)}`, () => ipvs?.deleteVirtualServer(server)),
    ),
    ...tables.map((name) =>
      attempt(`delete nftables table ${name.family} ${name.name}`, () =>
        kernel.nftables.commit(name, [{ do: "deleteTable" }]),
      ),
    ),
    ...results.map(({ operation, error }) => ({ text: formatOperation(operation), error })),
    ...doomed.map(({ name, index }) => attempt(`delete link ${name}`, () => kernel.routes.deleteLink(index))),
    ...rules.map((rule) =>
      attempt(`delete IPv${rule.family} rule ${rule.priority}`, () => kernel.routes.deleteRule(rule)),
    ),
    ...ofBgp.map((route) =>
      attempt(`delete BIRD's route to ${route.destination}`, () => deleteBgpRoute(kernel.routes, route)),
    ),
  ];
}

function attempt(text: string, body: () => void): CleanupStep {
  try {
    body();
    return { text };
  } catch (error) {
    return { text, error: error instanceof Error ? error : new Error(String(error)) };
  }
}
