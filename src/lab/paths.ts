/**
 * Where a lab keeps its files: one folder a lab, /run/breakwater-lab/NAME as root, else below XDG_RUNTIME_DIR. Nothing is
 * written elsewhere. BREAKWATER_LAB_DIR replaces the parent folder.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BreakwaterError } from "../model/errors.ts";

export interface LabPaths {
  readonly root: string;
  /** Namespaces are bound here, on a tmpfs that only the lab's processes see. */
  readonly netns: string;
  readonly control: string;
  readonly kubeconfig: string;
  /** The same API as the nodes reach it. */
  readonly nodeKubeconfig: string;
  readonly logs: string;
  /** A folder for each router that speaks BGP. */
  readonly routers: string;
  /** Pids of the lab, for `down` when the lab does not answer. */
  readonly process: string;
}

export interface NodePaths {
  readonly root: string;
  readonly stateDir: string;
  readonly cniSocket: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
}

export function labParent(): string {
  const configured = process.env["BREAKWATER_LAB_DIR"];
  if (configured !== undefined && configured !== "") return configured;
  if (process.getuid?.() === 0) return "/run/breakwater-lab";
  return join(process.env["XDG_RUNTIME_DIR"] ?? tmpdir(), `breakwater-lab-${process.getuid?.() ?? 0}`);
}

/** @throws BreakwaterError BW_USAGE for a name that is no file name of up to 30 characters */
export function labPaths(name: string): LabPaths {
  if (!/^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$/.test(name)) {
    throw new BreakwaterError("BW_USAGE", `"${name}" cannot be a lab's name`, {
      remedy: "Use up to 30 lower-case letters, digits and dashes",
    });
  }
  const root = join(labParent(), name);
  return {
    root,
    netns: join(root, "netns"),
    control: join(root, "control.sock"),
    kubeconfig: join(root, "kubeconfig"),
    nodeKubeconfig: join(root, "node-kubeconfig"),
    logs: join(root, "log"),
    routers: join(root, "routers"),
    process: join(root, "process.json"),
  };
}

export function nodePaths(lab: LabPaths, node: string): NodePaths {
  const root = join(lab.root, "nodes", node);
  return {
    root,
    stateDir: join(root, "run"),
    cniSocket: join(root, "run", "cni.sock"),
    cniConfDir: join(root, "cni", "net.d"),
    cniBinDir: join(root, "cni", "bin"),
  };
}
