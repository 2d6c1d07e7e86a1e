/**
 * What is left to do once new rules are in: flows and clients that remember an endpoint which is not there any more, or
 * that there was none. Before, they would come back to it.
 */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Ip } from "../../model/ip.ts";
import { prefixContains } from "../../model/prefix.ts";
import type { ServiceContext } from "../../plan/services/frontends.ts";
import { elementFamily, type ServiceLedger } from "../../plan/services/ledger.ts";
import type { Log } from "../log.ts";
import { forgetClients } from "./affinity-cleaner.ts";
import { deleteStaleFlows, type FlowTarget } from "./flow-cleaner.ts";
import type { ServiceMetrics } from "./service-metrics.ts";
import type { ServiceTable } from "./service-table.ts";

export interface LostFrontends {
  /** UDP frontends. */
  readonly flows: readonly FlowTarget[];
  /** Keys of frontends with session affinity. */
  readonly sticky: readonly string[];
  /** Keys of frontends that were served until now. */
  readonly served: ReadonlySet<string>;
}

/** Of the frontends that change now, those that lose an endpoint, had none or are gone. */
export function lostFrontends(
  keys: Iterable<string>,
  tables: readonly ServiceTable[],
  ledger: ServiceLedger,
): LostFrontends {
  const flows: FlowTarget[] = [];
  const sticky: string[] = [];
  const served = new Set<string>();
  for (const key of keys) {
    const family = elementFamily(key);
    const before = tables
      .find((table) => table.family === family)
      ?.frontends()
      .get(key);
    const after = ledger.frontend(key);
    if (before?.single.services !== undefined) served.add(key);
    const had = [...(before?.endpoints ?? []), ...(before?.outsideEndpoints ?? [])];
    const has = new Set([...(after?.endpoints ?? []), ...(after?.outside ?? [])]);
    const isLost = had.length === 0 || had.some((endpoint) => endpoint !== undefined && !has.has(endpoint));
    if (!isLost && !changesSides(before, after)) continue;
    const [address = "", protocol, port] = key.split(" . ");
    if (protocol === "udp") flows.push({ family, address, port: Number(port) });
    if (before?.single.affine !== undefined) sticky.push(key);
  }
  return { flows, sticky, served };
}

/** Traffic from outside has endpoints of its own, or had: its flows may be with the wrong ones, or have begun without any. */
function changesSides(
  before: { readonly outsideEndpoints: readonly unknown[] } | undefined,
  after: { readonly outside?: readonly unknown[] } | undefined,
): boolean {
  return (before?.outsideEndpoints.length ?? 0) !== (after?.outside?.length ?? 0);
}

export interface CleanupSurroundings {
  readonly conntrack: Conntrack;
  readonly nftables: Nftables;
  readonly ledger: ServiceLedger;
  readonly context: ServiceContext;
  readonly log: Log;
  readonly metrics: ServiceMetrics;
  readonly clock: Clock;
}

/** Never throws: the rules are in, and what remains ends by itself at last. */
export function cleanUpAfter(lost: LostFrontends, surroundings: CleanupSurroundings): void {
  const { log, nftables, ledger } = surroundings;
  try {
    deleteFlows(lost, surroundings);
  } catch (error) {
    log.error(
      { error: messageOf(error) },
      "cannot delete UDP flows that lead nowhere; clients may go on sending there",
    );
  }
  try {
    const forgotten = forgetClients(nftables, lost.sticky, (key) => ledger.frontend(key));
    if (forgotten > 0) log.info({ forgotten }, "clients whose endpoint is gone choose another one");
  } catch (error) {
    log.error({ error: messageOf(error) }, "cannot forget which endpoint clients had; some may reach one that is gone");
  }
}

function deleteFlows({ flows, served }: LostFrontends, surroundings: CleanupSurroundings): void {
  const { conntrack, context, ledger, clock, metrics, log } = surroundings;
  const judge = {
    frontend: (key: string) => ledger.frontend(key),
    wasServed: (key: string) => served.has(key),
    isInside: (ip: Ip) =>
      context.addresses.includes(ip) || context.podCidrs.some((prefix) => prefixContains(prefix, ip)),
  };
  for (const family of [4, 6] as const) {
    const targets = flows.filter((target) => target.family === family);
    if (targets.length === 0) continue;
    const startedAt = clock.now();
    const deleted = deleteStaleFlows(conntrack, targets, judge);
    const labels = { ip_family: `IPv${family}` };
    metrics.conntrackSeconds.observe(labels, (clock.now() - startedAt) / 1000);
    metrics.conntrackDeleted.inc(labels, deleted);
    if (deleted > 0) log.info({ family, deleted }, "UDP flows that led nowhere are forgotten");
  }
}
