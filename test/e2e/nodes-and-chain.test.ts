/** Nodes that leave, come back and change; Debian's plugins chained behind ours; many pods at once. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import { KubeClient } from "../../src/kube/client.ts";
import { loadConnection } from "../../src/kube/config.ts";
import { nodes } from "../../src/kube/resource.ts";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
after(() => home.close());

const PLUGINS = "/usr/lib/cni";

test("nodes that leave, come back, or change address and pod CIDR are followed", async () => {
  const up = await home.lab("nodes", "up", "--nodes", "3", "--subnets", "2");
  assert.equal(up.code, 0, up.stderr);
  const routes = async () =>
    (await home.lab("nodes", "exec", "node/node1", "--", "sh", "-c", "ip route; bridge fdb show dev bwvxlan")).stdout;
  const saved = JSON.parse((await home.kubectl("nodes", ["get", "node", "node3", "-o", "json"])).stdout);
  assert.match(await routes(), /10\.244\.3\.0\/24 via 192\.168\.1\.13/);

  await home.kubectl("nodes", ["delete", "node", "node3"]);
  await eventually(2000, async () => assert.doesNotMatch(await routes(), /10\.244\.3\.0/));

  const { name, labels } = saved.metadata;
  const back = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: { podCIDR: "10.244.33.0/24", podCIDRs: ["10.244.33.0/24"] },
  };
  const applied = await home.kubectl("nodes", ["create", "-f", "-"], JSON.stringify(back));
  assert.equal(applied.code, 0, applied.stderr);
  // Debian's kubectl has no --subresource yet: the status is written as a kubelet does it.
  const client = new KubeClient(await loadConnection({ kubeconfig: home.kubeconfig("nodes") }));
  const setAddress = (ip: string) => {
    const status = { addresses: [{ type: "InternalIP", address: ip }] };
    return client.patch({ resource: nodes, name: "node3", subresource: "status" }, { status }, { type: "merge" });
  };
  await setAddress("192.168.1.13");
  await eventually(2000, async () => assert.match(await routes(), /10\.244\.33\.0\/24 via 192\.168\.1\.13 dev eth0/));

  // The node moves behind the router: its route becomes VXLAN, with an entry for the new address.
  await setAddress("192.168.2.13");
  await eventually(2000, async () => {
    const now = await routes();
    assert.match(now, /10\.244\.33\.0\/24 via 10\.244\.33\.0 dev bwvxlan/);
    assert.match(now, /dst 192\.168\.2\.13 self permanent/);
    assert.doesNotMatch(now, /10\.244\.33\.0\/24 via 192\.168\.1\.13/);
  });
  client.close();
});

test("portmap and bandwidth work chained behind us", {
  skip: existsSync(`${PLUGINS}/portmap`) ? false : `no ${PLUGINS}/portmap`,
}, async () => {
  const pod = podManifest(
    "chained",
    {},
    { annotations: { "kubernetes.io/egress-bandwidth": "10M", "kubernetes.io/ingress-bandwidth": "10M" } },
  );
  const [container] = (pod as { spec: { containers: { ports: object[] }[] } }).spec.containers;
  if (container !== undefined) container.ports = [{ containerPort: 80, hostPort: 8088 }];
  const file = home.write("chained.json", JSON.stringify(pod));
  const up = await home.lab("chain", "up", "--nodes", "1", "--cni-chain", "portmap,bandwidth", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  const probe = await home.lab(
    "chain",
    "probe",
    "--from",
    "node/outside",
    "--to",
    "192.168.1.11",
    "--port",
    "8088",
    "-o",
    "json",
  );
  assert.equal(JSON.parse(probe.stdout).answer, "default/chained", probe.stdout);
  const qdisc = await home.lab("chain", "exec", "node/node1", "--", "tc", "qdisc", "show");
  assert.match(qdisc.stdout, /qdisc tbf .* dev bwh\S+ .*rate 10Mbit/, "bandwidth shapes the host end");
  const deleted = await home.kubectl("chain", ["delete", "pod", "chained", "--timeout=30s"]);
  assert.equal(deleted.code, 0, deleted.stderr);
  const rules = await home.lab("chain", "exec", "node/node1", "--", "sh", "-c", "iptables-save; ip -o link");
  assert.doesNotMatch(rules.stdout, /8088|bwh/, "DEL took the mapping and the link away");
});

test("a hundred pods on one node come up at once, each with an address of its own, and go without a trace", async () => {
  const items = Array.from({ length: 100 }, (_, i) => podManifest(`many${i}`));
  const file = home.write("many.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await home.lab("many", "up", "--nodes", "1", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  const { stdout } = await home.kubectl("many", ["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"]);
  assert.equal(new Set(stdout.split(" ")).size, 100);
  // kubectl would look at five pods a second, by a limit of its own.
  await home.kubectl("many", ["delete", "pods", "--all", "--wait=false"]);
  await eventually(10_000, async () => {
    const left = await home.lab(
      "many",
      "exec",
      "node/node1",
      "--",
      "sh",
      "-c",
      "ip -o link | grep -c bwh; ip route | grep -c bwh",
    );
    assert.equal(left.stdout, "0\n0\n");
  });
});
