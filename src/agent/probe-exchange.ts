/**
 * Sends rounds of probes and gathers what comes back: acknowledgements by their nonce, refusals of this kernel, ICMP that
 * quotes a probe of ours. Answers the probes of others.
 */
import { randomFillSync } from "node:crypto";
import type { OpenProbePort, ProbeDatagram, ProbeError, ProbePort } from "../kernel/probe-port.ts";
import type { Clock } from "../kube/clock.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import { decodeProbePacket, encodeAcknowledgement, encodeProbe, quotedNonce } from "../model/probe-packet.ts";
import type { ProbeTarget, RoundResult } from "../model/proof.ts";
import type { Round } from "../plan/proof/search.ts";

export interface ExchangeOptions {
  readonly open: OpenProbePort;
  readonly port: number;
  readonly clock: Clock;
  /** The node that has an address, if one has. */
  readonly peerAt: (address: Ip) => string | undefined;
  /** A peer says that its path to us carries less than planned. */
  readonly onSuspicion: (peer: string) => void;
}

export interface RoundRequest {
  readonly target: ProbeTarget;
  readonly round: Round;
}

export interface ExchangeCounters {
  probesSent: number;
  acknowledgementsSent: number;
  acknowledged: number;
  /** Probes of strangers that were left unanswered. */
  ignored: number;
}

/** An unanswered probe is waited for at least this long, and four times as long as the peer's last answer took. */
const LEAST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 2000;
/** Between the copies of one size. */
const COPY_GAP_MS = 40;
/** Answers that come later than this are not recognised any more. */
const MEMORY_MS = 5000;
/** Probes of one look come one behind the other: their one acknowledgement waits so long for more. */
const TOGETHER_MS = 20;
/** Probes a second from addresses of no node that are answered. */
const STRANGERS_A_SECOND = 100;

/** Full queues of this node's own: the packet is lost like any other. */
const BUSY: ReadonlySet<string> = new Set(["EAGAIN", "ENOBUFS"]);

interface Outstanding {
  readonly target: ProbeTarget;
  readonly bytes: number;
  readonly sentMs: number;
  readonly waiting: Waiting;
}

interface Waiting {
  readonly sizes: readonly number[];
  readonly passed: Set<number>;
  readonly refusedLocally: Set<number>;
  tooBig: RoundResult["tooBig"];
  nobodyListens: boolean;
  noWay: string | undefined;
  /** Called when every size is answered for. */
  settled: () => void;
}

export class ProbeExchange implements Disposable {
  readonly counters: ExchangeCounters = { probesSent: 0, acknowledgementsSent: 0, acknowledged: 0, ignored: 0 };
  readonly #options: ExchangeOptions;
  readonly #port: ProbePort;
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #roundTripMs = new Map<string, number>();
  readonly #pendingAnswers = new Map<string, { to: Ip; nonces: string[] }>();
  readonly #nonces = new Nonces();
  #closed = false;
  #strangers = { tokens: STRANGERS_A_SECOND, atMs: 0 };

  /** @throws BreakwaterError BW_SYSCALL when the port is taken */
  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#port = options.open(options.port, (datagram) => this.#receive(datagram));
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#port[Symbol.dispose]();
  }

  /** Forgets what belongs to peers that are gone. */
  forget(peer: string): void {
    this.#roundTripMs.delete(peer);
  }

  /**
   * Probes all targets of one peer at once. Resolves when all are answered for, or have had their time.
   * @param flags `together`: a routine look, which one acknowledgement answers; `suspect`: see ProbePacket
   */
  async round(
    requests: readonly RoundRequest[],
    flags: { readonly together: boolean; readonly suspect: boolean },
  ): Promise<RoundResult[]> {
    this.#forgetOld();
    const waiting = requests.map(({ round }) => newWaiting(round.sizes));
    const copies = Math.max(...requests.map(({ round }) => round.copies));
    const wait = this.#waitMs(requests[0]?.target.peer ?? "");
    for (let copy = 1; copy <= copies; copy++) {
      for (const [i, { target, round }] of requests.entries()) {
        if (copy <= round.copies) this.#send(target, waiting[i] as Waiting, flags);
      }
      await this.#allSettled(waiting, copy === copies ? wait : COPY_GAP_MS);
      if (this.#closed) break;
      // Where every size arrived there is nothing to explain: what may stand in the queue is about others' probes.
      if (waiting.some(({ sizes, passed }) => passed.size < sizes.length)) this.#readErrors();
    }
    return waiting.map(({ passed, refusedLocally, tooBig, nobodyListens, noWay }) => ({
      passed: [...passed],
      refusedLocally: [...refusedLocally],
      ...(tooBig === undefined ? {} : { tooBig }),
      nobodyListens,
      ...(noWay === undefined ? {} : { noWay }),
    }));
  }

  #waitMs(peer: string): number {
    return Math.min(LONGEST_WAIT_MS, Math.max(LEAST_WAIT_MS, 4 * (this.#roundTripMs.get(peer) ?? 0)));
  }

  /** The sizes that nobody has answered for yet. */
  #send(target: ProbeTarget, waiting: Waiting, flags: { together: boolean; suspect: boolean }): void {
    for (const bytes of waiting.sizes) {
      if (waiting.passed.has(bytes) || waiting.refusedLocally.has(bytes)) continue;
      const nonce = this.#nonces.next();
      const errno = this.#port.probe(target.address, encodeProbe({ nonce, bytes, ...flags }, target.family));
      this.counters.probesSent++;
      if (errno === "EMSGSIZE") waiting.refusedLocally.add(bytes);
      else if (errno !== "" && !BUSY.has(errno)) waiting.noWay = errno;
      else this.#outstanding.set(nonce, { target, bytes, sentMs: this.#options.clock.now(), waiting });
    }
  }

  #allSettled(waiting: readonly Waiting[], afterMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        if (!waiting.every(isSettled)) return;
        cancel();
        resolve();
      };
      const cancel = this.#options.clock.schedule(afterMs, resolve);
      for (const each of waiting) each.settled = done;
      done();
    });
  }

  #receive({ from, payload }: ProbeDatagram): void {
    const packet = decodeProbePacket(payload, ipFamily(from));
    if (packet === undefined) return;
    if (packet.kind === "acknowledgement") {
      for (const nonce of packet.nonces) this.#acknowledged(nonce);
      return;
    }
    const peer = this.#options.peerAt(from);
    if (peer === undefined && !this.#strangerIsAnswered()) {
      this.counters.ignored++;
      return;
    }
    if (packet.together) this.#answerSoon(peer ?? from, from, packet.nonce);
    else this.#answer(from, [packet.nonce]);
    if (packet.suspect && peer !== undefined) this.#options.onSuspicion(peer);
  }

  #acknowledged(nonce: string): void {
    const probe = this.#outstanding.get(nonce);
    if (probe === undefined) return;
    this.#outstanding.delete(nonce);
    this.counters.acknowledged++;
    this.#roundTripMs.set(probe.target.peer, this.#options.clock.now() - probe.sentMs);
    probe.waiting.passed.add(probe.bytes);
    probe.waiting.settled();
  }

  #answerSoon(key: string, to: Ip, nonce: string): void {
    const pending = this.#pendingAnswers.get(key);
    if (pending !== undefined) {
      pending.nonces.push(nonce);
      return;
    }
    const answer = { to, nonces: [nonce] };
    this.#pendingAnswers.set(key, answer);
    this.#options.clock.schedule(TOGETHER_MS, () => {
      this.#pendingAnswers.delete(key);
      this.#answer(answer.to, answer.nonces);
    });
  }

  #answer(to: Ip, nonces: readonly string[]): void {
    if (this.#closed) return;
    this.#port.answer(to, encodeAcknowledgement(nonces));
    this.counters.acknowledgementsSent++;
  }

  #strangerIsAnswered(): boolean {
    const now = this.#options.clock.now();
    const { tokens, atMs } = this.#strangers;
    const left = Math.min(STRANGERS_A_SECOND, tokens + ((now - atMs) / 1000) * STRANGERS_A_SECOND);
    this.#strangers = { tokens: left >= 1 ? left - 1 : left, atMs: now };
    return left >= 1;
  }

  #readErrors(): void {
    for (const error of this.#port.errors()) if (error.origin === "icmp") this.#icmp(error);
  }

  /** Only what quotes the nonce of a probe under way counts: anybody can send ICMP. */
  #icmp({ quoted, errno, from, mtuBytes }: ProbeError): void {
    const nonce = quotedNonce(quoted);
    const probe = nonce === undefined ? undefined : this.#outstanding.get(nonce);
    if (probe === undefined) return;
    if (errno === "EMSGSIZE" && from !== undefined && mtuBytes !== undefined) probe.waiting.tooBig = { from, mtuBytes };
    else if (errno === "ECONNREFUSED") probe.waiting.nobodyListens = true;
    else probe.waiting.noWay = from === undefined ? errno : `${errno}, says ${from}`;
  }

  #forgetOld(): void {
    const before = this.#options.clock.now() - MEMORY_MS;
    for (const [nonce, { sentMs }] of this.#outstanding) {
      if (sentMs >= before) return;
      this.#outstanding.delete(nonce);
    }
  }
}

const NONCE_BYTES = 8;
const NONCES_DRAWN = 256;

/** Random nonces, drawn many at a time: eight bytes at a time they were a seventh of what a quiet agent's probing costs. */
class Nonces {
  readonly #bytes = Buffer.alloc(NONCES_DRAWN * NONCE_BYTES);
  #used = this.#bytes.length;

  /** 16 hexadecimal digits that were never given out before. */
  next(): string {
    if (this.#used === this.#bytes.length) {
      randomFillSync(this.#bytes);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += NONCE_BYTES;
    return this.#bytes.toString("hex", start, this.#used);
  }
}

function newWaiting(sizes: readonly number[]): Waiting {
  return {
    sizes,
    passed: new Set(),
    refusedLocally: new Set(),
    tooBig: undefined,
    nobodyListens: false,
    noWay: undefined,
    settled: () => undefined,
  };
}

function isSettled({ sizes, passed, refusedLocally }: Waiting): boolean {
  return sizes.every((size) => passed.has(size) || refusedLocally.has(size));
}
