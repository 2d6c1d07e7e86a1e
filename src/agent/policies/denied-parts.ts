/** Everything about what policies deny, put together: counts, log lines, names, and what is told of them. */

import type { OpenPacketLog } from "../../kernel/nflog/types.ts";
import { rulesCanLog } from "../../kernel/nfnetlink/log-support.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { messageOf } from "../../model/errors.ts";
import { NFLOG_GROUP } from "../../model/marks.ts";
import type { ClusterPolicy } from "../../model/policy.ts";
import type { PoliciesReport } from "../../model/policy-report.ts";
import type { DeniedLog as LoggedDenials } from "../../plan/policies/chains.ts";
import type { Log } from "../log.ts";
import { AddressNames, type AddressSources } from "./address-names.ts";
import { DeniedCounters } from "./denied-counters.ts";
import { DeniedLog } from "./denied-log.ts";
import type { PolicyEnforcer } from "./policy-enforcer.ts";
import type { PolicyMetrics } from "./policy-metrics.ts";
import { policyReport } from "./policy-report.ts";

export interface DeniedPartsOptions {
  readonly nodeName: string;
  readonly nftables: Nftables;
  readonly openPacketLog: OpenPacketLog;
  /** Lines a second; undefined: none. */
  readonly logDenied: number | undefined;
  readonly addresses: AddressSources;
  /** Those of the whole cluster, too; by the name that {@link PolicyEnforcer.denials} has for them. */
  readonly policies: () => ReadonlyMap<string, Pick<ClusterPolicy, "problems">>;
  readonly enforcer: () => Pick<PolicyEnforcer, "denials" | "failure">;
  readonly metrics: PolicyMetrics;
  readonly log: Log;
  readonly clock: Clock;
}

export class DeniedParts implements Disposable {
  readonly #options: DeniedPartsOptions;
  readonly #names: AddressNames;
  readonly #counters: DeniedCounters;
  readonly #log: DeniedLog | undefined;

  /** @throws BreakwaterError BW_NETLINK */
  constructor(options: DeniedPartsOptions) {
    this.#options = options;
    const { nftables, openPacketLog, logDenied, metrics, log, clock } = options;
    const denials = () => options.enforcer().denials;
    this.#names = new AddressNames(options.addresses);
    this.#counters = new DeniedCounters({ nftables, denials, log });
    if (logDenied === undefined) return;
    const limits = { group: NFLOG_GROUP, perSecond: logDenied };
    this.#log = new DeniedLog({
      open: openPacketLog,
      rulesCanLog: () => rulesCanLog(nftables),
      ...limits,
      denials,
      names: this.#names,
      log,
      clock,
      metrics,
    });
  }

  [Symbol.dispose](): void {
    this.#log?.[Symbol.dispose]();
  }

  /** The tables of policies for whoever changes them. */
  get nftables(): Pick<Nftables, "table" | "commit" | "watch"> {
    return this.#counters.readBefore();
  }

  /** What rules have to log; undefined: nothing, or the kernel cannot. */
  get logged(): LoggedDenials | undefined {
    const { logDenied } = this.#options;
    if (logDenied === undefined || this.#log?.isPossible !== true) return undefined;
    return { group: NFLOG_GROUP, perSecond: logDenied };
  }

  /** Pods, nodes or policies may have changed. */
  follow(): void {
    this.#names.forget();
  }

  /** Brings metrics up to date; called when they are read. */
  collect(): void {
    const { metrics } = this.#options;
    const policies = this.#read();
    metrics.deniedPackets.reset();
    metrics.deniedBytes.reset();
    for (const { policy, direction, packets, bytes } of this.#counters.byPolicy()) {
      const slash = policy.indexOf("/");
      const labels = { namespace: policy.slice(0, Math.max(0, slash)), policy: policy.slice(slash + 1), direction };
      metrics.deniedPackets.inc(labels, packets);
      metrics.deniedBytes.inc(labels, bytes);
    }
    metrics.stray.reset();
    metrics.stray.inc(this.#counters.strayPackets);
    metrics.policies.set(policies.size);
    metrics.notUnderstood.set([...policies.values()].filter(({ problems = [] }) => problems.length > 0).length);
  }

  report(): PoliciesReport {
    const { nodeName, enforcer } = this.#options;
    const policies = this.#read();
    return policyReport({
      node: nodeName,
      failure: enforcer().failure,
      logDeniedPerSecond: this.logged?.perSecond,
      policies,
      counters: this.#counters,
    });
  }

  /** Reads the counters. @returns the policies that there are */
  #read(): ReturnType<DeniedPartsOptions["policies"]> {
    const { log } = this.#options;
    try {
      this.#counters.collect();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "cannot read how much was denied; what was known stands");
    }
    const policies = this.#options.policies();
    this.#counters.retain((policy) => policies.has(policy));
    return policies;
  }
}
