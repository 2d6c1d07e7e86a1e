/**
 * What the CNI server does before it answers anybody: brings records, kernel and the deletions it missed together.
 *
 * A record is dropped when its namespace and its host link are both gone (the node was restarted, or the runtime
 * cleaned up without us): nothing can use its addresses. With either of them there, the record stands, and the agent's
 * repair or the runtime's DEL or GC decides.
 */
import { existsSync } from "node:fs";
import { messageOf } from "../model/errors.ts";
import { logFields } from "./add-command.ts";
import type { CallContext } from "./call-context.ts";
import type { PodRecord } from "./pod-record.ts";
import { type ConsumedTombstone, consumeTombstones } from "./tombstones.ts";

export interface Recovery {
  /** Records that stand. */
  readonly kept: number;
  readonly dropped: readonly PodRecord[];
  readonly tombstones: readonly ConsumedTombstone[];
  /** Bytes of a last line that was being written when the agent was killed; it was never acknowledged. */
  readonly tornBytes: number;
}

export async function recover(context: CallContext, tombstones: string, tornBytes: number): Promise<Recovery> {
  const { store, network, log } = context;
  const consumed = await consumeTombstones(tombstones, context);
  const dropped = store.list().filter((record) => !network.exists(record) && !existsSync(record.netns));
  for (const record of dropped) {
    await store.remove(record).catch((error: unknown) => {
      log.warn({ ...logFields(record), error: messageOf(error) }, "journal still holds a dropped record");
    });
  }
  const recovery = { kept: store.list().length, dropped, tombstones: consumed, tornBytes };
  log.info(
    { kept: recovery.kept, dropped: dropped.map((record) => logFields(record)), tombstones: consumed, tornBytes },
    "CNI records recovered",
  );
  return recovery;
}
