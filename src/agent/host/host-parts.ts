/**
 * Everything about the node's kernel, put together: modules, required sysctls and their repairs, the tuning profile and
 * its drift. The loop sets required sysctls like everything else; here it is seen that somebody changed one, also where the
 * kernel tells nobody, and remembered when.
 */
import type { Kernel } from "../../kernel/kernel.ts";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { Sysctl } from "../../kernel/sysctl.ts";
import { messageOf } from "../../model/errors.ts";
import type { AgentHostReport, DriftReport, HostReport, RepairReport } from "../../model/host-report.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { DesiredState, DesiredSysctl } from "../../model/state.ts";
import type { TuningProfile } from "../../model/tuning.ts";
import { neededFeatures, planFeatures, planModules } from "../../plan/host/features.ts";
import { moduleFacts } from "../../plan/host/module-facts.ts";
import { planHostReport } from "../../plan/host/report.ts";
import type { ApplyResult } from "../apply.ts";
import type { Log } from "../log.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { Reconciler } from "../reconciler.ts";
import { nodeSettings } from "../services/ipvs-settings.ts";
import { createHostMetrics } from "./host-metrics.ts";
import { type HostMachine, loadLater, type PreparedModules } from "./prepare-modules.ts";
import type { Tuner } from "./tuner.ts";

/** What is known of the machine before the agent starts. */
export interface HostSurroundings {
  readonly machine: HostMachine;
  readonly prepared: PreparedModules;
  readonly tuner: Tuner;
  /** Undefined: required sysctls only, and whatever `breakwater tune` applied. */
  readonly profile: TuningProfile | undefined;
}

export interface HostPartsOptions extends HostSurroundings {
  readonly config: NodeConfig;
  readonly sysctl: Sysctl;
  /** The node's devices: where IPVS serves, each has settings of its own. */
  readonly routes: Pick<RouteTable, "addresses" | "links">;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  /** The plan in force. */
  readonly state: () => DesiredState | undefined;
  /** Asks for a round. */
  readonly request: (cause: string) => void;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** Most sysctls tell nobody when they change: they are looked at this often. Reading ten takes 0.1 ms. */
const LOOK_MS = 10_000;
/** By then the first round is over. */
const FIRST_LOOK_MS = 1000;
/** More repairs than this are somebody's war, and the last of them say as much as all. */
const REMEMBERED = 100;
const BRIDGE_SYSCTLS = "net/bridge/";

export class HostParts implements Disposable {
  readonly #options: HostPartsOptions;
  readonly #timers: NodeJS.Timeout[];
  /** Required sysctls that were as they should be. */
  readonly #settled = new Set<string>();
  readonly #repairs: RepairReport[] = [];
  readonly #drift = new Map<string, DriftReport>();
  /** Modules without which something is off, on a kernel that can load none. */
  readonly #lacking = new Set<string>();
  #triedBridge = false;
  #saidProblem: string | undefined;

  constructor(options: HostPartsOptions) {
    this.#options = options;
    createHostMetrics(options.metrics.registry, {
      missing: () => [...new Set([...options.prepared.failures.map(({ module }) => module), ...this.#lacking])],
      drifted: () => [...this.#drift.keys()],
    });
    this.#tune();
    // They keep no process that has nothing else to do.
    const first = () => {
      this.look();
      this.lookAtModules();
    };
    this.#timers = [setTimeout(first, FIRST_LOOK_MS).unref(), setInterval(() => this.look(), LOOK_MS).unref()];
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** What a round did: a sysctl that was right before and is set now was changed by somebody. */
  applied(results: readonly ApplyResult[]): void {
    for (const { operation, error } of results) {
      if (operation.do !== "setSysctl" || !this.#settled.has(operation.name)) continue;
      const { name, value, previous = "absent" } = operation;
      this.#repairs.unshift({ name, value, found: previous, at: this.#seconds(), error: error?.message ?? null });
      this.#repairs.length = Math.min(this.#repairs.length, REMEMBERED);
    }
    this.#settle();
  }

  #settle(): void {
    const sysctls = this.#options.state()?.sysctls ?? [];
    for (const sysctl of sysctls) if (this.#isFine(sysctl)) this.#settled.add(sysctl.name);
    const lacksBridge = ({ name }: DesiredSysctl) =>
      name.startsWith(BRIDGE_SYSCTLS) && this.#options.sysctl.read(name) === undefined;
    if (!this.#triedBridge && sysctls.some(lacksBridge)) void this.#bridge();
  }

  /** Compares what the kernel has with what was set. */
  look(): void {
    const { state, request, log } = this.#options;
    try {
      this.#settle();
      if ((state()?.sysctls ?? []).some((sysctl) => !this.#isFine(sysctl))) request("drift");
      this.#lookAtTuning();
      this.#saidProblem = undefined;
    } catch (error) {
      if (this.#saidProblem !== messageOf(error)) log.warn({ error: messageOf(error) }, "sysctls cannot be compared");
      this.#saidProblem = messageOf(error);
    }
  }

  /**
   * A kernel without modules has what it was built with: what it lacks is told behind the start, since to know it takes
   * unpacking the kernel's configuration. Others were looked at before the start.
   */
  lookAtModules(): void {
    try {
      this.#tellOfLacking();
    } catch (error) {
      // A damaged configuration of the kernel, for one: no reason to end an agent that runs.
      this.#options.log.warn({ error: messageOf(error) }, "kernel modules cannot be looked at");
    }
  }

  #tellOfLacking(): void {
    const { config, machine, log } = this.#options;
    if (machine.present().procModules !== undefined) return;
    const needs = neededFeatures(config);
    const features = planFeatures(planModules(moduleFacts(machine.texts().modules), needs), needs);
    for (const { module, without, detail } of features.filter(({ needed }) => needed).flatMap(({ off }) => off)) {
      if (this.#lacking.has(module)) continue;
      this.#lacking.add(module);
      log.warn({ code: "BW_MODULE", module, detail }, `off: ${without}`);
    }
  }

  /** @returns the document behind /host */
  document({ pathname }: URL): HostReport | undefined {
    if (pathname !== "/host") return undefined;
    const { config, machine, sysctl, state } = this.#options;
    const required = state()?.sysctls ?? [];
    const hasBridge = required.some(({ name }) => name.startsWith(BRIDGE_SYSCTLS));
    const texts = machine.texts();
    const report = planHostReport({
      texts,
      features: neededFeatures(config, hasBridge),
      required: [...required, ...this.#ofIpvs(moduleFacts(texts.modules).release)],
      read: (name) => sysctl.read(name),
    });
    return { ...report, agent: this.#agentReport() };
  }

  /** The loop of Services sets these, and looks at them when it verifies. */
  #ofIpvs(release: string): DesiredSysctl[] {
    const { config, routes } = this.#options;
    return config.services?.ipvs === undefined ? [] : nodeSettings({ routes, release });
  }

  #agentReport(): AgentHostReport {
    this.look();
    const { config, prepared, tuner } = this.#options;
    return {
      node: config.nodeName,
      moduleFailures: prepared.failures,
      loaded: prepared.loaded,
      repairs: this.#repairs,
      tuning: tuner.state()?.profile ?? null,
      drift: [...this.#drift.values()],
    };
  }

  #tune(): void {
    const { profile, tuner, log } = this.#options;
    if (profile === undefined) return;
    try {
      for (const { name, from, to, result, error } of tuner.apply(profile)) {
        if (result === "failed") log.warn({ sysctl: name, value: to, error }, "a sysctl of the profile cannot be set");
        else if (from !== to) log.info({ sysctl: name, from, to, profile: profile.name }, "sysctl tuned");
      }
    } catch (error) {
      log.error({ profile: profile.name, error: messageOf(error) }, "the tuning profile cannot be applied");
    }
  }

  #lookAtTuning(): void {
    const found = this.#options.tuner.drift();
    const names = new Set(found.map(({ name }) => name));
    for (const name of this.#drift.keys()) if (!names.has(name)) this.#drift.delete(name);
    for (const { name, set, found: value } of found) {
      const before = this.#drift.get(name);
      if (before !== undefined && before.found === (value ?? null)) continue;
      this.#drift.set(name, { name, value: set, found: value ?? null, since: this.#seconds() });
      const message = "somebody changed a sysctl of the tuning profile; it is left so";
      this.#options.log.warn({ sysctl: name, set, found: value }, message);
    }
  }

  async #bridge(): Promise<void> {
    this.#triedBridge = true;
    const { machine, log, request } = this.#options;
    const error = await loadLater("br_netfilter", machine);
    if (error === undefined) request("drift");
    else log.warn({ code: "BW_MODULE", error }, "pods on a foreign bridge cannot reach each other through Services");
  }

  #isFine({ name, value, alsoFine, ifThere }: DesiredSysctl): boolean {
    const current = this.#options.sysctl.read(name);
    if (current === undefined) return ifThere === true;
    return current === value || alsoFine?.includes(current) === true;
  }

  #seconds(): number {
    return (this.#options.now ?? Date.now)() / 1000;
  }
}

interface AgentSide {
  readonly config: NodeConfig;
  readonly kernel: Pick<Kernel, "sysctl" | "routes">;
  readonly log: Log;
  readonly host?: HostSurroundings;
}

/** @returns undefined where nobody told the agent of its machine */
export function watchHost(
  { config, kernel, log, host }: AgentSide,
  metrics: AgentMetrics,
  reconciler: () => Pick<Reconciler, "status" | "request">,
): HostParts | undefined {
  if (host === undefined) return undefined;
  const state = () => reconciler().status.state;
  const request = (cause: string) => reconciler().request(cause);
  const { sysctl, routes } = kernel;
  return new HostParts({ ...host, config, sysctl, routes, metrics, log, state, request });
}
