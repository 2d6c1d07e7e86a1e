/**
 * Which labels of an object select it and its like, and nothing else: what a rule is to be written with. Labels that a
 * rollout or a replica changes are left out, for the rule has to hold tomorrow.
 */
import type { Labels } from "../../model/cluster.ts";

/** Set by controllers for each revision, replica or run; and those of charts and images that change with each release. */
const VOLATILE = new Set([
  "app.kubernetes.io/version",
  "apps.kubernetes.io/pod-index",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-completion-index",
  "controller-revision-hash",
  "controller-uid",
  "helm.sh/chart",
  "pod-template-generation",
  "pod-template-hash",
  "statefulset.kubernetes.io/pod-name",
]);

/** What people name a workload by, the best last: of two labels that say the same, the better one stays. */
const IDENTIFYING = [
  "app.kubernetes.io/component",
  "k8s-app",
  "app.kubernetes.io/instance",
  "app.kubernetes.io/name",
  "app",
];

/**
 * As few labels of `own` as select no more of `all` than all its lasting labels do; at least one where it has any.
 * @param all labels of the objects that a selector would choose from, `own` among them
 */
export function distinguishingLabels(own: Labels, all: readonly Labels[]): Labels {
  const lasting = Object.keys(own).filter((key) => !VOLATILE.has(key));
  const usable = (lasting.length > 0 ? lasting : Object.keys(own)).sort(weakestFirst);
  const selects = (keys: readonly string[], labels: Labels) =>
    keys.every((key) => Object.hasOwn(labels, key) && labels[key] === own[key]);
  const count = (keys: readonly string[]) => all.reduce((sum, labels) => sum + (selects(keys, labels) ? 1 : 0), 0);
  const least = count(usable);
  let kept: readonly string[] = usable;
  for (const key of usable) {
    const without = kept.filter((each) => each !== key);
    if (without.length > 0 && count(without) === least) kept = without;
  }
  return Object.fromEntries([...kept].sort().map((key) => [key, own[key] ?? ""]));
}

function weakestFirst(a: string, b: string): number {
  return IDENTIFYING.indexOf(a) - IDENTIFYING.indexOf(b) || (a < b ? 1 : -1);
}
