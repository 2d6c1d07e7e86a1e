/**
 * ADD: addresses are taken, then the journal and the kernel are written at once, and the runtime is answered when both
 * have it. When either fails, the other is undone: nothing is left half made.
 *
 * A second ADD for the same container and interface gets the first one's result when the attachment is whole and the
 * same is asked for (runtimes repeat a call whose answer they did not wait for), and a clear error otherwise.
 */
import { messageOf } from "../model/errors.ts";
import type { Ip } from "../model/ip.ts";
import type { Call, CallContext } from "./call-context.ts";
import { type PodIdentity, parseAttachmentKey, parseNetns, parsePodIdentity } from "./call-environment.ts";
import { CNI_CODE, CniError } from "./cni-error.ts";
import { formatResult } from "./cni-result.ts";
import { attachmentKey, describeAttachment, type PodRecord } from "./pod-record.ts";
import { IP_ANNOTATION, parseRequestedIps } from "./requested-ips.ts";

/** A question that hangs must not hold up the DEL behind it. The plugin itself waits for 60 s. */
const LOOKUP_TIMEOUT_MS = 10_000;

type Wanted = Pick<PodRecord, "network" | "containerId" | "ifname" | "netns" | "pod">;

export async function addCommand(call: Call, context: CallContext): Promise<string> {
  const { request, config } = call;
  const key = parseAttachmentKey(request);
  const wanted = { ...key, network: config.name, netns: parseNetns(request), pod: parsePodIdentity(request.args) };
  return context.queue.run(attachmentKey(key), async () => {
    refuseNotReady(context);
    const annotations = await findAnnotations(wanted.pod, context);
    const requested = parseRequestedIps(annotations?.[IP_ANNOTATION], config.requestedIps);
    const existing = context.store.find(attachmentKey(key));
    const record =
      existing === undefined
        ? await attach(wanted, requested, context)
        : await confirmExisting(existing, wanted, requested, context);
    return formatResult(record, config);
  });
}

function refuseNotReady({ network }: CallContext): void {
  const reason = network.notReadyReason();
  if (reason === undefined) return;
  throw new CniError(CNI_CODE.tryAgainLater, `Breakwater cannot attach pods yet: ${reason}`, {
    remedy: "the runtime tries again by itself; see /readyz and the log of the agent if this stays",
  });
}

/** The pod's annotations; undefined when the runtime named no pod. */
async function findAnnotations(
  pod: PodIdentity | undefined,
  { pods }: CallContext,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (pod === undefined) return undefined;
  const object = `pod ${pod.namespace}/${pod.name}`;
  const again = (why: string, cause?: unknown) =>
    new CniError(CNI_CODE.tryAgainLater, `Cannot attach ${object}: ${why}`, {
      operation: "look up pod",
      object,
      remedy: "the runtime tries again by itself",
      cause,
    });
  const found = await withTimeout(pods.find(pod.namespace, pod.name), LOOKUP_TIMEOUT_MS).catch((error: unknown) => {
    throw again(`the Kubernetes API cannot be asked: ${messageOf(error)}`, error);
  });
  if (found === undefined)
    throw again("the Kubernetes API has no such pod; it was deleted, or the agent has not seen it yet");
  // A static pod's mirror in the API has a uid of its own; the runtime says the one kept in this annotation.
  const uids = [found.uid, found.annotations["kubernetes.io/config.hash"]];
  if (pod.uid !== undefined && !uids.includes(pod.uid)) {
    throw again(`the Kubernetes API has it with uid ${found.uid}, the runtime starts uid ${pod.uid}`);
  }
  return found.annotations;
}

async function withTimeout<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function attach(wanted: Wanted, requested: readonly Ip[], context: CallContext): Promise<PodRecord> {
  const { store, network, log } = context;
  const addressInUse = (ip: Ip) => network.addressInUse(ip);
  const record = store.reserve(wanted, network.podCidrs(), { requested, addressInUse });
  const persisted = store.persist(record);
  const [written, attached] = await Promise.allSettled([persisted, network.attach(record)]);
  if (attached.status === "rejected") {
    await forget(record, context);
    throw attached.reason;
  }
  if (written.status === "rejected") {
    await undoAttach(record, context);
    throw written.reason;
  }
  const { hostIfname } = attached.value;
  log.info({ ...logFields(record), hostIfname }, "pod attached: CNI ADD");
  return store.complete(record, attached.value).catch((error: unknown) => {
    log.warn({ ...logFields(record), error: messageOf(error) }, "journal lacks the host end of an attachment for now");
    return { ...record, attached: attached.value };
  });
}

async function undoAttach(record: PodRecord, context: CallContext): Promise<void> {
  try {
    await context.network.detach(record);
  } catch (error) {
    context.log.warn({ ...logFields(record), error: messageOf(error) }, "cannot undo an attachment: left to DEL or GC");
    context.store.keep(record);
    return;
  }
  await forget(record, context);
}

async function forget(record: PodRecord, { store, log }: CallContext): Promise<void> {
  await store.remove(record).catch((error: unknown) => {
    log.warn(
      { ...logFields(record), error: messageOf(error) },
      "deletion is kept in memory until the journal can be written",
    );
  });
}

async function confirmExisting(
  existing: PodRecord,
  wanted: Wanted,
  requested: readonly Ip[],
  { network }: CallContext,
): Promise<PodRecord> {
  const differences = compareRequest(existing, wanted, requested);
  if (differences.length === 0 && existing.attached === undefined) differences.push("its first ADD did not finish");
  if (differences.length === 0) differences.push(...(await network.check(existing)));
  if (differences.length === 0) return existing;
  const object = describeAttachment(existing);
  throw new CniError(
    CNI_CODE.alreadyAttached,
    `Already attached, and not the same: ${object}: ${differences.join("; ")}`,
    {
      operation: "attach pod",
      object,
      remedy: "the runtime must DEL the container before it ADDs it again",
    },
  );
}

function compareRequest(existing: PodRecord, wanted: Wanted, requested: readonly Ip[]): string[] {
  const differences: string[] = [];
  const compare = (what: string, was: string | undefined, is: string | undefined) => {
    if (was !== is) differences.push(`${what} was ${was ?? "not given"}, now ${is ?? "not given"}`);
  };
  compare("network", existing.network, wanted.network);
  compare("network namespace", existing.netns, wanted.netns);
  compare("pod", podText(existing.pod), podText(wanted.pod));
  for (const ip of requested) {
    if (!existing.ips.includes(ip)) differences.push(`it has ${existing.ips.join(" and ")}, not the requested ${ip}`);
  }
  return differences;
}

function podText(pod: PodIdentity | undefined): string | undefined {
  return pod && `${pod.namespace}/${pod.name} ${pod.uid ?? ""}`.trimEnd();
}

export function logFields(record: PodRecord): Readonly<Record<string, unknown>> {
  const { containerId, ifname, ips, pod } = record;
  return { pod: pod && `${pod.namespace}/${pod.name}`, containerId, ifname, ips };
}
