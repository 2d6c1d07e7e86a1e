/**
 * How often paths are proved anew. A small cluster notices a change within seconds; in a large one the number of packets
 * is what is kept: fewer than ten a second, answers to others included, and every path within ten minutes.
 */

/** A node in a small cluster looks this often at each peer. */
export const SHORTEST_INTERVAL_MS = 2000;
/** Every path is proved again within ten minutes, a search that takes its time included. */
export const LONGEST_INTERVAL_MS = 580_000;
/** Packets a second of a node when nothing is wrong: its probes, and its answers to as many. */
const PACKETS_A_SECOND = 8;
/** Peers a second that are asked because something happened. */
export const URGENT_PEERS_A_SECOND = 50;

/**
 * The pause between two looks at the same peer, milliseconds. A look is one probe a target, and the peer, which looks
 * back as often, is given one answer for all of them.
 */
export function provingIntervalMs(targetsByPeer: Iterable<number>): number {
  let packets = 0;
  for (const targets of targetsByPeer) packets += targets + 1;
  return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, (packets / PACKETS_A_SECOND) * 1000));
}
