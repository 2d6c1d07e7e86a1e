/**
 * All attachments of this node: records in memory, their addresses (ipam.ts) and the journal, kept in step. An address
 * is taken in memory at once and in the same turn as it was found free, so that two calls never get the same one.
 */
import type { Ip } from "../model/ip.ts";
import type { Prefix } from "../model/prefix.ts";
import { type AllocationRequest, Ipam } from "./ipam.ts";
import { Journal } from "./journal.ts";
import type { JournalEntry, JournalState } from "./journal-entry.ts";
import type { JournalFile } from "./journal-file.ts";
import type { AttachedPod } from "./pod-network.ts";
import { type AttachmentKey, attachmentKey, describeAttachment, type PodRecord } from "./pod-record.ts";

export interface StoreOptions {
  readonly path: string;
  readonly now: () => number;
  readonly holdBackMs?: number;
  readonly compactAfter?: number;
  readonly openFile?: (path: string) => JournalFile;
}

export type StoreChange = { readonly kind: "added" | "removed"; readonly record: PodRecord };

export class AttachmentStore {
  private readonly records = new Map<AttachmentKey, PodRecord>();
  /** Being made or taken away right now: in `records`, but nobody's to repair. */
  private readonly busy = new Set<AttachmentKey>();
  private readonly listeners = new Set<(change: StoreChange) => void>();
  private readonly ipam: Ipam;
  private readonly journal: Journal;
  private readonly now: () => number;

  private constructor(options: StoreOptions, state: JournalState) {
    this.now = options.now;
    this.ipam = new Ipam(options.holdBackMs);
    for (const record of state.records.values()) this.remember(record);
    this.ipam.restore(
      state.cursors,
      [...state.resting].map(([ip, atMs]) => ({ ip, atMs })),
    );
    const { compactAfter, openFile } = options;
    this.journal = new Journal(options.path, { snapshot: () => this.snapshot(), compactAfter, openFile });
  }

  /**
   * Reads the journal and opens it for writing.
   * @throws BreakwaterError BW_JOURNAL_CORRUPT, BW_JOURNAL_READ
   */
  static async open(
    options: StoreOptions,
  ): Promise<{ store: AttachmentStore; tornBytes: number; writeFailure: Error | undefined }> {
    const state = await Journal.read(options.path);
    const store = new AttachmentStore(options, state);
    const writeFailure = await store.journal.start(state.goodBytes);
    return { store, tornBytes: state.tornBytes, writeFailure };
  }

  find(key: AttachmentKey): PodRecord | undefined {
    return this.records.get(key);
  }

  /** Attachments that are whole as far as the CNI server knows. */
  list(): readonly PodRecord[] {
    return [...this.records.values()].filter((record) => !this.busy.has(attachmentKey(record)));
  }

  /** Attachments that are being made or taken away. */
  listBusy(): readonly PodRecord[] {
    return [...this.records.values()].filter((record) => this.busy.has(attachmentKey(record)));
  }

  onChange(listener: (change: StoreChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  usage(): ReturnType<Ipam["usage"]> {
    return this.ipam.usage();
  }

  /**
   * Takes addresses and remembers the attachment as busy, all in this turn.
   * @throws BreakwaterError BW_IPAM_…; nothing is then taken
   */
  reserve(
    attachment: Omit<PodRecord, "ips" | "addedAtMs">,
    cidrs: readonly Prefix[],
    request: Pick<AllocationRequest, "requested" | "addressInUse">,
  ): PodRecord {
    this.ipam.setCidrs(cidrs);
    const addedAtMs = this.now();
    const owner = describeAttachment(attachment);
    const ips: readonly Ip[] = this.ipam.allocate({ ...request, owner, nowMs: addedAtMs });
    const record = { ...attachment, ips, addedAtMs };
    this.records.set(attachmentKey(record), record);
    this.busy.add(attachmentKey(record));
    return record;
  }

  /** Resolves when a reserved attachment is on the disk. @throws BreakwaterError BW_JOURNAL_WRITE */
  persist(record: PodRecord): Promise<void> {
    return this.journal.append([{ op: "add", record }], true);
  }

  /** A reserved attachment is whole. The kernel's page cache is enough: what it describes dies with the power too. */
  async complete(record: PodRecord, attached: AttachedPod): Promise<PodRecord> {
    const key = attachmentKey(record);
    const whole = { ...record, attached };
    this.records.set(key, whole);
    this.busy.delete(key);
    this.notify({ kind: "added", record: whole });
    await this.journal.append([{ op: "attached", key, attached }], false);
    return whole;
  }

  /** From here on nobody repairs the attachment; {@link keep} or {@link remove} follows. */
  markBusy(record: PodRecord): void {
    this.busy.add(attachmentKey(record));
  }

  /** An attachment that could not be taken away stays. */
  keep(record: PodRecord): void {
    this.busy.delete(attachmentKey(record));
  }

  /**
   * Forgets an attachment and frees its addresses, at once. Resolves when the journal says so.
   * @throws BreakwaterError BW_JOURNAL_WRITE; it is forgotten all the same, and written when that is possible
   */
  async remove(record: PodRecord): Promise<void> {
    const key = attachmentKey(record);
    const atMs = this.now();
    this.records.delete(key);
    this.busy.delete(key);
    this.ipam.release(record.ips, atMs);
    if (record.attached !== undefined) this.notify({ kind: "removed", record });
    await this.journal.append([{ op: "del", key, atMs }], false);
  }

  close(): Promise<void> {
    return this.journal.close();
  }

  private remember(record: PodRecord): void {
    this.records.set(attachmentKey(record), record);
    this.ipam.adopt(record.ips, describeAttachment(record));
  }

  /** Reserved attachments too: their entry may be in the file that this snapshot replaces. */
  private snapshot(): readonly JournalEntry[] {
    const { cursors, resting } = this.ipam.snapshot();
    return [
      ...resting.map(({ ip, atMs }) => ({ op: "rest", ip, atMs }) as const),
      ...[...this.records.values()].map((record) => ({ op: "add", record }) as const),
      ...cursors.map((ip) => ({ op: "cursor", ip }) as const),
    ];
  }

  private notify(change: StoreChange): void {
    for (const listener of this.listeners) listener(change);
  }
}
