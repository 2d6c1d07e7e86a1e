/** nflog in memory: groups, a listener each, and packets that a test logs. */
import type { HeardPackets, LoggedPacket, OpenPacketLog } from "../nflog/types.ts";
import { refuse } from "./failures.ts";

export class FakePacketLog {
  readonly #listeners = new Map<number, (heard: HeardPackets) => void>();
  #lost = 0;

  /** False for a kernel without nfnetlink_log. */
  isThere = true;

  readonly open: OpenPacketLog = (group, onPackets) => {
    const purpose = { operation: "listen to nflog group", object: String(group) };
    if (!this.isThere) refuse("EINVAL", purpose);
    if (this.#listeners.has(group)) refuse("EPERM", purpose);
    this.#listeners.set(group, onPackets);
    return {
      [Symbol.dispose]: () => {
        if (this.#listeners.get(group) === onPackets) this.#listeners.delete(group);
      },
    };
  };

  get groups(): number[] {
    return [...this.#listeners.keys()];
  }

  /** Rules logged these; nobody may listen. */
  log(group: number, packets: readonly LoggedPacket[]): void {
    const lost = this.#lost;
    this.#lost = 0;
    this.#listeners.get(group)?.({ packets, lost, overran: false });
  }

  /** So many more were logged than the socket held. */
  overrun(group: number, lost: number): void {
    this.#lost += lost;
    this.#listeners.get(group)?.({ packets: [], lost: 0, overran: true });
  }
}
