/**
 * What is known of the sysctls that profiles set, or that people bring from old guides. Defaults and units are those of
 * the kernel's documents (Documentation/networking/ip-sysctl.rst, nf_conntrack-sysctl.rst, admin-guide/sysctl/net.rst).
 */
import type { KnownSysctl } from "../../model/tuning.ts";

const IP = "Documentation/networking/ip-sysctl.rst";
const NET = "Documentation/admin-guide/sysctl/net.rst";
const CONNTRACK = "Documentation/networking/nf_conntrack-sysctl.rst";
const FS = "Documentation/admin-guide/sysctl/fs.rst";
const KERNEL = "Documentation/admin-guide/sysctl/kernel.rst";

const known = (
  name: string,
  unit: string,
  kernelDefault: string,
  rule: KnownSysctl["rule"],
  scope: KnownSysctl["scope"],
  source: string,
): KnownSysctl => ({ name, unit, kernelDefault, rule, scope, source });

const LIST: readonly KnownSysctl[] = [
  known("net/core/rmem_max", "bytes", "212992; 4194304 on newer kernels", "at-least", "node", NET),
  known("net/core/wmem_max", "bytes", "212992; 4194304 on newer kernels", "at-least", "node", NET),
  known(
    "net/ipv4/tcp_rmem",
    "bytes: least, first, most of a socket's receive buffer",
    "4096 131072 6291456; most up to 33554432 by RAM on newer kernels",
    "at-least",
    "inherited",
    IP,
  ),
  known(
    "net/ipv4/tcp_wmem",
    "bytes: least, first, most of a socket's send buffer",
    "4096 16384 4194304",
    "at-least",
    "inherited",
    IP,
  ),
  known("net/ipv4/tcp_mtu_probing", "", "0", "at-least", "namespace", IP),
  known("net/ipv4/tcp_slow_start_after_idle", "", "1", "exactly", "namespace", IP),
  known("net/ipv4/tcp_fastopen", "bits: 1 client, 2 server", "1", "exactly", "namespace", IP),
  known("net/ipv4/tcp_tw_reuse", "", "2 (loopback only)", "exactly", "namespace", IP),
  known("net/ipv4/tcp_congestion_control", "", "cubic, or as the kernel was built", "exactly", "inherited", IP),
  known("net/ipv4/tcp_max_syn_backlog", "connections", "128 to 4096 by RAM", "at-least", "namespace", IP),
  known("net/ipv4/tcp_notsent_lowat", "bytes", "4294967295 (none)", "at-most", "namespace", IP),
  known("net/core/somaxconn", "connections", "4096 since Linux 5.4, 128 before", "at-least", "namespace", IP),
  known("net/ipv4/ip_local_port_range", "ports: first, last", "32768 60999", "widest", "namespace", IP),
  known("net/ipv4/ip_local_reserved_ports", "ports", "none", "with", "namespace", IP),
  known("net/core/netdev_max_backlog", "packets a CPU", "1000", "at-least", "node", NET),
  known("net/core/netdev_budget", "packets a poll", "300", "at-least", "node", NET),
  known(
    "net/core/netdev_budget_usecs",
    "µs a poll",
    "2 ticks: 2000 at HZ=1000, 8000 at HZ=250",
    "at-least",
    "node",
    NET,
  ),
  known("net/core/busy_poll", "µs", "0 (off)", "at-least", "node", NET),
  known("net/core/busy_read", "µs", "0 (off)", "at-least", "node", NET),
  known("net/core/default_qdisc", "", "pfifo_fast, or as the kernel was built", "exactly", "node", NET),
  known(
    "net/netfilter/nf_conntrack_max",
    "connections",
    "as nf_conntrack_buckets: RAM/16384, 1024 to 262144",
    "at-least",
    "node",
    CONNTRACK,
  ),
  known("net/netfilter/nf_conntrack_buckets", "buckets", "RAM/16384, 1024 to 262144", "at-least", "node", CONNTRACK),
  known(
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "seconds",
    "432000 (5 days)",
    "at-most",
    "namespace",
    CONNTRACK,
  ),
  ...([4, 6] as const).flatMap((family) => [
    known(`net/ipv${family}/neigh/default/gc_thresh1`, "entries", "128", "at-least", "node", IP),
    known(`net/ipv${family}/neigh/default/gc_thresh2`, "entries", "512", "at-least", "node", IP),
    known(`net/ipv${family}/neigh/default/gc_thresh3`, "entries", "1024", "at-least", "node", IP),
  ]),
  known("fs/inotify/max_user_instances", "instances a user", "128", "at-least", "node", FS),
  known("fs/inotify/max_user_watches", "watches a user", "8192 to 1048576 by RAM", "at-least", "node", FS),
  known("kernel/pid_max", "pids", "32768; systemd sets 4194304", "at-least", "node", KERNEL),
];

export const KNOWN_SYSCTLS: ReadonlyMap<string, KnownSysctl> = new Map(LIST.map((entry) => [entry.name, entry]));

/** Sysctls that guides still name, with since when the kernel is without them. */
export const FORMER_SYSCTLS: Readonly<Record<string, string>> = {
  "net/ipv4/tcp_tw_recycle": "gone since Linux 4.12: it broke clients behind NAT",
  "net/ipv4/netfilter/ip_conntrack_max": "called net.netfilter.nf_conntrack_max since Linux 2.6.20",
  "net/ipv4/ip_conntrack_max": "called net.netfilter.nf_conntrack_max since Linux 2.6.20",
};
