/**
 * BIRD on and off: where routing by BGP is wanted it runs (bird-supervisor.ts), where it is wanted no more it is ended and
 * its routes are taken away. One change after the other, and what was wanted last counts.
 */
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Log } from "../log.ts";
import { bgpRoutes, deleteBgpRoute, endBird, hasBird } from "./bird-cleanup.ts";
import { birdPaths, type startBird } from "./bird-process.ts";
import { BirdSupervisor } from "./bird-supervisor.ts";

export interface BirdSwitchOptions {
  readonly stateDir: string;
  readonly routes: Pick<RouteTable, "routes" | "deleteRoute">;
  readonly clock: Clock;
  readonly log: Log;
  /** @default startBird */
  readonly start?: typeof startBird;
}

export class BirdSwitch {
  readonly #options: BirdSwitchOptions;
  #wanted: string | undefined;
  #supervisor: BirdSupervisor | undefined;
  #turning: Promise<void> | undefined;
  #isTurning = false;
  #stopped = false;

  constructor(options: BirdSwitchOptions) {
    this.#options = options;
  }

  /** While BIRD is wanted. */
  get supervisor(): BirdSupervisor | undefined {
    return this.#supervisor;
  }

  /** @param text BIRD's configuration; undefined: no BIRD */
  want(text: string | undefined): void {
    this.#wanted = text;
    if (!this.#isTurning) this.#turning = this.#turn();
  }

  /** BIRD and its routes stay as they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#supervisor?.stop();
    await this.#turning;
  }

  /** Its end is told at once, not a turn of the event loop later: what is wanted right behind it must not be lost. */
  async #turn(): Promise<void> {
    this.#isTurning = true;
    for (let done = false; !done && !this.#stopped; ) {
      const text = this.#wanted;
      if (text === undefined) await this.#off();
      else this.#on(text);
      done = this.#wanted === text;
    }
    this.#isTurning = false;
  }

  #on(text: string): void {
    const { stateDir, routes, clock, log, start } = this.#options;
    this.#supervisor ??= new BirdSupervisor({
      paths: birdPaths(stateDir),
      clock,
      log,
      ...(start === undefined ? {} : { start }),
      routes: () => bgpRoutes(routes),
    });
    this.#supervisor.configure(text);
  }

  async #off(): Promise<void> {
    const { stateDir, routes, log } = this.#options;
    const former = this.#supervisor;
    this.#supervisor = undefined;
    await former?.stop();
    if (!hasBird(stateDir)) return;
    try {
      const outcome = await endBird(stateDir);
      const left = bgpRoutes(routes);
      for (const route of left) deleteBgpRoute(routes, route);
      if (outcome === undefined && left.length === 0) return;
      log.info({ outcome, routes: left.length }, "routing is by BGP no more; BIRD and its routes are gone");
    } catch (error) {
      log.error({ error: messageOf(error) }, "cannot take BIRD's routes away");
    }
  }
}
