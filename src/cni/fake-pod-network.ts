/**
 * A node without a kernel: the same interface as the agent's, in memory, with failure flags and a log of operations.
 * With a directory its "kernel" is files there, one an attachment, which outlive the process as a real kernel does.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BreakwaterError } from "../model/errors.ts";
import type { Ip } from "../model/ip.ts";
import { deriveMac } from "../model/mac.ts";
import type { Prefix } from "../model/prefix.ts";
import type { AttachedPod, PodAttachment, PodLookup, PodNetwork } from "./pod-network.ts";
import { type AttachmentKey, attachmentKey, describeAttachment } from "./pod-record.ts";

export interface FakePodNetworkOptions {
  readonly podCidrs?: readonly Prefix[];
  /** Where the attachments live; memory when absent. */
  readonly directory?: string;
}

export class FakePodNetwork implements PodNetwork {
  readonly operations: string[] = [];
  readonly attachments = new Map<AttachmentKey, PodAttachment>();
  /** Addresses that something else of this node has. */
  readonly foreignAddresses = new Set<Ip>();
  cidrs: readonly Prefix[];
  notReady: string | undefined;
  limited: string | undefined;
  mtuBytes = 1450;
  /** Thrown by the next operation of this name, once. */
  readonly failNext = new Map<"attach" | "detach" | "check", Error>();
  /** Returned by check(). */
  differences: readonly string[] = [];
  /** Awaited by attach() and detach() before they do anything: tests hold calls in flight with it. */
  gate: (operation: "attach" | "detach", key: AttachmentKey) => Promise<void> = async () => undefined;
  private readonly directory: string | undefined;

  constructor(options: FakePodNetworkOptions = {}) {
    this.cidrs = options.podCidrs ?? ["10.244.1.0/24"];
    this.directory = options.directory;
    if (this.directory !== undefined) this.load(this.directory);
  }

  notReadyReason(): string | undefined {
    return this.notReady;
  }

  limitedReason(): string | undefined {
    return this.limited;
  }

  podCidrs(): readonly Prefix[] {
    return this.cidrs;
  }

  async attach(attachment: PodAttachment): Promise<AttachedPod> {
    const key = attachmentKey(attachment);
    this.operations.push(`attach ${key} ${attachment.ips.join(" ")}`);
    await this.gate("attach", key);
    this.failIfAsked("attach");
    this.refuseCollisions(attachment);
    this.attachments.set(key, attachment);
    if (this.directory !== undefined) this.save(this.directory, key, attachment);
    return {
      hostIfname: `bw${key.slice(0, 8)}`,
      hostMac: deriveMac(`host ${key}`),
      podMac: deriveMac(`pod ${key}`),
      mtuBytes: this.mtuBytes,
    };
  }

  async detach(
    attachment: Pick<PodAttachment, "containerId" | "ifname"> & { readonly ips: readonly Ip[] },
  ): Promise<void> {
    const key = attachmentKey(attachment);
    this.operations.push(`detach ${key} ${attachment.ips.join(" ")}`.trimEnd());
    await this.gate("detach", key);
    this.failIfAsked("detach");
    this.attachments.delete(key);
    if (this.directory !== undefined) rmSync(this.fileOf(this.directory, key), { force: true });
  }

  async check(attachment: PodAttachment): Promise<readonly string[]> {
    this.failIfAsked("check");
    return this.exists(attachment) ? this.differences : [`link of ${describeAttachment(attachment)} is missing`];
  }

  exists(attachment: Pick<PodAttachment, "containerId" | "ifname">): boolean {
    return this.attachments.has(attachmentKey(attachment));
  }

  addressInUse(ip: Ip): boolean {
    return this.foreignAddresses.has(ip) || [...this.attachments.values()].some((one) => one.ips.includes(ip));
  }

  private failIfAsked(operation: "attach" | "detach" | "check"): void {
    const error = this.failNext.get(operation);
    this.failNext.delete(operation);
    if (error !== undefined) throw error;
  }

  /** What a kernel would refuse, and what no caller may ever ask of it. */
  private refuseCollisions(attachment: PodAttachment): void {
    const other = [...this.attachments.values()].find((one) => one.ips.some((ip) => attachment.ips.includes(ip)));
    if (other === undefined && !this.exists(attachment)) return;
    throw new BreakwaterError(
      "BW_LINK_EXISTS",
      `Cannot attach ${describeAttachment(attachment)}: name or address taken`,
      {
        operation: "attach pod",
        object: describeAttachment(other ?? attachment),
        errno: "EEXIST",
      },
    );
  }

  private load(directory: string): void {
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(directory).filter((file) => !file.startsWith("."))) {
      const attachment = JSON.parse(readFileSync(join(directory, name), "utf8")) as PodAttachment;
      this.attachments.set(attachmentKey(attachment), attachment);
    }
  }

  /** Atomic, as a kernel's answer to one message is: renamed into place. */
  private save(directory: string, key: AttachmentKey, attachment: PodAttachment): void {
    const temporary = join(directory, `.${encodeURIComponent(key)}`);
    writeFileSync(temporary, JSON.stringify(attachment));
    renameSync(temporary, this.fileOf(directory, key));
  }

  private fileOf(directory: string, key: AttachmentKey): string {
    return join(directory, encodeURIComponent(key));
  }
}

/** The API's pods in a map "namespace/name"; `failure` makes every question fail. */
export class FakePodLookup implements PodLookup {
  readonly pods = new Map<string, { uid: string; annotations: Record<string, string> }>();
  failure: Error | undefined;

  async find(namespace: string, name: string): ReturnType<PodLookup["find"]> {
    if (this.failure !== undefined) throw this.failure;
    return this.pods.get(`${namespace}/${name}`);
  }
}
