/**
 * The node's side of the CNI server: attaches pods by the same plan that later repairs them, and remembers which pods
 * the node has.
 */
import type { AttachedPod, PodAttachment, PodNetwork } from "../cni/pod-network.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { familyBits, type Ip, ipFamily } from "../model/ip.ts";
import { DOOMED_GROUP, HOST_END_MAC } from "../model/marks.ts";
import { hostPrefix, type Prefix, prefixLength } from "../model/prefix.ts";
import type { LocalPod } from "../model/state.ts";
import { hostIfname, type PodPlan, planPod } from "../plan/pods.ts";
import { applyOperations, type PodLinks } from "./apply.ts";
import type { Mirror } from "./mirror.ts";
import type { ReconcilerStatus } from "./reconciler.ts";

/**
 * Deletions are gathered until no pod came or went for this long: the kernel makes each wait for RCU, but a whole group
 * only once, and it lets nobody else configure a link meanwhile.
 */
const REAP_QUIET_MS = 25;
/** However busy the node is, a link waits no longer than this. */
const REAP_WITHIN_MS = 250;
/** So many make a group: each adds half a millisecond and more to the time in which nobody else gets on. */
const REAP_AT_MOST = 32;
/** Links that could not be deleted are tried again after this long. */
const REAP_RETRY_MS = 1000;

export interface NodeNetworkOptions {
  readonly kernel: Kernel;
  readonly mirror: Mirror;
  readonly podLinks: PodLinks & { cutOff(hostIfname: string): void };
  readonly status: () => ReconcilerStatus;
  /** Called before a pod gets its network; what it throws keeps the pod without one. */
  readonly admit?: (pod: LocalPod) => Promise<void>;
  /** Called when a pod that was let in got no network after all. */
  readonly withdraw?: (pod: LocalPod) => void;
  /** A pod is gone; undefined where nobody remembers which. */
  readonly onDetach?: (pod: LocalPod | undefined) => void;
  readonly onError: (error: unknown) => void;
  /** Called when a pod was attached: what it works without follows in a round. */
  readonly onAttached?: () => void;
}

export class NodeNetwork implements PodNetwork {
  readonly #options: NodeNetworkOptions;
  readonly #pods = new Map<string, LocalPod>();
  #podList: readonly LocalPod[] | undefined;
  readonly #strangers = new Set<string>();
  #reapTimer: NodeJS.Timeout | undefined;
  #reapAt = Number.POSITIVE_INFINITY;
  /** Links given up since the last deletion. */
  #doomed = 0;
  #reaping: Promise<void> = Promise.resolve();

  constructor(options: NodeNetworkOptions) {
    this.#options = options;
  }

  /** The pods that the plan is to keep; the same list until one comes or goes. */
  pods(): readonly LocalPod[] {
    this.#podList ??= [...this.#pods.values()];
    return this.#podList;
  }

  /**
   * Takes over what the CNI server remembers from before a restart, and deletes the links that an agent which was killed
   * had given up.
   */
  adopt(attachments: readonly PodAttachment[]): void {
    for (const attachment of attachments) this.#remember(toLocalPod(attachment));
    if (this.#options.mirror.hasDoomedLinks()) this.#reapSoon();
  }

  /**
   * Called at the start when there was no journal: pod links that are there all the same belong to pods that run. They
   * are left as they are until the runtime deletes their pods.
   */
  spareUnknownPods(): readonly string[] {
    for (const name of this.#options.mirror.podLinks()) if (!this.#pods.has(name)) this.#strangers.add(name);
    return this.strangers();
  }

  /** Host ends of pods that nobody remembers. */
  strangers(): readonly string[] {
    return [...this.#strangers];
  }

  notReadyReason(): string | undefined {
    const { state, notReady, failures } = this.#options.status();
    if (notReady !== undefined) return notReady.message;
    if (state === undefined) return "the agent has not seen the cluster yet";
    const device = failures.find(
      ({ operation }) =>
        operation.do === "createVxlan" ||
        (operation.do === "changeNft" && operation.optional !== true) ||
        operation.do === "setSysctl",
    );
    return device?.error?.message;
  }

  podCidrs(): readonly Prefix[] {
    return this.#options.status().state?.podCidrs ?? [];
  }

  async attach(attachment: PodAttachment): Promise<AttachedPod> {
    const pod = toLocalPod(attachment);
    if (this.#reapTimer !== undefined) this.#reapSoon();
    await this.#options.admit?.(pod);
    try {
      return await this.#attachAdmitted(pod, attachment);
    } catch (error) {
      this.#options.withdraw?.(pod);
      throw error;
    }
  }

  async #attachAdmitted(pod: LocalPod, attachment: PodAttachment): Promise<AttachedPod> {
    try {
      return this.#attach(pod);
    } catch (error) {
      if (!isBreakwaterError(error, "BW_POD_INTERFACE_EXISTS")) throw translate(error, attachment);
    }
    // A runtime may use a namespace again whose last interface was given up and is not deleted yet.
    await this.settled();
    try {
      return this.#attach(pod);
    } catch (error) {
      throw translate(error, attachment);
    }
  }

  async detach(attachment: { readonly containerId: string; readonly ifname: string }): Promise<void> {
    const device = hostIfname(attachment.containerId, attachment.ifname);
    const pod = this.#pods.get(device);
    this.#pods.delete(device);
    this.#podList = undefined;
    this.#strangers.delete(device);
    this.#options.podLinks.cutOff(device);
    this.#options.onDetach?.(pod);
    if (++this.#doomed >= REAP_AT_MOST) this.#reap();
    else this.#reapSoon();
  }

  exists(attachment: Pick<PodAttachment, "containerId" | "ifname">): boolean {
    const link = this.#options.mirror.link(hostIfname(attachment.containerId, attachment.ifname));
    return link !== undefined && link.group !== DOOMED_GROUP;
  }

  addressInUse(ip: Ip): boolean {
    const route = this.#options.kernel.routes.lookupRoute(ip);
    return route !== undefined && prefixLength(route.destination) === familyBits(ipFamily(ip));
  }

  check(attachment: PodAttachment): Promise<readonly string[]> {
    const { state } = this.#options.status();
    const plan = planPod(toLocalPod(attachment), state?.podMtuBytes ?? 0);
    return Promise.resolve([...this.#checkHost(plan), ...this.#checkPod(plan)]);
  }

  /** Resolves when every link that was given up is gone, or could not be deleted. */
  async settled(): Promise<void> {
    if (this.#reapTimer !== undefined) this.#reap();
    await this.#reaping;
  }

  #attach(pod: LocalPod): AttachedPod {
    const { kernel, mirror, podLinks, status } = this.#options;
    const { state } = status();
    if (state === undefined)
      throw new BreakwaterError("BW_NOT_READY", this.notReadyReason() ?? "the agent is not ready");
    const plan = planPod(pod, state.podMtuBytes);
    podLinks.attach(plan.pod);
    // From here on the plan wants it: a round in between must not take it for a stranger.
    this.#remember(pod);
    const results = applyOperations(hostSide(plan), kernel, mirror, podLinks);
    const failed = results.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) {
      this.detach(pod).catch(this.#options.onError);
      throw failed.error;
    }
    this.#options.onAttached?.();
    const { hostIfname: name, podMac, mtuBytes } = plan.pod;
    return { hostIfname: name, hostMac: HOST_END_MAC, podMac, mtuBytes };
  }

  #remember(pod: LocalPod): void {
    this.#pods.set(hostIfname(pod.containerId, pod.ifname), pod);
    this.#podList = undefined;
  }

  /** Called again while it waits, it waits on, up to a limit. */
  #reapSoon(delayMs = REAP_QUIET_MS, withinMs = REAP_WITHIN_MS): void {
    const now = performance.now();
    if (this.#reapTimer === undefined) this.#reapAt = now + withinMs;
    clearTimeout(this.#reapTimer);
    this.#reapTimer = setTimeout(() => this.#reap(), Math.max(0, Math.min(delayMs, this.#reapAt - now)));
    // Nothing waits for this alone: the next start would delete what is left.
    this.#reapTimer.unref();
  }

  #reap(): void {
    clearTimeout(this.#reapTimer);
    this.#reapTimer = undefined;
    this.#doomed = 0;
    const deletion = this.#options.kernel.reaper.deleteGroup(DOOMED_GROUP);
    this.#reaping = deletion.catch((error: unknown) => {
      this.#options.onError(error);
      this.#reapSoon(REAP_RETRY_MS, REAP_RETRY_MS);
    });
  }

  #checkHost(plan: PodPlan): string[] {
    const { mirror } = this.#options;
    const link = mirror.link(plan.pod.hostIfname);
    if (link === undefined) return [`${plan.pod.hostIfname} is not on the node`];
    const routes = plan.routes.filter((route) => mirror.routeTo(route.destination)?.oif !== link.index);
    return [
      ...(link.up ? [] : [`${link.name} is down`]),
      ...(link.mtuBytes === plan.pod.mtuBytes
        ? []
        : [`${link.name} has MTU ${link.mtuBytes}, not ${plan.pod.mtuBytes}`]),
      ...routes.map((route) => `the node has no route ${route.destination} dev ${link.name}`),
    ];
  }

  #checkPod({ pod }: PodPlan): string[] {
    using namespace = this.#options.kernel.openPod(pod.netns);
    return namespace.enter(({ routes }) => {
      const link = routes.link(pod.ifname);
      if (link === undefined) return [`${pod.ifname} is not in ${pod.netns}`];
      const addresses = new Set(
        routes
          .addresses()
          .filter((a) => a.index === link.index)
          .map((a) => hostPrefix(a.address)),
      );
      const missing = pod.ips.filter((ip) => !addresses.has(hostPrefix(ip)));
      const defaults = routes.routes().filter((route) => route.destination.endsWith("/0") && route.oif === link.index);
      return [
        ...(link.up ? [] : [`${pod.ifname} is down`]),
        ...missing.map((ip) => `${pod.ifname} does not have ${ip}`),
        ...pod.ips
          .filter((ip) => !defaults.some((route) => ipFamily(route.destination) === ipFamily(ip)))
          .map((ip) => `there is no IPv${ipFamily(ip)} default route dev ${pod.ifname}`),
      ];
    });
  }
}

function hostSide(plan: PodPlan) {
  return [
    ...plan.neighbours.map(({ cause, ...neighbour }) => ({ do: "setNeighbour", neighbour, cause }) as const),
    ...plan.routes.map(({ cause, ...route }) => ({ do: "setRoute", route, cause }) as const),
  ];
}

function toLocalPod({ containerId, ifname, netns, ips, pod }: PodAttachment): LocalPod {
  return { containerId, ifname, netns, ips, name: pod === undefined ? containerId : `${pod.namespace}/${pod.name}` };
}

function translate(error: unknown, { netns }: PodAttachment): unknown {
  if (!isBreakwaterError(error, "BW_NETNS")) return error;
  return new BreakwaterError("BW_CNI_NETNS", error.message, { ...error, object: netns, cause: error });
}
