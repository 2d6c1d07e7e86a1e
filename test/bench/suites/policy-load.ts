/** What it takes to plan the policies of a large cluster and to bring them into an empty kernel, without the API. */
import { join } from "node:path";
import { diffNft } from "../../../src/diff/nft.ts";
import { openNftables } from "../../../src/kernel/nfnetlink/nft-socket.ts";
import { createHost } from "../../../src/lab/underlay/host.ts";
import { POLICY_TABLES } from "../../../src/model/marks.ts";
import type { NftTable } from "../../../src/model/nft.ts";
import { planPolicyTable } from "../../../src/plan/policies/table.ts";
import type { Bench } from "../bench.ts";
import { median } from "../statistics.ts";
import { LOCAL_PODS, planInput, policyPopulation } from "./policy-population.ts";

const SIZES = [
  { policies: 100, pods: 1000 },
  { policies: 1000, pods: 10_000 },
] as const;
/** "Under one second", of the largest. */
const LIMIT_MS = 1000;
const ROUNDS = 10;

export function measurePolicyLoads(bench: Bench): void {
  for (const { policies, pods } of SIZES) measureSize(bench, policies, pods);
}

function measureSize(bench: Bench, policies: number, pods: number): void {
  bench.say(`${policies} policies, ${pods} pods`);
  const objects = policyPopulation(policies, pods);
  const host = createHost(join(bench.folder, "load"), `load${policies}`);
  using nftables = host.run(() => openNftables());
  const [plan, both]: [number[], number[]] = [[], []];
  let table: NftTable | undefined;
  for (let round = 0; round <= (bench.options.quick ? 3 : ROUNDS); round++) {
    // Objects that nobody has looked at yet, as a start has them.
    const input = planInput(objects);
    const started = performance.now();
    table = planPolicyTable(input, 4);
    const planned = performance.now();
    nftables.commit(POLICY_TABLES[4], diffNft(table, undefined));
    const loaded = performance.now();
    nftables.commit(POLICY_TABLES[4], [{ do: "deleteTable" }]);
    // The first round warms up.
    if (round === 0) continue;
    plan.push(planned - started);
    both.push(loaded - started);
  }
  const what = `${policies} policies, ${LOCAL_PODS} local pods of ${pods}`;
  const isLargest = policies === SIZES.at(-1)?.policies;
  const limit = isLargest ? { reference: LIMIT_MS, referenceName: "limit", goal: 1 } : {};
  bench.row(`${what}: planned and loaded`, "ms", median(both), limit);
  bench.row(`${what}: planned`, "ms", median(plan), { reference: median(both), referenceName: "planned and loaded" });
  if (table !== undefined) report(bench, what, table);
}

/** How large that is in the kernel. */
function report(bench: Bench, what: string, { sets, chains }: NftTable): void {
  const rules = chains.reduce((total, chain) => total + chain.rules.length, 0);
  const elements = sets.reduce((total, set) => total + set.elements.length, 0);
  bench.row(`${what}: rules`, "rules", rules);
  bench.row(`${what}: elements of ${sets.length} sets`, "elements", elements);
}
