/** Service addresses announced to a router that is none of ours: a BIRD on the lab's router, which leads what is outside. */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import type { BgpReport } from "../../src/model/bgp-report.ts";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("bgp-services");
const MACHINE = "node/outside";
const PASSWORD = "correct horse";
const [VIP4, VIP6] = ["198.51.100.10", "2001:db8:51::10"];
const EXTERNAL = "198.51.100.99";
const NODES = ["node1", "node2", "node3"];
/** Sessions that were lost are tried again within 10 s, and after errors within 30. */
const SESSION_MS = 60_000;

const own = (kind: string, name: string, spec: object) => ({
  apiVersion: "breakwater.dev/v1alpha1",
  kind,
  metadata: { name },
  spec,
});
const secret = (password: string) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "bgp", namespace: "default" },
  stringData: { router: password },
});
const PEER = own("BGPPeer", "router", {
  address: "192.168.1.1",
  asNumber: 64513,
  passwordSecret: { namespace: "default", name: "bgp", key: "router" },
});
const configuration = (within: readonly string[]) =>
  own("BGPConfiguration", "default", {
    communities: ["64512:100"],
    advertise: { loadBalancerIPs: true, externalIPs: true, within },
  });
const WITHIN = ["198.51.100.0/24", "2001:db8:51::/64"];

/** A router that takes host routes, spreads traffic over all that announce one, and knows nothing of us. */
function routerConfig(folder: string): string {
  const channel = "import all; export none;";
  return [
    `log "${join(folder, "router.log")}" all;`,
    "router id 192.168.1.1;",
    "protocol device { scan time 1; }",
    "protocol kernel { ipv4 { export all; import none; }; merge paths yes; }",
    "protocol kernel { ipv6 { export all; import none; }; merge paths yes; }",
    ...NODES.map((_, i) =>
      [
        `protocol bgp node${i + 1} {`,
        `  local 192.168.1.1 as 64513; neighbor 192.168.1.${11 + i} as 64512; direct; password "${PASSWORD}";`,
        "  connect retry time 2; error wait time 1, 2; connect delay time 1;",
        `  ipv4 { ${channel} }; ipv6 { ${channel} };`,
        "}",
      ].join("\n"),
    ),
    "",
  ].join("\n");
}

const birdc = (...words: string[]) =>
  lab.exec("node/router", "birdc", "-s", join(lab.home.folder, "router.ctl"), ...words);

/** Nodes that lead to a prefix, as the router's BIRD says. */
async function nextHops(prefix: string): Promise<string[]> {
  const text = await birdc("show", "route", "for", prefix, "all").catch(() => "");
  return [...text.matchAll(/\bfrom |\[(node\d) /g)].flatMap(([, name]) => name ?? []).sort();
}

const announcedBy = (prefix: string, nodes: readonly string[], deadlineMs = SETTLED_MS) =>
  eventually(deadlineMs, async () => assert.deepEqual(await nextHops(prefix), nodes));

async function bgpOf(node: string): Promise<BgpReport> {
  const { stdout } = await lab.lab("exec", `node/${node}`, "--", resolve("bin/breakwater"), "bgp", "-o", "json");
  return JSON.parse(stdout) as BgpReport;
}

interface Status {
  readonly conditions?: readonly { readonly status: string }[];
  readonly sessions?: readonly { readonly node: string; readonly state: string }[];
}

/** What the peer's status says of each node. */
async function sessionStates(): Promise<[string, string][]> {
  const { status }: { status?: Status } = JSON.parse(await lab.kubectl("get", "bgppeer", "router", "-o", "json"));
  return (status?.sessions ?? []).map(({ node, state }): [string, string] => [node, state]).sort();
}

before(async () => {
  const shape = ["--nodes", "3", "--routing", "bgp", "--load-balancer"];
  await lab.up([responder("web1", "web", "node1"), responder("web2", "web", "node2")], shape);
  const file = lab.home.write("router.conf", routerConfig(lab.home.folder));
  const [control, pid] = ["router.ctl", "router.pid"].map((name) => join(lab.home.folder, name));
  await lab.exec("node/router", "bird", "-c", file, "-s", control ?? "", "-P", pid ?? "");
  await lab.apply(
    secret(PASSWORD),
    own("LoadBalancerPool", "public", { addresses: [`${VIP4}/32`, `${VIP6}/128`] }),
    configuration(WITHIN),
    PEER,
  );
});
after(() => lab.close());

test("a LoadBalancer's addresses are announced with their communities, and answer from outside without any route set by hand", async () => {
  await lab.apply(service("web", { type: "LoadBalancer", externalIPs: [EXTERNAL, "8.8.8.8"] }));
  await Promise.all([VIP4, VIP6, EXTERNAL].map((ip) => announcedBy(ip, NODES, SESSION_MS)));
  assert.match(await birdc("show", "route", "for", VIP4, "all"), /BGP\.community: \(64512,100\)/);
  const rows = [VIP4, VIP6, EXTERNAL].map((to) => ({ from: MACHINE, to, port: 80, gets: "" }));
  await eventually(SETTLED_MS, async () => {
    for (const { answer, error } of await lab.dial(rows)) assert.match(answer ?? `${error}`, /^default\/web[12]$/);
  });
  // Each node's pods, too.
  assert.deepEqual(await nextHops("10.244.2.0/24"), ["node2"]);
  assert.doesNotMatch(await lab.exec("node/node1", "ip", "route"), /198\.51\.100/, "nodes need no route to them");
  const verified = await lab.lab("exec", "node/node1", "--", resolve("bin/breakwater"), "bgp", "verify");
  assert.deepEqual([verified.code, verified.stderr], [0, ""], verified.stdout);
});

test("an external IP outside what may be announced stays here, and the node says why", async () => {
  assert.deepEqual(await nextHops("8.8.8.8"), []);
  const { services, withheld } = await bgpOf("node1");
  assert.deepEqual(
    withheld.map(({ address, service: name, kind, why }) => [address, name, kind, why]),
    [["8.8.8.8", "default/web", "ExternalIP", "it is outside advertise.within of the BGPConfiguration"]],
  );
  assert.deepEqual(
    services.find(({ prefix }) => prefix === `${VIP4}/32`),
    { prefix: `${VIP4}/32`, reasons: [{ service: "default/web", kind: "LoadBalancer" }] },
  );
});

test("with externalTrafficPolicy Local only nodes with a ready endpoint announce, and sessions stay through it all", async () => {
  const since = async () => (await bgpOf("node1")).sessions.map(({ peer, since: at }) => [peer, at]);
  const before = await since();
  await lab.patch("web", { externalTrafficPolicy: "Local" });
  await announcedBy(VIP4, ["node1", "node2"]);
  await lab.kubectl("delete", "pod", "web2", "--wait=false");
  await announcedBy(VIP4, ["node1"]);
  await lab.settles([VIP4, VIP6].map((to) => ({ from: MACHINE, to, port: 80, gets: "default/web1" })));
  await lab.apply(configuration(["203.0.113.0/24"]));
  await announcedBy(VIP4, []);
  await lab.apply(configuration(WITHIN));
  await announcedBy(VIP4, ["node1"]);
  assert.deepEqual(await since(), before);
});

test("a password that changes ends the session, one that is right again brings it back, and both are told", async () => {
  await lab.apply(secret("wrong"));
  const router = async () => (await bgpOf("node1")).sessions.find(({ peer }) => peer === "router");
  await eventually(SESSION_MS, async () => assert.notEqual((await router())?.state, "Established"));
  await lab.kubectl("delete", "secret", "bgp");
  await eventually(SETTLED_MS, async () => {
    const { problems } = await bgpOf("node1");
    assert.deepEqual(
      problems.map(({ code, object }) => [code, object]),
      [["BW_BGP_PASSWORD", "BGPPeer router"]],
    );
  });
  await eventually(SETTLED_MS, async () =>
    assert.deepEqual(
      await sessionStates(),
      NODES.map((node) => [node, "Down"]),
    ),
  );
  const metrics = () => lab.exec("node/node1", "curl", "-s", "http://127.0.0.1:9098/metrics");
  const counted = /^breakwater_problems\{code="BW_BGP_PASSWORD"\} 1$/m;
  assert.match(await metrics(), counted);
  await lab.apply(secret(PASSWORD));
  await eventually(SETTLED_MS, async () => assert.deepEqual((await bgpOf("node1")).problems, []));
  assert.doesNotMatch(await metrics(), /BW_BGP_PASSWORD/, "what is no problem any more is not counted");
  await announcedBy(VIP4, ["node1"], SESSION_MS);
  const up = NODES.map((node) => [node, "Established"]);
  await eventually(SETTLED_MS, async () => assert.deepEqual(await sessionStates(), up));
  const events = await lab.kubectl("get", "events", "--field-selector", "involvedObject.name=router", "-o", "name");
  assert.match(events, /event\/router\./);
});

test("a peer and a configuration say whether they are understood", async () => {
  const conditions = async (kind: string) => {
    const list = JSON.parse(await lab.kubectl("get", kind, "-o", "json"));
    return list.items.map(({ metadata, status }: { metadata: { name: string }; status?: Status }) => [
      metadata.name,
      status?.conditions?.[0]?.status,
    ]);
  };
  // The API server evaluates no rules of CEL: what a real one refuses comes as far as the agent here.
  await lab.apply(own("BGPPeer", "odd", { address: "1.2.3", asNumber: 23456 }));
  await lab.apply(own("BGPConfiguration", "mine", {}));
  await eventually(SETTLED_MS, async () => {
    assert.deepEqual(await conditions("bgppeers"), [
      ["odd", "False"],
      ["router", "True"],
    ]);
    assert.deepEqual(await conditions("bgpconfigurations"), [
      ["default", "True"],
      ["mine", "False"],
    ]);
  });
});
