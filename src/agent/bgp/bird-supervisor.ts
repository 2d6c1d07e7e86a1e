/**
 * Keeps one BIRD running with the configuration that is wanted: found or started, configured over its control socket
 * without a restart, watched by the end of that connection, started anew with backoff when it ended. Retry lives here.
 */
import { mkdirSync } from "node:fs";
import { writeFileAtomic } from "../../cni/atomic-file.ts";
import { type Clock, pause } from "../../kube/clock.ts";
import { BreakwaterError, describeError, messageOf } from "../../model/errors.ts";
import type { Route } from "../../model/kernel-objects.ts";
import { withKernelWaiting } from "../../plan/bgp/config-text.ts";
import type { Log } from "../log.ts";
import type { BirdControl } from "./bird-control.ts";
import { type BirdPaths, birdPid, killBird, startBird, tryOpen } from "./bird-process.ts";
import { kernelWaits, recovered } from "./bird-recovery.ts";
import { type BirdProtocol, parseProtocols } from "./bird-status.ts";
import { type BirdReply, isRefusal } from "./reply-reader.ts";

export interface BirdSupervisorOptions {
  readonly paths: BirdPaths;
  readonly clock: Clock;
  readonly log: Log;
  /** What the kernel has of BIRD's routes. */
  readonly routes: () => readonly Route[];
  /** @default startBird */
  readonly start?: typeof startBird;
}

const ENDED = "BIRD has ended";
export const NOT_STARTED = "BIRD is not started yet";
/**
 * Not at once: a router that lost the session connects again a second later (FRR's start timer, BIRD's connect delay), and
 * this BIRD would a second behind its start. At the same moment that is two connections, and FRR 8.4, which is to close one
 * of them (RFC 4271, section 6.8), may end both and drop the routes that it kept. So BIRD is there when the router connects,
 * and would itself connect only later.
 */
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 10_000;
/** A BIRD that ran this long was well: its next end is a first one. */
const HEALTHY_MS = 10_000;

export class BirdSupervisor {
  readonly #options: BirdSupervisorOptions;
  readonly #stop = new AbortController();
  #wanted: string | undefined;
  #configured: string | undefined;
  #configuring = Promise.resolve();
  /** BIRD came back, and does not touch the kernel's routes before its peers have told it theirs. */
  #recovering = false;
  #control: BirdControl | undefined;
  #failure: string | undefined = NOT_STARTED;
  #refused: string | undefined;
  #restarts = 0;
  #delayMs = RETRY_FIRST_MS;
  #running: Promise<void> | undefined;

  constructor(options: BirdSupervisorOptions) {
    this.#options = options;
  }

  /** Why BIRD does not route as it should; undefined when it does. */
  get failure(): string | undefined {
    return this.#failure ?? this.#refused;
  }

  get isRecovering(): boolean {
    return this.#recovering;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get version(): string | undefined {
    return this.#control?.version;
  }

  get pid(): number | undefined {
    return this.#control === undefined ? undefined : birdPid(this.#options.paths);
  }

  /** The configuration that is wanted; the first one starts BIRD. */
  configure(text: string): void {
    if (this.#wanted === text) return;
    this.#wanted = text;
    if (this.#running === undefined) this.#running = this.#run();
    else if (this.#control !== undefined) void this.#apply(this.#control);
  }

  /** What BIRD says of its protocols; none while it does not run. @throws BreakwaterError BW_BGP_CONTROL */
  async protocols(): Promise<BirdProtocol[]> {
    const reply = await this.ask("show protocols all");
    return reply === undefined || isRefusal(reply) ? [] : parseProtocols(reply);
  }

  /** BIRD's reply; undefined while it does not run. @throws BreakwaterError BW_BGP_CONTROL */
  async ask(command: string): Promise<BirdReply | undefined> {
    return this.#control?.command(command);
  }

  /** BIRD is left as it is. Behind it nothing is written or started any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    if (this.#control !== undefined) await this.#leave(this.#control);
    await this.#running;
    await this.#configuring;
  }

  async #leave(control: BirdControl): Promise<void> {
    // Nobody else would let it go on.
    if (this.#recovering) await this.#letKernelRun(control);
    control.close();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const started = clock.now();
      try {
        const control = await this.#attach();
        if (control === undefined) return;
        this.#configured = undefined;
        await this.#apply(control);
        if (signal.aborted) return await this.#leave(control);
        this.#control = control;
        this.#failure = undefined;
        // What was wanted meanwhile.
        await this.#apply(control);
        if (this.#recovering) void this.#recover(control);
        await control.closed;
        if (signal.aborted) return;
        if (control.hung) killBird(this.#options.paths);
        this.#failure = ENDED;
        const what = control.hung ? "BIRD did not answer, and was ended" : "BIRD has ended";
        log.warn({}, `${what}; its routes stay, and it is started anew`);
      } catch (error) {
        const failure = describeError(error);
        if (failure !== this.#failure) log.error({ error: failure }, "cannot run BIRD; trying again");
        this.#failure = failure;
      }
      this.#control = undefined;
      if (clock.now() - started > HEALTHY_MS) this.#delayMs = RETRY_FIRST_MS;
      await pause(clock, this.#delayMs, signal);
      this.#delayMs = Math.min(2 * this.#delayMs, RETRY_LAST_MS);
    }
  }

  /** The BIRD that is there, or a new one; undefined where it is wanted no more. */
  async #attach(): Promise<BirdControl | undefined> {
    const { paths, log, routes, start = startBird } = this.#options;
    const found = await tryOpen(paths.socket).catch((error: unknown) => {
      log.error({ error: messageOf(error) }, "BIRD hangs; ending it");
      killBird(paths);
      return undefined;
    });
    if (found !== undefined) {
      this.#recovering = await kernelWaits(found);
      log.info({ version: found.version }, "BIRD runs already");
      return found;
    }
    if (this.#stop.signal.aborted) return undefined;
    const recovering = routes().length > 0;
    this.#recovering = recovering;
    this.#write(this.#text ?? "");
    const control = await start(paths, recovering);
    if (this.#failure === ENDED) this.#restarts++;
    log.info({ version: control.version, recovering }, "BIRD started");
    return control;
  }

  get #text(): string | undefined {
    return this.#wanted !== undefined && this.#recovering ? withKernelWaiting(this.#wanted) : this.#wanted;
  }

  async #recover(control: BirdControl): Promise<void> {
    const { clock, routes, log } = this.#options;
    try {
      await recovered(control, { clock, routes, signal: this.#stop.signal });
      if (this.#control === control && this.#recovering) await this.#letKernelRun(control);
    } catch (error) {
      // Its connection has ended, or ends now: the next one begins anew.
      log.debug({ error: messageOf(error) }, "BIRD does not say what its peers told it");
      control.close();
    }
  }

  async #letKernelRun(control: BirdControl): Promise<void> {
    this.#recovering = false;
    await this.#apply(control);
  }

  #write(text: string): void {
    // Passwords are in it, and whoever may open the socket may end sessions.
    mkdirSync(this.#options.paths.folder, { recursive: true, mode: 0o700 });
    // Behind a power loss it is written anew, as routes are: a slow disk keeps none of them waiting.
    writeFileAtomic(this.#options.paths.config, text, 0o600, false);
  }

  /** One at a time: BIRD reads the file while others may want the next. */
  #apply(control: BirdControl): Promise<void> {
    this.#configuring = this.#configuring
      .then(() => this.#applyNow(control))
      .catch((error: unknown) => {
        // The connection ends with it, and that is what the loop waits for.
        this.#options.log.error({ error: messageOf(error) }, "cannot configure BIRD");
        control.close();
      });
    return this.#configuring;
  }

  async #applyNow(control: BirdControl): Promise<void> {
    const text = this.#text;
    // The next connection begins with what is wanted then.
    if (text === this.#configured || text === undefined || control.hasEnded) return;
    this.#write(text);
    const reply = await control.command(`configure "${this.#options.paths.config}"`);
    this.#configured = text;
    if (!isRefusal(reply)) {
      this.#refused = undefined;
      return;
    }
    const why = reply.lines.map((line) => line.text).join("; ");
    const error = new BreakwaterError(
      "BW_BGP_CONFIG",
      `BIRD refuses its configuration and keeps the one before: ${why}`,
      {
        operation: "configure BIRD",
        object: this.#options.paths.config,
        remedy: "Is this BIRD 2.0.8 or newer? Report the line that it names",
      },
    );
    this.#refused = describeError(error);
    this.#options.log.error({ error: this.#refused }, "BIRD refuses its configuration");
  }
}
