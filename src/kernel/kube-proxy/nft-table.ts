/** kube-proxy's own tables, `ip kube-proxy` and `ip6 kube-proxy`: nftables mode, the default from Kubernetes 1.33 on. */
import {
  countsOf,
  KUBE_PROXY_NFT_TABLE,
  type KubeProxyCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
} from "../../model/kube-proxy.ts";
import {
  deleteUnchanged,
  type ForeignChain,
  type ForeignRuleset,
  type ForeignTable,
  newestHandle,
  openForeignRuleset,
} from "../nfnetlink/foreign-ruleset.ts";
import type { KubeProxyPart } from "./types.ts";

export class NftTablePart implements KubeProxyPart {
  readonly kind: KubeProxyKind = "nftables";
  readonly #open: () => ForeignRuleset;

  /** Of the namespace that the calling thread is in when a method is called. */
  constructor(open: () => ForeignRuleset = openForeignRuleset) {
    this.#open = open;
  }

  find(): KubeProxyFinding | undefined {
    using ruleset = this.#open();
    const tables = ownTables(ruleset);
    if (tables.length === 0) return undefined;
    const chains = ownChains(ruleset);
    return {
      kind: this.kind,
      counts: { tables: tables.length, chains: chains.length },
      kept: [],
      fingerprint: `${newestHandle(chains)} ${chains.length}`,
    };
  }

  remove(): KubeProxyCounts {
    using ruleset = this.#open();
    return deleteUnchanged(ruleset, () => {
      const tables = ownTables(ruleset);
      return {
        deletions: tables.map(({ family, name }) => ({ do: "deleteTable", family, table: name })),
        result: countsOf({ tables: tables.length, chains: ownChains(ruleset).length }),
      };
    });
  }
}

function ownTables(ruleset: ForeignRuleset): ForeignTable[] {
  return ruleset.tables().filter(({ name }) => name === KUBE_PROXY_NFT_TABLE);
}

function ownChains(ruleset: ForeignRuleset): ForeignChain[] {
  return ruleset.chains().filter(({ table }) => table === KUBE_PROXY_NFT_TABLE);
}
