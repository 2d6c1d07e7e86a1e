/**
 * The tuning profiles. Opt-in: without one only what Breakwater needs is set. Each value stands for a cause that was seen
 * on clusters, and none is set where the machine has a better one (tuning.ts).
 */
import type { TuningProfile, TuningProfileName, TuningValue } from "../../model/tuning.ts";

const MiB = 1024 * 1024;
const BUFFERS = "one flow over a long or fast path (bandwidth times delay) needs more than the default";
const BACKLOG = "packets through veth and RPS wait in a queue a CPU: column 2 of /proc/net/softnet_stat counts drops";
const SQUEEZE = "column 3 of /proc/net/softnet_stat: the kernel stopped with packets left, for count or time";

const value = (name: string, text: string | number, reason: string): TuningValue => ({
  name,
  value: String(text),
  reason,
});

const AFTER_IDLE = value(
  "net/ipv4/tcp_slow_start_after_idle",
  0,
  "a connection that was idle for a round of RTO begins slowly again: requests over kept connections pay for that",
);

const THROUGHPUT: readonly TuningValue[] = [
  value("net/core/rmem_max", 64 * MiB, `what SO_RCVBUF may ask for: ${BUFFERS}`),
  value("net/core/wmem_max", 64 * MiB, `what SO_SNDBUF may ask for: ${BUFFERS}`),
  value("net/ipv4/tcp_rmem", `4096 131072 ${64 * MiB}`, `most of it: ${BUFFERS}`),
  value("net/ipv4/tcp_wmem", `4096 16384 ${64 * MiB}`, `most of it: ${BUFFERS}`),
  value("net/core/netdev_max_backlog", 16384, BACKLOG),
  value("net/core/netdev_budget", 600, SQUEEZE),
  value("net/core/netdev_budget_usecs", 8000, SQUEEZE),
  value("net/ipv4/tcp_mtu_probing", 1, "the host's own connections find their way through a path MTU black hole"),
  AFTER_IDLE,
];

const LATENCY: readonly TuningValue[] = [
  AFTER_IDLE,
  value("net/core/busy_read", 50, "a read waits so long on the device's queue before it sleeps; costs CPU and power"),
  value("net/core/busy_poll", 50, "the same for poll and select; costs CPU and power"),
  value("net/core/netdev_max_backlog", 16384, `${BACKLOG}; one lost segment costs 200 ms`),
  value("net/ipv4/tcp_mtu_probing", 1, "the host's own connections find their way through a path MTU black hole"),
];

const MANY_NEIGHBOURS =
  'nodes and hosts of a large subnet are more neighbours than the default allows: "neighbour: table overflow"';

const SCALE: readonly TuningValue[] = [
  value("net/netfilter/nf_conntrack_buckets", 262_144, "a full table drops new connections; the table has to fit it"),
  value("net/netfilter/nf_conntrack_max", 1_048_576, 'a full table drops new connections: "table full" in dmesg'),
  value(
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    86_400,
    "connections whose ends vanished fill the table for five days; kube-proxy sets a day, too",
  ),
  ...([4, 6] as const).flatMap((family) => [
    value(`net/ipv${family}/neigh/default/gc_thresh3`, 32_768, MANY_NEIGHBOURS),
    value(`net/ipv${family}/neigh/default/gc_thresh2`, 16_384, MANY_NEIGHBOURS),
    value(`net/ipv${family}/neigh/default/gc_thresh1`, 4096, MANY_NEIGHBOURS),
  ]),
  value("net/core/somaxconn", 16_384, "the longest accept queue that listen() may ask for, on the host's network"),
  value("net/ipv4/tcp_max_syn_backlog", 16_384, "handshakes that are not over, of listeners on the host's network"),
  value("net/ipv4/ip_local_reserved_ports", "30000-32767", "a NodePort is taken from the host's own clients"),
  value("net/core/netdev_max_backlog", 16384, BACKLOG),
  value("fs/inotify/max_user_instances", 8192, 'each container that watches files takes one: "too many open files"'),
  value("fs/inotify/max_user_watches", 524_288, 'each file that a container watches takes one: "no space left"'),
  value("kernel/pid_max", 4_194_304, "all threads of all pods"),
];

export const PROFILES: Readonly<Record<TuningProfileName, TuningProfile>> = {
  off: { name: "off", values: [] },
  throughput: { name: "throughput", values: THROUGHPUT },
  latency: { name: "latency", values: LATENCY },
  scale: { name: "scale", values: SCALE },
};
