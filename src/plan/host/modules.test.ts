import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleTexts } from "../../model/host-modules.ts";
import { planNamedModule } from "./features.ts";
import { moduleFacts } from "./module-facts.ts";
import { planModule } from "./modules.ts";
import { DEBIAN, withModprobe } from "./testing/module-facts.ts";

const plan = (module: string, texts: ModuleTexts = DEBIAN, rest: { option?: string; since?: string } = {}) =>
  planModule({ module, ...rest }, moduleFacts(texts));

test("planModule() tells what is loaded from what is being loaded, and finds built-in code", () => {
  assert.equal(plan("veth").state, "loaded");
  assert.equal(plan("dummy").state, "loadable");
  assert.equal(plan("tcp-cubic").state, "built-in");
  assert.equal(plan("ipv6").state, "built-in", "by /sys/module alone");
  assert.equal(
    plan("br_netfilter", DEBIAN, { option: "CONFIG_BRIDGE_NETFILTER" }).state,
    "built-in",
    "by the kernel's options",
  );
});

test("planModule() loads dependencies first, whatever their files are packed with", () => {
  assert.deepEqual(plan("vxlan").load, ["udp_tunnel", "ip6_udp_tunnel", "vxlan"]);
  assert.deepEqual(plan("wireguard").load, ["udp_tunnel", "libchacha20poly1305", "wireguard"]);
  const schedulers = plan("ip_vs_rr").load;
  assert.deepEqual(schedulers, ["libcrc32c", "nf_defrag_ipv4", "nf_defrag_ipv6", "nf_conntrack", "ip_vs", "ip_vs_rr"]);
});

test("planModule() loads soft dependencies around a module, and does without those that are not there", () => {
  assert.deepEqual(plan("ext4").load, ["crc32c_generic", "ext4", "dummy"]);
  const own = withModprobe("softdep ext4 pre: \\\n  veth dummy\n");
  assert.deepEqual(plan("ext4", own).load, ["dummy", "ext4"], "a line of modprobe.d counts before the module's own");
});

test("planModule() survives soft dependencies that go round", () => {
  const round = withModprobe("softdep dummy pre: ext4\nsoftdep ext4 pre: dummy\n");
  assert.deepEqual(plan("dummy", round).load, ["ext4", "dummy"]);
});

test("planModule() follows aliases with wildcards", () => {
  assert.deepEqual(plan("rtnl-link-vxlan").load.at(-1), "vxlan");
  assert.equal(plan("net-pf-16-proto-16-family-IPVS").state, "loadable");
  const two = withModprobe("alias crypto-crc32c dummy\n");
  assert.deepEqual(plan("crypto-crc32c", two).load, ["dummy", "crc32c_generic"], "all that have it");
});

test("planModule() honours a blacklist and says which line", () => {
  const status = plan("vxlan", withModprobe("# no tunnels\nblacklist vxlan\n"));
  assert.equal(status.state, "blacklisted");
  assert.equal(status.detail, "/etc/modprobe.d/local.conf:2 blacklists it");
  const byKernel = plan("ip-vs", { ...DEBIAN, commandLine: "quiet modprobe.blacklist=foo,ip_vs" });
  assert.match(byKernel.detail, /command line blacklists it/);
});

test("planModule() sees that an install line loads nothing, also of a dependency", () => {
  const hardened = withModprobe("install nf-conntrack /bin/true # hardening\n");
  assert.equal(plan("nf_conntrack", hardened).state, "diverted");
  const scheduler = plan("ip_vs_rr", hardened);
  assert.equal(scheduler.state, "diverted");
  assert.match(scheduler.detail, /it needs nf_conntrack, and \/etc\/modprobe.d\/local.conf:1 has "\/bin\/true/);
});

test("planModule() does not mind that a dependency is blacklisted, as modprobe does not", () => {
  assert.equal(plan("ip_vs", withModprobe("blacklist nf_conntrack\n")).state, "loadable");
});

test("planModule() knows that nf_conntrack_ipv4 is gone since 4.19", () => {
  const now = plan("nf_conntrack_ipv4");
  assert.equal(now.state, "renamed");
  assert.match(now.detail, /gone since Linux 4\.19.*nf_conntrack does its work/);
  assert.match(now.remedy ?? "", /Load nf_conntrack instead/);
  const dep = "kernel/net/ipv4/netfilter/nf_conntrack_ipv4.ko:\n";
  assert.equal(plan("nf_conntrack_ipv4", { ...DEBIAN, release: "4.15.0-20", dep }).state, "loadable");
});

test("planModule() tells an old kernel from one that was built without, and from a missing file", () => {
  const old = { ...DEBIAN, release: "5.4.0", dep: "", config: undefined };
  assert.match(plan("wireguard", old, { since: "5.6" }).detail, /came with Linux 5\.6, and this is 5\.4\.0/);
  assert.match(plan("big", DEBIAN, { option: "CONFIG_BIG" }).detail, /built without CONFIG_BIG/);
  const lost = plan("nf_tables", DEBIAN, { option: "CONFIG_NF_TABLES" });
  assert.match(lost.detail, /CONFIG_NF_TABLES is m, so its file is missing/);
  assert.match(plan("no_such_thing").remedy ?? "", /Check the name/);
});

test("planModule() says what to do where the running kernel's folder is not there", () => {
  const status = plan("vxlan", { ...DEBIAN, dep: undefined });
  assert.equal(status.state, "absent");
  assert.match(status.detail, /no \/lib\/modules\/6\.1\.0-56-amd64\/modules\.dep/);
  assert.match(status.remedy ?? "", /Reboot/);
});

test("planModule() goes by its options alone on a kernel without modules", () => {
  const monolithic = { ...DEBIAN, procModules: undefined, sysModules: [], dep: undefined, builtin: undefined };
  const config = "CONFIG_VXLAN=y\n# CONFIG_IP_VS is not set\n";
  assert.equal(plan("vxlan", { ...monolithic, config }, { option: "CONFIG_VXLAN" }).state, "built-in");
  assert.equal(plan("ip_vs", { ...monolithic, config }, { option: "CONFIG_IP_VS" }).state, "absent");
  assert.equal(plan("ip_vs", { ...monolithic, config: undefined }, { option: "CONFIG_IP_VS" }).state, "unknown");
});

test("planNamedModule() knows the options of the modules that we use, and claims nothing of others where nothing tells", () => {
  const monolithic = { ...DEBIAN, procModules: undefined, sysModules: [], dep: undefined, builtin: undefined };
  const facts = moduleFacts({ ...monolithic, config: "CONFIG_NF_TABLES=y\nCONFIG_EXT4_FS=y\n" });
  assert.equal(planNamedModule("nf-tables", facts).state, "built-in");
  assert.equal(planNamedModule("vxlan", facts).state, "absent");
  const ext4 = planNamedModule("ext4", facts);
  assert.equal(ext4.state, "unknown");
  assert.match(ext4.detail, /which of its options .* is not known here/);
  assert.equal(planNamedModule("ip_vs", moduleFacts(DEBIAN)).state, "loadable");
});
