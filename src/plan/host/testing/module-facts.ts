/** A machine with Debian's kernel, as far as its modules go. */
import type { ModuleTexts } from "../../../model/host-modules.ts";

const DEP = `kernel/drivers/net/dummy.ko.xz:
kernel/drivers/net/veth.ko.xz:
kernel/drivers/net/wireguard/wireguard.ko.zst: kernel/lib/crypto/libchacha20poly1305.ko.zst kernel/net/ipv4/udp_tunnel.ko.gz
kernel/lib/crypto/libchacha20poly1305.ko.zst:
kernel/net/ipv4/udp_tunnel.ko.gz:
kernel/net/ipv6/ip6_udp_tunnel.ko:
kernel/drivers/net/vxlan/vxlan.ko: kernel/net/ipv6/ip6_udp_tunnel.ko kernel/net/ipv4/udp_tunnel.ko.gz
kernel/lib/libcrc32c.ko:
kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko:
kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko:
kernel/net/netfilter/nf_conntrack.ko: kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko kernel/lib/libcrc32c.ko
kernel/net/netfilter/ipvs/ip_vs.ko: kernel/net/netfilter/nf_conntrack.ko kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko kernel/lib/libcrc32c.ko
kernel/net/netfilter/ipvs/ip_vs_rr.ko: kernel/net/netfilter/ipvs/ip_vs.ko kernel/net/netfilter/nf_conntrack.ko kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko kernel/lib/libcrc32c.ko
kernel/fs/ext4/ext4.ko:
kernel/crypto/crc32c_generic.ko:
`;

export const DEBIAN: ModuleTexts = {
  release: "6.1.0-56-amd64",
  procModules: "veth 36864 0 - Live 0x0000\ndummy 16384 0 - Loading 0x0000\n",
  sysModules: ["veth", "ipv6", "tcp_cubic"],
  folder: "/lib/modules/6.1.0-56-amd64",
  dep: DEP,
  builtin: "kernel/net/ipv4/tcp_cubic.ko\nkernel/net/802/stp.ko\n",
  rules: [
    { path: "/lib/modules/6.1.0-56-amd64/modules.softdep", text: "softdep ext4 pre: crypto-crc32c gone post: dummy\n" },
    {
      path: "/lib/modules/6.1.0-56-amd64/modules.alias",
      text: "alias crypto-crc32c crc32c_generic\nalias rtnl-link-vxlan vxlan\nalias net-pf-16-proto-16-family-IP?S ip_vs\n",
    },
  ],
  config: "CONFIG_VXLAN=m\nCONFIG_IP_VS=m\nCONFIG_NF_TABLES=m\n# CONFIG_BIG is not set\nCONFIG_BRIDGE_NETFILTER=y\n",
  commandLine: "BOOT_IMAGE=/vmlinuz quiet",
};

/** The same with files of modprobe.d. */
export function withModprobe(text: string, path = "/etc/modprobe.d/local.conf"): ModuleTexts {
  return { ...DEBIAN, rules: [{ path, text }, ...DEBIAN.rules] };
}
