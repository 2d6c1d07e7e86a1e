/** What the CNI server remembers of one attachment, in memory and in the journal. */
import type { AttachedPod, PodAttachment } from "./pod-network.ts";

export interface PodRecord extends PodAttachment {
  /** Name of the network in the CNI configuration: "breakwater". */
  readonly network: string;
  /** Wall clock of the ADD: a deletion that was asked for earlier does not concern this record. */
  readonly addedAtMs: number;
  /**
   * What attach() made. Absent only when the agent was killed between the first and the second journal entry of an ADD,
   * which the runtime then never saw succeed.
   */
  readonly attached?: AttachedPod;
}

export type AttachmentKey = string;

/** One interface of one container. "/" is in neither (call-environment.ts). */
export function attachmentKey(of: { readonly containerId: string; readonly ifname: string }): AttachmentKey {
  return `${of.containerId}/${of.ifname}`;
}

/** How messages name an attachment: by its pod where that is known. */
export function describeAttachment(of: Pick<PodAttachment, "containerId" | "ifname" | "pod">): string {
  const pod = of.pod === undefined ? "" : `pod ${of.pod.namespace}/${of.pod.name}, `;
  return `${pod}container ${of.containerId} ${of.ifname}`;
}
