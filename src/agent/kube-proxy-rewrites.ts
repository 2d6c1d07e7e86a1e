/**
 * Tells from looks at kube-proxy's state whether somebody writes it: a kube-proxy whose process and health server are out
 * of sight, or a tool that restores saved rules.
 */
import { countObjects, KUBE_PROXY_KINDS, type KubeProxyFinding, type KubeProxyKind } from "../model/kube-proxy.ts";

/**
 * kube-proxy writes when Services change, and what is gone within 30 s: who is silent for this long is gone. Longer than
 * the takeover pauses before it removes what came back, so that each time counts as one more.
 */
const MEMORY_MS = 1_200_000;
const NOTHING = "";

export class KubeProxyRewrites {
  /** What each kind was at the last look; absent before the first one, and behind a change of our own. */
  readonly #last = new Map<KubeProxyKind, string>();
  readonly #writtenMs = new Map<KubeProxyKind, number>();

  /** Kinds that were written lately and are there. @param failed kinds that could not be looked at */
  look(found: readonly KubeProxyFinding[], failed: ReadonlySet<KubeProxyKind>, nowMs: number): KubeProxyKind[] {
    const byKind = new Map(found.map((finding) => [finding.kind, finding]));
    for (const kind of KUBE_PROXY_KINDS.filter((candidate) => !failed.has(candidate))) {
      const finding = byKind.get(kind);
      const now = finding === undefined ? NOTHING : finding.fingerprint;
      const before = this.#last.get(kind);
      const isThere = finding !== undefined && countObjects(finding.counts) > 0;
      if (isThere && before !== undefined && before !== now) this.#writtenMs.set(kind, nowMs);
      this.#last.set(kind, now);
    }
    return KUBE_PROXY_KINDS.filter((kind) => {
      const written = this.#writtenMs.get(kind);
      return byKind.has(kind) && written !== undefined && nowMs - written < MEMORY_MS;
    });
  }

  /** We removed it: what is there at the next look was written by somebody. */
  removed(kind: KubeProxyKind): void {
    this.#last.set(kind, NOTHING);
  }

  /** We may have changed it: the next look says nothing about others. */
  touched(kind: KubeProxyKind): void {
    this.#last.delete(kind);
  }
}
