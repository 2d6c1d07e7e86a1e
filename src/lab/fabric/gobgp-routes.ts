/**
 * What is between GoBGP and the kernel of its machine. GoBGP has no way into a kernel but FRR's zebra, and Debian 12's GoBGP
 * (3.10) does not understand the protocol of Debian 12's zebra (8.4): it ends in the first message about an interface.
 * So this does what zebra would: GoBGP's best paths become routes, the machine's networks and the routes that an
 * administrator made are announced.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import { messageOf } from "../../model/errors.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import { type Prefix, parsePrefix } from "../../model/prefix.ts";
import { programPath } from "./programs.ts";

/** rtm_protocol of a BGP daemon (include/uapi/linux/rtnetlink.h). */
const RTPROT_BGP = 186;
const RTPROT_KERNEL = 2;
const RETRY_MS = 100;
const AGAIN_MS = 1000;
/** Changes that come together are one look. */
const GATHER_MS = 30;
/** Path attributes of RFC 4271 and RFC 4760. */
const [NEXT_HOP, MP_REACH_NLRI] = [3, 14];

/** GoBGP's table of one family, as `gobgp global rib -j` prints it. */
export type GobgpTable = Readonly<Record<Prefix, readonly GobgpPath[]>>;

interface GobgpPath {
  readonly best?: boolean;
  readonly attrs: readonly { readonly type: number; readonly nexthop?: Ip }[];
}

/** Where each prefix leads by its best path; what GoBGP announces itself leads nowhere. */
export function bestRoutes(table: GobgpTable): Map<Prefix, Ip> {
  const routes = new Map<Prefix, Ip>();
  for (const [prefix, paths] of Object.entries(table)) {
    const best = paths.find((path) => path.best === true);
    const nextHop = best?.attrs.find(({ type }) => type === NEXT_HOP || type === MP_REACH_NLRI)?.nexthop;
    if (nextHop !== undefined && nextHop !== "0.0.0.0" && nextHop !== "::") routes.set(parsePrefix(prefix), nextHop);
  }
  return routes;
}

export interface GobgpRoutesOptions {
  readonly netns: string;
  readonly routes: RouteTable;
  /** GoBGP's command. @returns what it printed @throws BreakwaterError BW_LAB_ROUTER */
  readonly gobgp: (...args: readonly string[]) => Promise<string>;
}

export class GobgpRoutes {
  readonly #options: GobgpRoutesOptions;
  #monitor: ChildProcess | undefined;
  #isWanted = false;
  #timer: NodeJS.Timeout | undefined;
  #looking = Promise.resolve();
  #tookMs = 0;

  constructor(options: GobgpRoutesOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#watch();
  }

  /** Routes stay, as those of a machine whose daemon is gone. */
  stop(): void {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    // The next start may come before this one's look: it makes its own.
    this.#timer = undefined;
    this.#monitor?.kill("SIGKILL");
    this.#monitor = undefined;
  }

  /** Follows GoBGP's table as long as there is a GoBGP. */
  #watch(): void {
    if (!this.#isWanted) return;
    const { netns } = this.#options;
    const args = ["-j", "monitor", "global", "rib"];
    // fork() happens inside spawn(), on this thread: the process is born in that namespace.
    const child = inNamespaceAt(netns, () =>
      spawn(programPath("gobgp"), args, { stdio: ["ignore", "pipe", "ignore"] }),
    );
    this.#monitor = child;
    createInterface({ input: child.stdout }).on("line", () => this.#lookSoon());
    // Whoever was stopped has a successor, or none.
    const isLast = () => this.#isWanted && this.#monitor === child;
    const again = () => {
      if (isLast()) setTimeout(() => isLast() && this.#watch(), RETRY_MS);
    };
    child.once("error", again);
    child.once("exit", again);
    void this.#announce(child);
  }

  /** The machine's networks, until GoBGP took them: on a busy machine its command gives up early. */
  async #announce(monitor: ChildProcess): Promise<void> {
    const { routes, gobgp } = this.#options;
    const networks = routes
      .routes({ protocol: RTPROT_KERNEL })
      .filter(({ type, gateway, oif, destination }) => {
        const isLinkLocal = destination.startsWith("fe80:") || destination.startsWith("ff00:");
        return type === "unicast" && gateway === undefined && oif !== undefined && !isLinkLocal;
      })
      .map(({ destination }) => destination);
    try {
      for (const prefix of networks.filter((each) => !isHostRoute(each))) {
        await gobgp("global", "rib", "-a", `ipv${ipFamily(prefix)}`, "add", prefix);
      }
      this.#lookSoon();
    } catch {
      // Where GoBGP has ended, so has the monitor: the next one announces.
      if (this.#isWanted && this.#monitor === monitor && monitor.exitCode === null) {
        setTimeout(() => void this.#announce(monitor), RETRY_MS);
      }
    }
  }

  /** A look takes half of the time at most. */
  #lookSoon(): void {
    if (!this.#isWanted) return;
    this.#timer ??= setTimeout(
      async () => {
        await this.#looking;
        this.#timer = undefined;
        const started = performance.now();
        this.#looking = this.#look();
        await this.#looking;
        this.#tookMs = performance.now() - started;
      },
      Math.max(GATHER_MS, this.#tookMs),
    );
  }

  async #look(): Promise<void> {
    const { gobgp, routes } = this.#options;
    try {
      const tables = await Promise.all(["ipv4", "ipv6"].map((family) => gobgp("global", "rib", "-a", family, "-j")));
      if (!this.#isWanted) return;
      const wanted = new Map(tables.flatMap((text) => [...bestRoutes(JSON.parse(text) as GobgpTable)]));
      const present = new Map(
        routes.routes({ protocol: RTPROT_BGP }).map((route) => [route.destination, route] as const),
      );
      for (const [destination, gateway] of wanted) {
        if (present.get(destination)?.gateway !== gateway) {
          routes.setRoute({ destination, gateway, protocol: RTPROT_BGP });
        }
      }
      for (const [destination, route] of present) if (!wanted.has(destination)) routes.deleteRoute(route);
    } catch (error) {
      // A network that is down takes no route, and a busy GoBGP does not answer in time.
      process.stderr.write(`gobgp-routes: ${messageOf(error)}\n`);
      setTimeout(() => this.#lookSoon(), AGAIN_MS);
    }
  }
}

function isHostRoute(prefix: Prefix): boolean {
  return prefix.endsWith(prefix.includes(":") ? "/128" : "/32");
}
