/** Where Debian has the programs of the fabric's routers. */
import { existsSync } from "node:fs";
import { BreakwaterError } from "../../model/errors.ts";
import type { RouterSoftware } from "./plan.ts";

/** Programs, by what is called for, with the package that brings them. */
const PROGRAMS = {
  zebra: ["/usr/lib/frr/zebra", "frr"],
  bgpd: ["/usr/lib/frr/bgpd", "frr"],
  bfdd: ["/usr/lib/frr/bfdd", "frr"],
  vtysh: ["/usr/bin/vtysh", "frr"],
  gobgpd: ["/usr/bin/gobgpd", "gobgpd"],
  gobgp: ["/usr/bin/gobgp", "gobgpd"],
} as const;

export type RouterProgram = keyof typeof PROGRAMS;

export function programPath(program: RouterProgram): string {
  return PROGRAMS[program][0];
}

/**
 * The spine runs FRR, whatever the racks run.
 * @throws BreakwaterError BW_LAB_ROUTER naming what is not installed, BW_NOT_ROOT
 */
export function findRouterPrograms(software: readonly RouterSoftware[]): void {
  if (process.geteuid?.() !== 0) {
    throw new BreakwaterError("BW_NOT_ROOT", "FRR's daemons choose their groups, which only root may", {
      operation: "start routers",
      remedy: "Run as root, or give --subnets 1, or another --routing than bgp",
    });
  }
  const needed = Object.values(PROGRAMS).filter(([, name]) => name === "frr" || software.includes("gobgp"));
  const missing = needed.filter(([path]) => !existsSync(path));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  throw new BreakwaterError(
    "BW_LAB_ROUTER",
    `There is no ${missing.map(([path]) => path).join(", ")}: with --routing bgp and several subnets the lab's routers are FRR and GoBGP`,
    {
      operation: "start routers",
      object: packages.join(", "),
      remedy: `apt-get install ${packages.join(" ")}${packages.includes("gobgpd") ? ", or give --fabric frr" : ""}`,
    },
  );
}
