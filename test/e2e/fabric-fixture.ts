/** What the routers of a lab's fabric have in their tables, in their own words: FRR's by vtysh, GoBGP's by gobgp. */
import { resolve } from "node:path";
import type { BgpReport } from "../../src/model/bgp-report.ts";
import type { ServiceLab } from "./services-fixture.ts";

/** A path to a prefix. */
export interface RouterPath {
  readonly nextHops: readonly string[];
  readonly asPath: string;
  readonly communities: readonly string[];
}

interface FrrTable {
  readonly paths?: readonly {
    readonly aspath?: { readonly string?: string };
    readonly community?: { readonly list?: readonly string[] };
    readonly nexthops?: readonly { readonly ip: string; readonly scope?: string; readonly used?: boolean }[];
  }[];
}

interface GobgpPath {
  readonly attrs: readonly {
    readonly type: number;
    readonly nexthop?: string;
    readonly communities?: readonly number[];
    readonly as_paths?: readonly { readonly asns: readonly number[] }[];
  }[];
}

/** Path attributes of RFC 4271, RFC 1997 and RFC 4760. */
const [AS_PATH, NEXT_HOP, COMMUNITIES, MP_REACH_NLRI] = [2, 3, 8, 14];

export class FabricTables {
  readonly #lab: ServiceLab;

  constructor(lab: ServiceLab) {
    this.#lab = lab;
  }

  /** Output of FRR's shell on a router. */
  vtysh(router: string, command: string): Promise<string> {
    return this.#lab.exec(`node/${router}`, "vtysh", "-c", command);
  }

  /** Paths to a prefix in FRR's table, all of them. */
  async frr(router: string, prefix: string): Promise<RouterPath[]> {
    const family = prefix.includes(":") ? "ipv6" : "ipv4";
    const table: FrrTable = JSON.parse(await this.vtysh(router, `show bgp ${family} unicast ${prefix} json`));
    return (table.paths ?? []).map(({ aspath, community, nexthops = [] }) => ({
      nextHops: nexthops.filter(({ scope }) => scope !== "link-local").map(({ ip }) => ip),
      asPath: aspath?.string ?? "",
      communities: community?.list ?? [],
    }));
  }

  /** Paths to a prefix in GoBGP's table. */
  async gobgp(router: string, prefix: string): Promise<RouterPath[]> {
    const family = prefix.includes(":") ? "ipv6" : "ipv4";
    const text = await this.#lab.exec(`node/${router}`, "gobgp", "global", "rib", "-a", family, "-j");
    const table: Record<string, readonly GobgpPath[]> = JSON.parse(text);
    return (table[prefix] ?? []).map(({ attrs }) => {
      const attribute = (...types: number[]) => attrs.find(({ type }) => types.includes(type));
      const asPaths = attribute(AS_PATH)?.as_paths ?? [];
      return {
        nextHops: [attribute(NEXT_HOP, MP_REACH_NLRI)?.nexthop ?? ""],
        asPath: asPaths.flatMap(({ asns }) => asns).join(" "),
        communities: (attribute(COMMUNITIES)?.communities ?? []).map((value) => `${value >>> 16}:${value & 0xffff}`),
      };
    });
  }

  /** What a node says of its sessions. */
  async bgpOf(node: string): Promise<BgpReport> {
    const { stdout } = await this.#lab.lab(
      "exec",
      `node/${node}`,
      "--",
      resolve("bin/breakwater"),
      "bgp",
      "-o",
      "json",
    );
    return JSON.parse(stdout) as BgpReport;
  }
}
