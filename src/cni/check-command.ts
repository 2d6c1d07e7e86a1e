/** CHECK: whether an attachment is as its ADD left it, compared with the runtime's memory, ours and the kernel's. */
import type { Call, CallContext } from "./call-context.ts";
import { parseAttachmentKey, parseNetns } from "./call-environment.ts";
import { CNI_CODE, CniError } from "./cni-error.ts";
import { comparePrevResult, refuseDifferences } from "./cni-result.ts";
import { attachmentKey, describeAttachment, type PodRecord } from "./pod-record.ts";

export async function checkCommand(call: Call, context: CallContext): Promise<string> {
  const key = parseAttachmentKey(call.request);
  const netns = parseNetns(call.request);
  await context.queue.run(attachmentKey(key), async () => {
    const record = context.store.find(attachmentKey(key));
    if (record === undefined || record.network !== call.config.name) throw unknownContainer(key, context);
    const moved = record.netns === netns ? [] : [`network namespace was ${record.netns}, now ${netns}`];
    // With another namespace the prevResult differs too; one sentence about it is enough.
    const remembered = comparePrevResult(call.config.prevResult, { ...record, netns });
    const kernel = moved.length === 0 ? await context.network.check(record) : [];
    refuseDifferences([...moved, ...remembered, ...kernel], describeAttachment(record));
  });
  return "";
}

/** Code 3 tells the runtime that it need not clean up: true only when the kernel does not know the container either. */
function unknownContainer(key: Pick<PodRecord, "containerId" | "ifname">, { network }: CallContext): CniError {
  const object = describeAttachment(key);
  const gone = !network.exists(key);
  return new CniError(
    gone ? CNI_CODE.unknownContainer : CNI_CODE.checkFailed,
    gone ? `Unknown container: ${object}` : `Attachment of ${object} is not whole: the kernel has it, no record does`,
    { operation: "check attachment", object, remedy: "restart the pod" },
  );
}
