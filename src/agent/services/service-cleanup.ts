/**
 * What is left to do once new rules are in: flows and clients that remember an endpoint which is not there any more, or
 * that there was none. Before, they would come back to it.
 */

import type { ObservedFrontend } from "../../diff/services.ts";
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Frontend } from "../../model/frontend.ts";
import { isInside, type ServiceContext } from "../../plan/services/frontends.ts";
import { elementFamily, type ServiceLedger } from "../../plan/services/ledger.ts";
import type { FlowJudge } from "../../plan/services/stale-flows.ts";
import type { Log } from "../log.ts";
import { forgetClients } from "./affinity-cleaner.ts";
import { deleteStaleFlows, type FlowTarget } from "./flow-cleaner.ts";
import type { IpvsServices } from "./ipvs-services.ts";
import type { ServiceMetrics } from "./service-metrics.ts";
import type { ServiceTable } from "./service-table.ts";

export interface LostFrontends {
  /** UDP frontends. */
  readonly flows: readonly FlowTarget[];
  /** Keys of frontends of IPv4 with session affinity. */
  readonly sticky: readonly string[];
  /** Keys of frontends that were served until now. */
  readonly served: ReadonlySet<string>;
}

/** What served until now. */
export interface ServedBefore {
  readonly tables: readonly ServiceTable[];
  readonly ipvs: Pick<IpvsServices, "endpoints">;
}

/**
 * Of the frontends that change now, those that lose an endpoint, had none or are gone.
 * @param all whatever changes: what a process before us should have cleaned up may be left
 */
export function lostFrontends(
  keys: Iterable<string>,
  { tables, ipvs }: ServedBefore,
  ledger: ServiceLedger,
  all = false,
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
    const virtual = ipvs.endpoints(key);
    if (before?.single.services !== undefined || virtual.length > 0) served.add(key);
    const [address = "", protocol, port] = key.split(" . ");
    const isLost = all || losesEndpoints(before, virtual, after);
    if (protocol === "udp" && isLost) flows.push({ family, address, port: Number(port) });
    // Clients are not forgotten while nobody asks for them, and choose again when somebody does.
    const startsAffinity = before?.single.affine === undefined && after?.affinitySeconds !== undefined;
    const mayBeSticky = startsAffinity || (isLost && before?.single.affine !== undefined);
    if (mayBeSticky && family === 4) sticky.push(key);
  }
  return { flows, sticky, served };
}

/** What is lost by both: a transaction that failed may have brought a part of what it should. */
export function mergeLost(a: LostFrontends | undefined, b: LostFrontends): LostFrontends {
  if (a === undefined) return b;
  const flows = new Map([...a.flows, ...b.flows].map((flow) => [`${flow.address} ${flow.port}`, flow]));
  return {
    flows: [...flows.values()],
    sticky: [...new Set([...a.sticky, ...b.sticky])],
    served: a.served.union(b.served),
  };
}

/** Traffic from inside and from outside may have endpoints of its own; where there were none it began untranslated. */
function losesEndpoints(
  before: ObservedFrontend | undefined,
  virtual: readonly string[],
  after: Frontend | undefined,
): boolean {
  const had = virtual.length > 0 ? virtual : usedSlots(before?.single.services, before?.endpoints);
  const hadOutside =
    before?.single.outside === undefined ? had : usedSlots(before.single.outside, before.outsideEndpoints);
  const has = after?.endpoints ?? [];
  return loses(had, has) || loses(hadOutside, after?.outside ?? has);
}

function loses(had: readonly (string | undefined)[], has: readonly string[]): boolean {
  if (had.length === 0) return has.length > 0;
  const left = new Set(has);
  return had.some((endpoint) => endpoint !== undefined && !left.has(endpoint));
}

/** Slots that the verdict leads to: `goto affinity-3` or `goto affinity-tcp-10s-3` to three, `drop` to none. */
function usedSlots(verdict: string | undefined, slots: readonly (string | undefined)[] = []) {
  const [, count = "0"] = /-(\d+)$/.exec(verdict ?? "") ?? [];
  return slots.slice(0, Number(count));
}

export interface CleanupSurroundings {
  readonly conntrack: Conntrack;
  readonly nftables: Nftables;
  readonly tables: readonly ServiceTable[];
  readonly ledger: ServiceLedger;
  readonly context: ServiceContext;
  readonly log: Log;
  readonly metrics: ServiceMetrics;
  readonly clock: Clock;
}

/**
 * Never throws: the rules are in.
 * @returns what could not be cleaned up, to be tried again
 */
export function cleanUpAfter(lost: LostFrontends, surroundings: CleanupSurroundings): LostFrontends | undefined {
  const { log, nftables, tables, ledger } = surroundings;
  const judge = judgeOf(lost, surroundings);
  let left: LostFrontends = { flows: [], sticky: [], served: lost.served };
  try {
    deleteFlows(lost, judge, surroundings);
  } catch (error) {
    left = { ...left, flows: lost.flows };
    log.error(
      { error: messageOf(error) },
      "cannot delete UDP flows that lead nowhere; clients may go on sending there until it is tried again",
    );
  }
  try {
    let forgotten = forgetClients(nftables, lost.sticky, (key) => ledger.frontend(key), judge.isInside);
    for (const table of tables) forgotten += table.forgetClients();
    if (forgotten > 0) log.info({ forgotten }, "clients whose endpoint is gone choose another one");
  } catch (error) {
    left = { ...left, sticky: lost.sticky };
    log.error(
      { error: messageOf(error) },
      "cannot forget which endpoint clients had; some may reach one that is gone until it is tried again",
    );
  }
  const isClean = left.flows.length + left.sticky.length === 0 && !tables.some((table) => table.hasForgettableClients);
  return isClean ? undefined : left;
}

function judgeOf({ served }: LostFrontends, { context, ledger }: CleanupSurroundings): FlowJudge {
  return {
    frontend: (key) => ledger.frontend(key),
    wasServed: (key) => served.has(key),
    isInside: (ip) => isInside(ip, context),
  };
}

function deleteFlows({ flows }: LostFrontends, judge: FlowJudge, surroundings: CleanupSurroundings): void {
  const { conntrack, clock, metrics, log } = surroundings;
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
