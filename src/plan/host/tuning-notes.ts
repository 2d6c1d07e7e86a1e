/** What a person should know who sets a sysctl from an old guide: what it does not do, or what it would undo. */
import { sysctlFields, sysctlNumber } from "../../model/sysctl-value.ts";
import type { KnownSysctl, TuningValue } from "../../model/tuning.ts";

interface Noted extends Pick<TuningValue, "name" | "value"> {
  readonly known: KnownSysctl | undefined;
  readonly current: string;
}

/** Where kube-apiserver puts NodePorts unless told otherwise. */
const NODE_PORTS = { first: 30_000, last: 32_767 } as const;

export function tuningNotes({ name, value, known }: Noted): string[] {
  return [...special(name, value), ...scopeNotes(known)];
}

function special(name: string, value: string): string[] {
  switch (name) {
    case "net/ipv4/tcp_fastopen":
      return ((sysctlNumber(value) ?? 0n) & 2n) === 0n ? [] : [FAST_OPEN];
    case "net/ipv4/tcp_rmem":
      return sysctlFields(value)[1] === "87380" ? [OLD_RMEM] : [];
    case "net/ipv4/tcp_tw_reuse":
      return ["the kernel's document: not to be changed without advice of experts; 2, the default, is loopback only"];
    case "net/ipv4/tcp_low_latency":
      return ["does nothing since Linux 4.14"];
    case "net/ipv4/ip_local_port_range":
      return overlapsNodePorts(value) ? [NODE_PORT_CLASH] : [];
    case "net/core/default_qdisc":
      return ["devices that are there keep the queue that they have"];
    default:
      return [];
  }
}

const FAST_OPEN =
  "does nothing by itself: the server has to ask for it (TCP_FASTOPEN), and the client, too (MSG_FASTOPEN or TCP_FASTOPEN_CONNECT)";
const OLD_RMEM =
  "87380 was the default until Linux 4.20: it is 131072 since, so pasting it makes connections begin with less";
const NODE_PORT_CLASH =
  "ports 30000-32767 are those of NodePorts: reserve them in net.ipv4.ip_local_reserved_ports, or a client takes one";

function overlapsNodePorts(value: string): boolean {
  const [first = 0, last = 0] = sysctlFields(value).map(Number);
  return first <= NODE_PORTS.last && last >= NODE_PORTS.first;
}

function scopeNotes(known: KnownSysctl | undefined): string[] {
  if (known?.scope === "namespace")
    return ["of the host's own network alone: each pod has its own, which is not touched"];
  if (known?.scope === "inherited")
    return ["pods that start later begin with the host's value; those that run keep theirs"];
  return [];
}
