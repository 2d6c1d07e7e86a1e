/**
 * Every error code with what it means and what helps. docs/reference/errors.md is made from this table, and a test holds
 * that each code in the source is here and each one here is raised somewhere.
 */

export interface ErrorCode {
  readonly meaning: string;
  readonly remedy: string;
}

const code = (meaning: string, remedy: string): ErrorCode => ({ meaning, remedy });

/** CNI_ERROR codes beside the spec's: docs/design/cni.md. */
export const ERROR_CODES: Readonly<Record<string, ErrorCode>> = {
  BW_AGENT_AWAY: code(
    "No agent answers on this node, or it cannot answer",
    "Run the command where 'breakwater agent' runs, with the agent's --metrics-address",
  ),
  BW_API_LISTEN: code("The lab's API server cannot listen", "End the program that has the port, or choose another"),
  BW_BENCH_PEER: code("One end of a measurement ended too early", "Read what it said"),
  BW_BGP: code(
    "This node's agent has nothing to do with BGP",
    "Start it with --routing bgp, or make a BGPPeer that selects this node",
  ),
  BW_BGP_BIRD: code(
    "BIRD is not installed, or does not start: routing by BGP needs it",
    "apt-get install bird2; where it is, read bird/bird.log in the state directory",
  ),
  BW_BGP_CONFIG: code(
    "BIRD refuses the configuration that was written for it, and keeps the one before",
    "Use BIRD 2.0.8 or newer, and report the line that it names",
  ),
  BW_BGP_CONTROL: code(
    "BIRD does not answer on its control socket",
    "Read bird/bird.log in the state directory; a BIRD that hangs is ended and started anew by itself",
  ),
  BW_BGP_FORBIDDEN: code(
    "BGPPeers or the BGPConfiguration may not be read: routing by BGP goes on without them",
    "Let the agent's user get, list and watch bgppeers and bgpconfigurations of the group breakwater.dev",
  ),
  BW_BGP_NO_PEER: code(
    "A node that routes by BGP has nobody to have a session with",
    "Make a BGPPeer that selects it, or let nodes have sessions with each other (nodeMesh)",
  ),
  BW_BGP_PASSWORD: code(
    "The password of a BGP peer cannot be read or used: there is no session without it",
    "Make the Secret that the peer names, with a password of 1 to 80 bytes without quotes",
  ),
  BW_BGP_PEER_ADDRESS: code(
    "A BGP peer's address is not one that this node can have a session with",
    "Correct the address or the nodes that it selects; say multihop where routers are between",
  ),
  BW_BGP_PEER_TAKEN: code(
    "Two BGP peers of a node have one address: the one whose name comes first has the session",
    "Delete one of them, or let them select different nodes",
  ),
  BW_BGP_SETTINGS: code(
    "The BGPConfiguration cannot be used: nodes go on with what they have",
    "kubectl describe bgpconfiguration default says what of it is not understood",
  ),
  BW_CNI: code("A CNI call failed", "Read its message and details"),
  BW_CNI_CHAINED_PLUGIN: code(
    "A plugin of the CNI chain cannot be asked which versions it speaks",
    "Install it in --cni-bin-dir, or leave it out of --cni-chain",
  ),
  BW_CNI_CONFLIST: code(
    "The CNI configuration cannot be written or removed",
    "See that --cni-conf-dir exists and can be written",
  ),
  BW_CNI_CONFLIST_FOREIGN: code(
    "A file of the name 10-breakwater.conflist was written by somebody else",
    "Move it away",
  ),
  BW_CNI_INSTALL: code(
    "The CNI plugin cannot be copied to the runtime's folder",
    "See that --cni-bin-dir can be written",
  ),
  BW_CNI_NETNS: code(
    "The namespace that the runtime named does not exist",
    "The runtime removed it: it will try again by itself",
  ),
  BW_CNI_SOCKET: code("The CNI socket cannot be opened", "See that --state-dir can be written"),
  BW_CNI_SOCKET_IN_USE: code("Another agent serves this node", "Stop it first; one agent a node"),
  BW_CNI_TRY_AGAIN_LATER: code(
    "The node cannot attach pods yet",
    "Wait: the runtime tries again; /readyz says what is missing",
  ),
  BW_DEVICE_FEATURE: code(
    "A device does not let a feature (an offload) be switched",
    "See what it allows: ethtool -k DEVICE",
  ),
  BW_DISK: code(
    "The disk of a folder cannot be measured",
    "Read errno: the folder is not there, cannot be written, or is full",
  ),
  BW_EXPLAIN: code(
    "A question about NetworkPolicies cannot be answered as it was asked",
    "Read the message: it says what there is to ask about",
  ),
  BW_ETCD: code(
    "etcd's metrics cannot be read: it does not answer, TLS does not fit, or it is not etcd",
    "The message says which, and what to give: an address, --etcd-ca, --etcd-cert, --etcd-key",
  ),
  BW_FLOWTABLE: code(
    "--flowtable is asked for on a kernel without flowtables; connections take the ordinary path",
    "Use a kernel with CONFIG_NF_FLOW_TABLE_INET and CONFIG_NFT_FLOW_OFFLOAD, or leave the option out",
  ),
  BW_GENETLINK_FAMILY: code(
    "The kernel has no generic netlink family of that name",
    "Load its module, or use a kernel that has it",
  ),
  BW_HEALTH_LISTEN: code("Health and metrics cannot be served", "Give another --metrics-address"),
  BW_IPAM_EXHAUSTED: code(
    "Every address of the node's pod CIDR is in use",
    "Give nodes larger pod CIDRs, or fewer pods (--max-pods)",
  ),
  BW_IPAM_IN_USE: code("The requested address belongs to another pod", "Ask for another, or delete that pod"),
  BW_IPAM_NO_CIDR: code(
    "The node has no pod CIDR",
    "Run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr",
  ),
  BW_IPAM_OUTSIDE: code(
    "The requested address is not in this node's pod CIDR",
    "Ask for one that is, or put the pod on the right node",
  ),
  BW_IPAM_REQUEST: code(
    "The request for an address cannot be read",
    "Correct the annotation breakwater.dev/ip or the ips capability",
  ),
  BW_IPAM_RESERVED: code("The requested address is the network or broadcast address", "Ask for another"),
  BW_IPVS_SCHEDULER: code(
    "The kernel has no IPVS scheduler of that name",
    "Load its module (modprobe ip_vs_NAME), or choose another with --ipvs-scheduler",
  ),
  BW_JOURNAL_CORRUPT: code(
    "The journal of pod addresses is damaged",
    "The message says how to go on without losing addresses in use",
  ),
  BW_JOURNAL_READ: code("The journal of pod addresses cannot be read", "See to the rights and health of --state-dir"),
  BW_JOURNAL_WRITE: code(
    "The journal of pod addresses cannot be written",
    "Make room on the file system of --state-dir",
  ),
  BW_KUBE_CONFIG: code("No usable way to the API", "Correct the file and field that the message names"),
  BW_KUBE_CONFLICT: code("The object was changed by somebody else meanwhile", "Tried again by itself"),
  BW_KUBE_CONNECTION: code("The API cannot be reached", "Check the address, the network and the API server"),
  BW_KUBE_FORBIDDEN: code(
    "The API refuses this identity",
    "Allow it get, list and watch on nodes, pods and namespaces",
  ),
  BW_KUBE_GONE: code("The requested history is no longer kept", "Listed anew by itself"),
  BW_KUBE_HISTORY: code("The API's history went back or cannot be followed", "Listed anew by itself"),
  BW_KUBE_INVALID: code("The API refuses the object", "A defect of Breakwater: report it with the message"),
  BW_KUBE_NOT_FOUND: code("There is no such object", "Check its name and namespace"),
  BW_KUBE_OVERLOADED: code("The API server asks for patience", "Tried again by itself, as late as it asks"),
  BW_KUBE_PROXY_ABSENT: code(
    "Services are left to kube-proxy (--keep-kube-proxy), and there is no sign of one",
    "Start kube-proxy on the node, or leave --keep-kube-proxy out",
  ),
  BW_KUBE_PROXY_RUNNING: code(
    "kube-proxy runs beside Breakwater: both rewrite what goes to Services",
    "kubectl -n kube-system delete daemonset kube-proxy; or --keep-kube-proxy",
  ),
  BW_KUBE_PROXY_STATE: code(
    "kube-proxy left its rules on the node",
    "Let Breakwater remove them: --replace-kube-proxy; or --keep-kube-proxy",
  ),
  BW_KUBE_REJECTED: code("The API answered a status that has no code of its own", "Read the message"),
  BW_KUBE_RESPONSE: code(
    "The API answered something that is no Kubernetes object",
    "Check that the address is an API server's",
  ),
  BW_KUBE_SERVER: code("The API server failed (5xx)", "Read the API server's log; tried again by itself"),
  BW_KUBE_STOPPED: code("Stopped before the first list", "None: the program is ending"),
  BW_KUBE_TIMEOUT: code("The API did not answer in time", "Check the network and the API server's load"),
  BW_KUBE_UNAUTHORIZED: code("The API does not know this identity", "Renew the token or certificate"),
  BW_LAB: code("The lab failed in a way that has no code of its own", "Read the message and the lab's log"),
  BW_LAB_CERTIFICATE: code("openssl did not make the lab's certificate", "apt-get install openssl"),
  BW_LAB_CNI: code("A CNI call of the lab's kubelet failed", "Read the message: it is the plugin's"),
  BW_LAB_DEMO: code("The demonstration found pods that do not reach each other", "Read the agents' logs"),
  BW_LAB_DOWN: code("There is no such lab, or it does not answer", "breakwater lab up, or name another with --name"),
  BW_LAB_NOT_READY: code("Nodes or pods did not become ready in time", "The lab stays up: read its log folder"),
  BW_LAB_REDIS: code("There is no redis-server for the demonstration", "apt-get install redis-tools"),
  BW_LAB_ROUTER: code(
    "A router of the lab's fabric is not installed, does not start or does not do what it is told",
    "apt-get install frr gobgpd; where they are, read the router's logs in the lab's folder",
  ),
  BW_LAB_START: code("The lab's namespaces or processes cannot be made", "The message has the last lines of its log"),
  BW_LAB_TARGET: code(
    "A pod, node, Service or address that the lab does not have",
    "kubectl get pods -A; breakwater lab status",
  ),
  BW_MANIFEST: code("A manifest cannot be used", "Correct the file, document and field that the message names"),
  BW_MODULE: code(
    "A kernel module cannot be loaded, or its file for the boot not written",
    "'breakwater host' says how it stands; load it on the machine, or do without the feature that it names",
  ),
  BW_NETLINK: code("The kernel refused a change or a question", "The message has the kernel's own sentence"),
  BW_NETLINK_DUMP: code("A table changed during each attempt to list it", "Tried again by itself"),
  BW_NETLINK_IO: code("A netlink socket failed", "Read errno; report it when it lasts"),
  BW_NETLINK_TRUNCATED: code(
    "An answer of the kernel was larger than any that is known",
    "A defect of Breakwater: report it",
  ),
  BW_NETNS: code("There is no network namespace at that path", "Check that the container still runs"),
  BW_NFTABLES: code(
    "The kernel refused a step of an nftables transaction; nothing was changed",
    "The message names the step and the kernel's sentence",
  ),
  BW_NODE_ADDRESS: code("No interface of this machine has the node's InternalIP", "Check the kubelet's --node-ip"),
  BW_NODE_UNKNOWN: code("The API has no Node of this name", "Check --node-name against kubectl get nodes"),
  BW_NOT_READY: code("The agent has no plan yet", "Wait until it has seen the cluster; /readyz says what is missing"),
  BW_NOT_ROOT: code("The command needs rights that it does not have", "Run it as root, or do what the message says"),
  BW_NO_POD_CIDR: code(
    "The node has no pod CIDR yet",
    "Run kube-controller-manager with --allocate-node-cidrs, or set spec.podCIDRs",
  ),
  BW_OPERATION: code(
    "An operation failed for a reason that has no code of its own",
    "Tried again by itself; read the message",
  ),
  BW_PATH_MTU: code("A path carries less than IPv6 needs", "Raise the MTU of the underlay"),
  BW_PEER_ADDRESS: code("A peer node has no address of a family that is needed", "Give its kubelet such a --node-ip"),
  BW_PEER_BEHIND_ROUTER: code(
    "A peer is behind a router, and routing is direct, or bgp without a peer that knows the way",
    "Use routing auto or vxlan, or tell the routers",
  ),
  BW_PEER_ROUTING: code(
    "Two nodes with a router between them do not route the same way, one of them by BGP: they have no routes to each other",
    "Give both nodes the same --routing, or both a BGPPeer for the routers between them",
  ),
  BW_POD_CIDR_OVERLAP: code(
    "Two nodes claim overlapping pod CIDRs",
    "Delete the node that came later and let it join again",
  ),
  BW_POD_INTERFACE_EXISTS: code(
    "The pod's interface exists already",
    "Delete the sandbox: the runtime makes a new one",
  ),
  BW_POLICY: code(
    "A pod's NetworkPolicies cannot be enforced, so it gets no network",
    "Read why: the API or the kernel cannot be read; the runtime tries again",
  ),
  BW_PROBE_PORT: code(
    "The port for MTU probes cannot be opened: the MTU is planned, not proven",
    "Free it, or give all agents another --probe-port",
  ),
  BW_PROC_NET: code("The kernel's network counters cannot be read", "See that /proc is mounted and shows this process"),
  BW_REFUSED: code("The command was refused, to keep something from harm", "The message says what stands in the way"),
  BW_SERVICES: code(
    "Services cannot be shown or compared on this node",
    "Read what it says of the node's agent: another proxy serves them, or the kernel or the API cannot be read yet",
  ),
  BW_SOCKET: code("A socket of the lab cannot be opened", "Read errno"),
  BW_SYSCALL: code("A system call failed", "Read errno"),
  BW_SYSCTL: code("A kernel setting cannot be read or set", "See that /proc/sys can be written, and the kernel has it"),
  BW_TUNING: code(
    "A tuning profile or the record of what it changed cannot be used",
    "The message names the file and the key; docs/design/host.md has the form of a profile",
  ),
  BW_USAGE: code("A mistake on the command line", "See --help of the command"),
  BW_WATCH: code(
    "A write to the API was acknowledged, and no watch told of it in time",
    "See the API server's log and its load",
  ),
  BW_XTABLES: code(
    "A table of iptables-legacy cannot be read or replaced",
    "Read errno; EAGAIN: somebody changed it meanwhile, tried again by itself",
  ),
  BW_XTABLES_LOCK: code(
    "The lock of iptables-legacy cannot be had",
    "Tried again by itself; in a container mount the host's /run/xtables.lock",
  ),
};
