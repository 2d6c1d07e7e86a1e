/** iptables of both variants in namespaces, and kube-proxy's rules in them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { IptablesLegacyPart } from "../../src/kernel/kube-proxy/iptables-legacy.ts";
import { IptablesNftPart } from "../../src/kernel/kube-proxy/iptables-nft.ts";
import type { KubeProxyPart } from "../../src/kernel/kube-proxy/types.ts";
import { isKubeProxyChain } from "../../src/model/kube-proxy.ts";
import { type Family, type Rules, restoreText } from "./kube-proxy-rules.ts";
import type { TestNamespace } from "./namespaces.ts";

export type Variant = "legacy" | "nft";
export const VARIANTS: readonly Variant[] = ["nft", "legacy"];
export const FAMILIES: readonly Family[] = [4, 6];

export function run(ns: TestNamespace, command: string, args: readonly string[], input = ""): string {
  const options = { encoding: "utf8", input, maxBuffer: 1 << 28 } as const;
  const { status, stdout, stderr } = ns.run(() => spawnSync(command, args, options));
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

export function program(family: Family, variant: Variant): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${variant}`;
}

export function restore(ns: TestNamespace, variant: Variant, rules: Rules): void {
  run(ns, `${program(rules.family ?? 4, variant)}-restore`, ["-c"], restoreText(rules));
}

/** What iptables-save -c prints, without the times in its comments. */
export function save(ns: TestNamespace, variant: Variant, family: Family): string[] {
  const text = run(ns, `${program(family, variant)}-save`, ["-c"]);
  return text.split("\n").filter((line) => !line.startsWith("#"));
}

/** Lines that kube-proxy wrote: its chains, their rules, and jumps to them. */
export function isKubeProxyLine(line: string): boolean {
  return line.split(/[\s:]/).some(isKubeProxyChain);
}

export function partFor(variant: Variant): KubeProxyPart {
  return variant === "nft" ? new IptablesNftPart() : new IptablesLegacyPart();
}

/** A part asked in a namespace. */
export function inside(ns: TestNamespace, part: KubeProxyPart) {
  return { find: () => ns.run(() => part.find()), remove: () => ns.run(() => part.remove()) };
}
