/** A part of kube-proxy's state in memory: what is there, what fails, what was done. */
import { BreakwaterError } from "../../model/errors.ts";
import type { KubeProxyCounts, KubeProxyFinding, KubeProxyKind } from "../../model/kube-proxy.ts";
import { countObjects } from "../../model/kube-proxy.ts";
import type { KubeProxyPart } from "../kube-proxy/types.ts";

export class FakeKubeProxyPart implements KubeProxyPart {
  readonly kind: KubeProxyKind;
  /** "find" and "remove", in order; shared between parts it shows who came first. */
  readonly calls: string[];
  counts: KubeProxyCounts;
  kept: readonly string[] = [];
  /** How many calls fail next. */
  failFinds = 0;
  failRemovals = 0;
  /** A removal that fails has removed this much of each count before. */
  removedBeforeFailure = 0;
  #version = 0;

  constructor(kind: KubeProxyKind, counts: KubeProxyCounts = {}, calls: string[] = []) {
    this.kind = kind;
    this.counts = counts;
    this.calls = calls;
  }

  /** kube-proxy writes its state. */
  write(counts: KubeProxyCounts): void {
    this.counts = counts;
    this.#version++;
  }

  find(): KubeProxyFinding | undefined {
    this.calls.push(`find ${this.kind}`);
    if (this.failFinds > 0) {
      this.failFinds--;
      throw this.#refusal("list");
    }
    const { kind, counts, kept } = this;
    if (countObjects(counts) === 0 && kept.length === 0) return undefined;
    return { kind, counts, kept, fingerprint: `${this.#version} ${countObjects(counts)}` };
  }

  remove(): KubeProxyCounts {
    this.calls.push(`remove ${this.kind}`);
    if (this.failRemovals > 0) {
      this.failRemovals--;
      const left = Object.entries(this.counts).map(([sort, n]) => [sort, Math.max(0, n - this.removedBeforeFailure)]);
      this.counts = Object.fromEntries(left);
      throw this.#refusal("delete");
    }
    const removed = this.counts;
    this.counts = {};
    return removed;
  }

  #refusal(operation: string): BreakwaterError {
    const object = `${this.kind} of kube-proxy`;
    const message = `Cannot ${operation} ${object}: the kernel answered EBUSY`;
    return new BreakwaterError("BW_NETLINK", message, { operation, object, errno: "EBUSY" });
  }
}
