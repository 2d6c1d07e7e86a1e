/**
 * A router of the fabric: its daemons, in its network namespace, kept running as on a real one.
 *
 *   FRR     bgpd ── zebra ── kernel;  bfdd
 *   GoBGP   gobgpd ── gobgp-routes.ts ── kernel
 */
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import { SupervisedProcess } from "../supervisor.ts";
import { formatBgpdConfig, formatFrrConfig, formatZebraConfig } from "./frr-config.ts";
import { formatGobgpConfig } from "./gobgp-config.ts";
import { GobgpRoutes } from "./gobgp-routes.ts";
import type { FabricNeighbor, FabricRouter } from "./plan.ts";
import { programPath, type RouterProgram } from "./programs.ts";

export interface RouterPlace {
  /** Path of its network namespace. */
  readonly netns: string;
  readonly routes: RouteTable;
  /** For configurations and sockets. */
  readonly folder: string;
  readonly logs: string;
}

const ZEBRA_SOCKET = "zserv.api";
/** Where GoBGP listens for its command, in the router's own namespace. */
const GOBGP_PORT = 50051;
const ASK_DEADLINE_MS = 20_000;
/** How long GoBGP may take to read its configuration before it is told again. */
const RELOAD_MS = 500;

/** As `gobgp neighbor -j` prints it. */
interface GobgpNeighbor {
  readonly conf?: {
    readonly neighbor_address?: string;
    readonly peer_asn?: number;
    readonly auth_password?: string;
  };
}

export class Router {
  readonly plan: FabricRouter;
  readonly #place: RouterPlace;
  readonly #daemons: readonly SupervisedProcess[];
  readonly #routes: GobgpRoutes | undefined;
  #neighbors: readonly FabricNeighbor[];

  constructor(plan: FabricRouter, place: RouterPlace) {
    this.plan = plan;
    this.#place = place;
    this.#neighbors = plan.neighbors;
    mkdirSync(place.folder, { recursive: true, mode: 0o700 });
    this.#writeConfigs();
    this.#writeCommand();
    const { software } = plan;
    this.#daemons = software === "frr" ? this.#frr() : [this.#gobgp()];
    const gobgp = (...args: readonly string[]) => this.gobgp(...args);
    this.#routes = software === "frr" ? undefined : new GobgpRoutes({ ...place, gobgp });
  }

  get name(): string {
    return this.plan.name;
  }

  get netns(): string {
    return this.#place.netns;
  }

  /** Folder with a `vtysh` that speaks with this router's daemons. */
  get commands(): string {
    return join(this.#place.folder, "bin");
  }

  start(): void {
    for (const daemon of this.#daemons) daemon.start();
    this.#routes?.start();
  }

  /** Ends all daemons at once, as a power cut does; they stay down until started. */
  async hold(): Promise<void> {
    this.#routes?.stop();
    await Promise.all(this.#daemons.map((daemon) => daemon.hold("SIGKILL")));
    rmSync(this.#path(ZEBRA_SOCKET), { force: true });
  }

  /** FRR's shell. @returns what it printed @throws BreakwaterError BW_LAB_ROUTER with what it said */
  vtysh(...commands: readonly string[]): Promise<string> {
    return this.#ask("vtysh", ["--vty_socket", this.#place.folder, ...commands.flatMap((line) => ["-c", line])]);
  }

  /** GoBGP's command. @returns what it printed @throws BreakwaterError BW_LAB_ROUTER with what it said */
  gobgp(...args: readonly string[]): Promise<string> {
    return this.#ask("gobgp", ["-p", String(GOBGP_PORT), ...args]);
  }

  /** GoBGP reads its configuration anew, with this neighbour as it is here; others keep their sessions. */
  async reconfigure(changed: FabricNeighbor): Promise<void> {
    this.#neighbors = this.#neighbors.map((each) => (each.address === changed.address ? changed : each));
    this.#writeConfigs();
    const until = performance.now() + ASK_DEADLINE_MS;
    while (!(await this.#isConfigured(changed))) {
      if (performance.now() > until) throw this.#error("its new configuration", "it does not follow it", undefined);
      // Signals that come while it reads are lost: told again until it has done it.
      this.#daemons.at(-1)?.kill("SIGHUP");
      await new Promise((next) => setTimeout(next, RELOAD_MS));
    }
  }

  async #isConfigured({ address, asNumber, password = "" }: FabricNeighbor): Promise<boolean> {
    const list = JSON.parse(await this.gobgp("neighbor", "-j")) as readonly GobgpNeighbor[];
    const conf = list.find((each) => each.conf?.neighbor_address === address)?.conf;
    return conf?.peer_asn === asNumber && (conf.auth_password ?? "") === password;
  }

  async #ask(program: "vtysh" | "gobgp", args: readonly string[]): Promise<string> {
    const options = { timeout: ASK_DEADLINE_MS, maxBuffer: 64 << 20 };
    try {
      // fork() happens inside, on this thread: the process is born in that namespace.
      const asked = inNamespaceAt(this.netns, () => promisify(execFile)(programPath(program), [...args], options));
      return (await asked).stdout;
    } catch (cause) {
      const said = (cause as { stdout?: string }).stdout?.trim() ?? "";
      throw this.#error(`"${args.join(" ")}"`, `${said} ${messageOf(cause)}`.trim(), cause);
    }
  }

  #error(what: string, why: string, cause: unknown): BreakwaterError {
    return new BreakwaterError("BW_LAB_ROUTER", `${this.name} refuses ${what}: ${why}`, {
      operation: "ask router",
      object: this.name,
      cause,
      remedy: `Does it run? Read ${this.#place.logs}/${this.name}-*.log`,
    });
  }

  #path(name: string): string {
    return join(this.#place.folder, name);
  }

  #writeConfigs(): void {
    // Passwords are in them.
    const write = (name: string, text: string) => {
      const file = this.#path(name);
      // Who reads it meanwhile reads a whole one.
      writeFileSync(`${file}.new`, text, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    };
    write("zebra.conf", formatZebraConfig(this.plan));
    write("bfdd.conf", formatFrrConfig(this.plan));
    write("group", "root:x:0:\nfrrvty:x:0:root\n");
    const plan = { ...this.plan, neighbors: this.#neighbors };
    if (plan.software === "frr") write("bgpd.conf", formatBgpdConfig(plan));
    else write("gobgpd.json", formatGobgpConfig(plan));
  }

  /** `vtysh` needs to be told where the daemons listen: for people it is this one. */
  #writeCommand(): void {
    mkdirSync(this.commands, { recursive: true });
    const path = join(this.commands, "vtysh");
    writeFileSync(path, `#!/bin/sh\nexec ${programPath("vtysh")} --vty_socket '${this.#place.folder}' "$@"\n`);
    chmodSync(path, 0o755);
  }

  #frr(): SupervisedProcess[] {
    return (["zebra", "bfdd", "bgpd"] as const).map((daemon) =>
      this.#daemon(daemon, [
        // The lab's folder is root's alone.
        ...["--user", "root", "--group", "root"],
        ...["--config_file", this.#path(`${daemon}.conf`), "--pid_file", this.#path(`${daemon}.pid`)],
        ...["--socket", this.#path(ZEBRA_SOCKET), "--vty_socket", this.#place.folder, "--vty_port", "0"],
        ...(daemon === "bfdd" ? ["--bfdctl", this.#path("bfdd.sock")] : []),
      ]),
    );
  }

  #gobgp(): SupervisedProcess {
    const file = ["--config-type", "json", "--config-file", this.#path("gobgpd.json")];
    return this.#daemon("gobgpd", [...file, "--api-hosts", `127.0.0.1:${GOBGP_PORT}`, "--pprof-disable"]);
  }

  #daemon(daemon: RouterProgram, args: readonly string[]): SupervisedProcess {
    // FRR's daemons write below /var/tmp, and want their user to be in a group: each sees its own, not the machine's.
    const mounts = 'mount -t tmpfs tmpfs /var/tmp && mount --bind "$0" /etc/group';
    // A session that begins before bgpd knows the machine's devices brings no routes of IPv6: zebra tells it of them.
    const zebra = `until [ -S '${this.#path(ZEBRA_SOCKET)}' ]; do sleep 0.05; done`;
    const script = `${mounts} && ${daemon === "bgpd" ? `${zebra}; ` : ""}exec "$@"`;
    return new SupervisedProcess({
      name: `${daemon} ${this.name}`,
      netns: this.netns,
      program: "unshare",
      args: ["--mount", "--", "sh", "-c", script, this.#path("group"), programPath(daemon), ...args],
      env: {},
      logFile: join(this.#place.logs, `${this.name}-${daemon}.log`),
    });
  }
}
