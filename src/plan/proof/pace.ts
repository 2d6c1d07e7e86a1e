/**
 * How often paths are proved anew. A small cluster notices a change within seconds; in a large one the number of packets
 * is what is kept: fewer than ten a second, answers to others included, and every path within ten minutes.
 */

/** A node in a small cluster looks this often at each peer. */
export const SHORTEST_INTERVAL_MS = 2000;
/** Every path is proved again within ten minutes, a search that takes its time included. */
export const LONGEST_INTERVAL_MS = 580_000;
/**
 * Packets a second of a node when nothing is wrong: its probes, and its answers to as many. A packet a second costs about
 * a twentieth of a percent of a core, the waking up for it included. Some ten peers are looked at within five seconds;
 * what a large cluster has beyond that comes slowly.
 */
const FAST_PACKETS_A_SECOND = 8;
const SLOW_PACKETS_A_SECOND = 3;
const FAST_PACKETS = 40;
/** Peers a second that are asked because something happened. */
export const URGENT_PEERS_A_SECOND = 50;

/**
 * The pause between two looks at the same peer, milliseconds. A look is one probe a target, and the peer, which looks
 * back as often, is given one answer for all of them.
 */
export function provingIntervalMs(targetsByPeer: Iterable<number>): number {
  let packets = 0;
  for (const targets of targetsByPeer) packets += targets + 1;
  const fast = Math.min(packets, FAST_PACKETS) / FAST_PACKETS_A_SECOND;
  const slow = Math.max(0, packets - FAST_PACKETS) / SLOW_PACKETS_A_SECOND;
  return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, (fast + slow) * 1000));
}
