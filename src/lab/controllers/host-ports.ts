/**
 * Ports of a node that its Pods take for themselves: two of them cannot have the same one (the NodePorts plugin of
 * kube-scheduler, HostPortInfo).
 */
import { at, type KubeObject, listOf, textOf } from "../api/object/object.ts";

export interface HostPort {
  /** "" for every address of the node. */
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

const EVERY = new Set(["", "0.0.0.0", "::"]);

/** Ports of containers and sidecars; a Pod on the host network takes those it names. */
export function hostPortsOf(pod: KubeObject): HostPort[] {
  const sidecars = listOf(at(pod, "spec", "initContainers")).filter((item) => at(item, "restartPolicy") === "Always");
  return [...listOf(at(pod, "spec", "containers")), ...sidecars].flatMap((container) =>
    listOf(at(container, "ports")).flatMap((entry) => {
      const port = Number(at(entry, "hostPort") ?? 0);
      const ip = textOf(at(entry, "hostIP"));
      return port === 0
        ? []
        : [{ ip: EVERY.has(ip) ? "" : ip, protocol: textOf(at(entry, "protocol")) || "TCP", port }];
    }),
  );
}

/** True when a port is asked for by both, on addresses that overlap. */
export function hostPortsClash(wanted: readonly HostPort[], taken: readonly HostPort[]): boolean {
  return wanted.some(({ ip, protocol, port }) =>
    taken.some(
      (other) =>
        other.port === port && other.protocol === protocol && (ip === "" || other.ip === "" || ip === other.ip),
    ),
  );
}
