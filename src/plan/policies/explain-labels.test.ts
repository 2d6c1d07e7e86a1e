/** Which labels a rule is written with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { distinguishingLabels } from "./explain-labels.ts";

const web = { app: "web", tier: "front", "pod-template-hash": "5d4f", "helm.sh/chart": "shop-1.2" };

test("distinguishingLabels() keeps as few labels as select the same objects, by choice those that name a workload", () => {
  const db = { app: "db", tier: "back" };
  assert.deepEqual(distinguishingLabels(web, [web, db]), { app: "web" });
  assert.deepEqual(distinguishingLabels(web, [web, { app: "web", tier: "back" }]), { tier: "front" });
  const both = [web, { app: "web", tier: "back" }, { app: "db", tier: "front" }];
  assert.deepEqual(distinguishingLabels(web, both), { app: "web", tier: "front" });
});

test("distinguishingLabels() leaves out what a rollout changes, unless there is nothing else", () => {
  const next = { ...web, "pod-template-hash": "77aa" };
  assert.deepEqual(distinguishingLabels(web, [web, next]), { app: "web" });
  const bare = { "pod-template-hash": "5d4f" };
  assert.deepEqual(distinguishingLabels(bare, [bare, next]), bare);
});

test("distinguishingLabels() keeps one label of an object that is alone, and none of one that has none", () => {
  assert.deepEqual(distinguishingLabels({ "k8s-app": "dns", x: "1" }, [{ "k8s-app": "dns", x: "1" }]), {
    "k8s-app": "dns",
  });
  assert.deepEqual(distinguishingLabels({}, [{}, web]), {});
});
