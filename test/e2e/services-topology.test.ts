/**
 * Who is sent to which endpoints where Services prefer near ones (KEP-2433, KEP-4444, KEP-3015). Zone 1 is node1 and
 * node4, zone 2 node2 and node5, zone 3 node3.
 */
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("topology");
const NODES = [1, 2, 3, 4, 5];
/** Of a client, as upstream has it. */
const REQUESTS = 10;

const on = (app: string, ...nodes: number[]) =>
  nodes.map((node) => responder(`${app}-${node}`, app, `node${node}`, {}, [{ containerPort: 80 }]));
const preferring = (name: string, trafficDistribution: string, app = name) =>
  service(name, { selector: { app }, trafficDistribution });

before(() =>
  lab.up(
    [
      ...on("client", ...NODES),
      ...on("zones", 1, 2),
      ...on("several", 1, 4, 5),
      ...on("nearest", 1, 2, 4),
      ...on("hinted", 1, 2),
      preferring("close", "PreferClose", "zones"),
      preferring("same-zone", "PreferSameZone", "zones"),
      preferring("several", "PreferClose"),
      preferring("nearest", "PreferSameNode"),
      // Whoever makes its slices: it has no selector.
      service("hinted", { selector: undefined }),
    ],
    ["--nodes", "5", "--subnets", "2", "--zones", "3"],
  ),
);
after(() => lab.close());

/** Clients of these nodes reach exactly these endpoints of a Service, each of them. */
type Row = readonly [clients: readonly number[], pods: readonly string[]];

/** Over both families, with so many requests of each client that one astray would be seen. */
async function reach(name: string, rows: readonly Row[]): Promise<void> {
  const ips = await lab.clusterIps(name);
  const dials = (clients: readonly number[]) =>
    clients.flatMap((node) => ips.map((to) => ({ from: `default/client-${node}`, to, port: 80 })));
  const single = rows.flatMap(([clients, [pod, ...more]]) =>
    more.length > 0 ? [] : dials(clients).map((dial) => ({ ...dial, gets: `default/${pod}` })),
  );
  await eventually(SETTLED_MS, async () => {
    await lab.expect(Array.from({ length: REQUESTS }, () => single).flat());
    for (const [clients, pods] of rows) if (pods.length > 1) await lab.reachesAll(dials(clients), pods);
  });
}

for (const name of ["close", "same-zone"]) {
  test(`svc-58 trafficDistribution, ${name}: a zone with an endpoint reaches its own, one without reaches all`, () =>
    reach(name, [
      [[1, 4], ["zones-1"]],
      [[2, 5], ["zones-2"]],
      [[3], ["zones-1", "zones-2"]],
    ]));
}

test("svc-59 trafficDistribution with several nodes a zone", () =>
  reach("several", [
    [
      [1, 4],
      ["several-1", "several-4"],
    ],
    [[2, 5], ["several-5"]],
    [[3], ["several-1", "several-4", "several-5"]],
  ]));

test("svc-60 PreferSameNode: the node's own endpoint while it is ready, else its zone's, else all", async () => {
  await reach("nearest", [
    [[1], ["nearest-1"]],
    [[2, 5], ["nearest-2"]],
    [[4], ["nearest-4"]],
    [[3], ["nearest-1", "nearest-2", "nearest-4"]],
  ]);
  const remove = (pod: string) => lab.kubectl("delete", "pod", pod, "--timeout=30s");
  await remove("nearest-1");
  await reach("nearest", [
    [[1, 4], ["nearest-4"]],
    [[2, 5], ["nearest-2"]],
  ]);
  await remove("nearest-4");
  await reach("nearest", [[[1, 2, 3, 4, 5], ["nearest-2"]]]);
  await lab.apply(...on("nearest", 1));
  await reach("nearest", [
    [[1, 4], ["nearest-1"]],
    [[2, 5], ["nearest-2"]],
    [[3], ["nearest-1", "nearest-2"]],
  ]);
});

interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly hints?: object;
  readonly conditions?: object;
}

/** Writes the Service's endpoints of both families, one slice each. */
async function hint(
  endpointsOf: (addresses: readonly (readonly string[])[]) => readonly SliceEndpoint[],
): Promise<void> {
  const ips = await Promise.all(["hinted-1", "hinted-2"].map((name) => lab.podIps(name)));
  const slices = ["IPv4", "IPv6"].map((addressType, family) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `hinted-${addressType.toLowerCase()}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": "hinted" },
    },
    addressType,
    ports: [{ name: "", port: 80, protocol: "TCP" }],
    endpoints: endpointsOf(ips.map((both) => [both[family] ?? ""])),
  }));
  await lab.apply(...slices);
}

const forZones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } });

test("svc-61 hints count only where every ready endpoint has them", async () => {
  const [zone1, zone2] = [forZones("zone1"), forZones("zone2", "zone3")];
  const all = ["hinted-1", "hinted-2"];
  const everybody: Row[] = [[[1, 2, 3, 4, 5], all]];
  const apart: Row[] = [
    [[1, 4], ["hinted-1"]],
    [[2, 3, 5], ["hinted-2"]],
  ];
  await hint(([a = [], b = []]) => [
    { addresses: a, ...zone1 },
    { addresses: b, ...zone2 },
  ]);
  await reach("hinted", apart);
  await hint(([a = [], b = []]) => [{ addresses: a, ...zone1 }, { addresses: b }]);
  await reach("hinted", everybody);
  await hint(([a = [], b = []]) => [
    { addresses: a, ...zone1 },
    { addresses: b, hints: {} },
  ]);
  await reach("hinted", everybody);
  // An endpoint that is not ready has no say.
  const unready = { addresses: ["10.244.3.200"], conditions: { ready: false, serving: false } };
  const unready6 = { addresses: ["fd00:10:244:3::200"], conditions: { ready: false, serving: false } };
  await hint(([a = [], b = []]) => [
    { addresses: a, ...zone1 },
    { addresses: b, ...zone2 },
    a[0]?.includes(":") ? unready6 : unready,
  ]);
  await reach("hinted", apart);
  // Nobody's zone is meant: nobody prefers any.
  await hint(([a = [], b = []]) => [
    { addresses: a, ...forZones("elsewhere") },
    { addresses: b, ...forZones("elsewhere") },
  ]);
  await reach("hinted", everybody);
});
