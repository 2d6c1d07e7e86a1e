/**
 * What Services ask for, by prefix: who asks for each, and what is withheld. Where one of ten thousand Services changed, its
 * own prefixes alone are put together again; what comes out is the same as if all were.
 */
import type { Ip } from "../../model/ip.ts";
import { hostPrefix, type Prefix } from "../../model/prefix.ts";
import { Sorted } from "../memo.ts";
import type { Announcement, AnnouncementPlan, AnnouncementReason, Withheld } from "./announcements.ts";

/** An address of a Service; with `why` it is not announced. */
export type Verdict = AnnouncementReason & { readonly address: Ip; readonly why?: string };

const isWithheld = (verdict: Verdict): verdict is Withheld => verdict.why !== undefined;

export class AnnouncementTable {
  /** By Service: the same list for as long as it says the same. */
  #verdicts: ReadonlyMap<string, readonly Verdict[]> = new Map();
  /** By prefix, then by the words of the reason. */
  readonly #reasons = new Map<Prefix, Map<string, AnnouncementReason>>();
  readonly #announced = new Map<Prefix, Announcement>();
  readonly #withheld = new Map<string, readonly Withheld[]>();
  readonly #announcedInOrder = new Sorted<Announcement>(byText(({ prefix }) => prefix));
  readonly #withheldInOrder = new Sorted<Withheld>(byText((each) => `${each.address} ${reasonText(each)}`));
  #plan: AnnouncementPlan = { announced: [], withheld: [] };

  /** @returns the same plan as before where nothing changed */
  set(verdicts: ReadonlyMap<string, readonly Verdict[]>): AnnouncementPlan {
    const touched = new Set<Prefix>();
    let changed = false;
    for (const key of new Set([...this.#verdicts.keys(), ...verdicts.keys()])) {
      const [before, now] = [this.#verdicts.get(key), verdicts.get(key)];
      if (before === now) continue;
      changed = true;
      for (const prefix of this.#exchange(key, before ?? [], now ?? [])) touched.add(prefix);
    }
    this.#verdicts = verdicts;
    if (!changed) return this.#plan;
    for (const prefix of touched) this.#gather(prefix);
    this.#plan = {
      announced: this.#announcedInOrder.of([...this.#announced.values()]),
      withheld: this.#withheldInOrder.of([...this.#withheld.values()].flat()),
    };
    return this.#plan;
  }

  /** @returns prefixes that others ask for now than before */
  #exchange(key: string, before: readonly Verdict[], now: readonly Verdict[]): Prefix[] {
    const touched: Prefix[] = [];
    for (const verdict of before) {
      if (isWithheld(verdict)) continue;
      const prefix = hostPrefix(verdict.address);
      this.#reasons.get(prefix)?.delete(reasonText(verdict));
      touched.push(prefix);
    }
    for (const verdict of now) {
      if (isWithheld(verdict)) continue;
      const prefix = hostPrefix(verdict.address);
      const reasons = this.#reasons.get(prefix) ?? new Map<string, AnnouncementReason>();
      reasons.set(reasonText(verdict), { service: verdict.service, kind: verdict.kind });
      this.#reasons.set(prefix, reasons);
      touched.push(prefix);
    }
    const withheld = now.filter(isWithheld);
    if (withheld.length > 0) this.#withheld.set(key, withheld);
    else this.#withheld.delete(key);
    return touched;
  }

  #gather(prefix: Prefix): void {
    const reasons = this.#reasons.get(prefix);
    if (reasons !== undefined && reasons.size > 0) {
      this.#announced.set(prefix, { prefix, reasons: [...reasons.values()].sort(byText(reasonText)) });
      return;
    }
    this.#reasons.delete(prefix);
    this.#announced.delete(prefix);
  }
}

function reasonText({ service, kind }: AnnouncementReason): string {
  return `${service} ${kind}`;
}

function byText<T>(textOf: (value: T) => string): (a: T, b: T) => number {
  return (a, b) => {
    const [x, y] = [textOf(a), textOf(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  };
}
