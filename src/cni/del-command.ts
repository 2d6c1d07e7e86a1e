/**
 * DEL and GC: taking attachments away. DEL succeeds for whatever is gone already, knows no prevResult and needs no
 * namespace; a container without a record is still taken from the kernel, which may know it from an agent that was
 * killed at the wrong moment.
 */
import { messageOf } from "../model/errors.ts";
import { logFields } from "./add-command.ts";
import type { Call, CallContext } from "./call-context.ts";
import { parseAttachmentKey } from "./call-environment.ts";
import { CNI_CODE, CniError } from "./cni-error.ts";
import { attachmentKey, describeAttachment, type PodRecord } from "./pod-record.ts";

export async function delCommand(call: Call, context: CallContext): Promise<string> {
  const { request, config } = call;
  const key = parseAttachmentKey(request);
  const netns = request.netns === "" ? undefined : request.netns;
  await context.queue.run(attachmentKey(key), async () => {
    const record = context.store.find(attachmentKey(key));
    // Another network's attachment of the same name is none of this DEL's business.
    if (record !== undefined && record.network !== config.name) return;
    if (record === undefined) await context.network.detach({ ...key, netns, ips: [] });
    else await removeAttachment({ ...record, netns: netns ?? record.netns }, "CNI DEL", context);
  });
  return "";
}

/** Takes one attachment from the kernel, then from the records. The caller holds its key's turn in the queue. */
export async function removeAttachment(record: PodRecord, cause: string, context: CallContext): Promise<void> {
  const { store, network, log } = context;
  store.markBusy(record);
  try {
    await network.detach(record);
  } catch (error) {
    store.keep(record);
    throw error;
  }
  log.info(logFields(record), `pod detached: ${cause}`);
  await store.remove(record).catch((error: unknown) => {
    log.warn(
      { ...logFields(record), error: messageOf(error) },
      "deletion is kept in memory until the journal can be written",
    );
  });
}

/**
 * GC: removes every attachment of this network that the runtime did not list and that was there before it asked. What
 * fails does not stop the rest; it is reported at the end.
 */
export async function gcCommand(call: Call, context: CallContext): Promise<string> {
  const { config, request } = call;
  const valid = new Set((config.validAttachments ?? []).map(attachmentKey));
  const stale = context.store
    .list()
    .filter((record) => record.network === config.name && !valid.has(attachmentKey(record)))
    .filter((record) => record.addedAtMs <= request.startedAtMs);
  const outcomes = await Promise.allSettled(stale.map((record) => collect(record, context)));
  const failures = outcomes.flatMap((outcome, i) => {
    const record = stale[i];
    return outcome.status === "fulfilled" || record === undefined ? [] : [failureText(record, outcome.reason)];
  });
  if (failures.length === 0) return "";
  throw new CniError(
    CNI_CODE.attachmentFailed,
    `Cannot remove ${failures.length} stale attachments: ${failures.join("; ")}`,
    {
      operation: "collect garbage",
      object: config.name,
      remedy: "the runtime tries again at its next GC",
    },
  );
}

async function collect(record: PodRecord, context: CallContext): Promise<void> {
  await context.queue.run(attachmentKey(record), async () => {
    // A DEL and an ADD may have come first: the name is then another attachment's.
    if (context.store.find(attachmentKey(record))?.addedAtMs !== record.addedAtMs) return;
    await removeAttachment(record, "CNI GC: not in the runtime's list", context);
  });
}

function failureText(record: PodRecord, reason: unknown): string {
  return `${describeAttachment(record)}: ${messageOf(reason)}`;
}
