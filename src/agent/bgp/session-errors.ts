/**
 * Why a session does not come, in words that help. BIRD's last error is often the least of several: after a NOTIFICATION
 * that says what is wrong it tells of a socket that was closed. And where passwords differ it tells nothing: the kernel drops
 * the peer's segments before anybody sees them, and counts them (net/ipv4/tcp.c, TCP MD5).
 */
import { procNetFile } from "../../kernel/ip-counters.ts";

/** Segments of this machine that were dropped for their TCP MD5 option: none, unexpected, or a wrong one. */
export type Md5Drops = () => number;

const COUNTERS = ["TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"];

/** Call it inside the namespace in question; 0 where the kernel has no such counters. */
export function readMd5Drops(read = procNetFile): number {
  const lines = (read("netstat") ?? "").split("\n").filter((line) => line.startsWith("TcpExt: "));
  const [names = [], values = []] = lines.map((line) => line.split(" "));
  return COUNTERS.reduce((sum, name) => sum + (Number(values[names.indexOf(name)]) || 0), 0);
}

export const PASSWORDS_DIFFER =
  "TCP segments from a peer are dropped for their MD5 signature: its password is not that of the BGPPeer's Secret, or one side has none";

/** Looks, a second each, for which a dropped segment tells of now: peers try again every two minutes at the latest. */
const DROP_TELLS_LOOKS = 120;
const ESTABLISHED = "Established";

/** What one side said before it ended a session; the socket's own errors say less. */
const isNotification = (error: string) => /^(Received|BGP Error|Error)\b/.test(error);

interface Spoken {
  readonly error: string;
  /** When this session's peer was heard the last time. */
  readonly look: number;
}

export class SessionErrors {
  readonly #drops: Md5Drops;
  readonly #spoken = new Map<string, Spoken>();
  /** Last error and since when, of each session: the same twice is one. */
  readonly #heard = new Map<string, string>();
  #look = 0;
  #dropped: number | undefined;
  #droppedAt = Number.NEGATIVE_INFINITY;

  /** @param drops @default readMd5Drops */
  constructor(drops: Md5Drops = readMd5Drops) {
    this.#drops = drops;
  }

  /** Once for each time that BIRD was asked, before {@link explain}. */
  look(): void {
    this.#look++;
    const now = this.#drops();
    if (this.#dropped !== undefined && now > this.#dropped) this.#droppedAt = this.#look;
    this.#dropped = now;
  }

  /** @param since when the session came into its state, seconds */
  explain(protocol: string, state: string, since: number | null, lastError: string | null): string | null {
    if (state === ESTABLISHED) {
      this.#spoken.delete(protocol);
      return lastError;
    }
    const key = `${lastError} ${since}`;
    if (lastError !== null && isNotification(lastError) && this.#heard.get(protocol) !== key) {
      this.#spoken.set(protocol, { error: lastError, look: this.#look });
    }
    this.#heard.set(protocol, key);
    const spoken = this.#spoken.get(protocol);
    const isDropping = this.#look - this.#droppedAt < DROP_TELLS_LOOKS;
    if (isDropping && (spoken === undefined || spoken.look < this.#droppedAt)) return PASSWORDS_DIFFER;
    return spoken?.error ?? lastError;
  }
}
