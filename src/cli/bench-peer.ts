/** One end of a measurement, started by `bench`; no command for people. */
import { writeSync } from "node:fs";
import { type PeerTask, runPeer } from "../bench/tcp-peer.ts";

export async function benchPeer([task = "{}"]: readonly string[]): Promise<number> {
  // At once: the loop of the measurement leaves no turn to a stream.
  runPeer(JSON.parse(task) as PeerTask, (event) => void writeSync(1, `${JSON.stringify(event)}\n`));
  return 0;
}
