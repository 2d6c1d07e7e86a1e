/**
 * However a node came to its policies, its verdicts are those of the last state: events shuffled, doubled and one by one,
 * rules, peers and ports in other orders, states reversed and emptied in between, the agent killed, transactions refused, and
 * somebody who deletes the tables.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { POLICY_TABLES } from "../../../src/model/marks.ts";
import { type ApiEvent, EnforcerRig, type Kind, keyOf, NODE } from "./enforcer-rig.ts";
import { type Connection, isAllowed, type Raw, type RawCluster } from "./evaluator.ts";
import { NODES, type Random, randomConnection, randomNumbers, randomRawCluster, shuffle } from "./random-objects.ts";

const KINDS: readonly Kind[] = ["namespaces", "pods", "policies"];
const NOTHING: RawCluster = { namespaces: [], pods: [], policies: [], nodes: NODES };
const CONNECTIONS = 60;

const namespace = (name: string, labels: Raw = {}): Raw => ({ metadata: { name, labels } });
function pod(name: string, ip: string, labels: Raw, nodeName = NODE): Raw {
  const [namespace = "", short = ""] = name.split("/");
  const ports = [{ name: "http", containerPort: 80 }];
  const spec = { nodeName, containers: [{ ports }] };
  const metadata = { namespace, name: short, labels };
  return { metadata, spec, status: { phase: "Running", podIPs: [{ ip }] } };
}
function policy(name: string, spec: Raw): Raw {
  const [namespace = "", short = ""] = name.split("/");
  return { metadata: { namespace, name: short }, spec };
}

const teams = [namespace("x", { team: "one" }), namespace("y", { team: "two" })];
const web = pod("x/web", "10.244.1.1", { app: "web" });
const database = pod("x/db", "10.244.1.2", { app: "db" });
const remote = pod("y/client", "10.244.2.3", { app: "client" }, "node2");
const deny = policy("x/deny", { podSelector: {}, policyTypes: ["Ingress", "Egress"] });
const fromTeam = policy("x/team", {
  podSelector: { matchLabels: { app: "web" } },
  ingress: [
    { from: [{ namespaceSelector: { matchLabels: { team: "two" } } }], ports: [{ port: "http" }, { port: 443 }] },
  ],
});
const toDatabase = policy("x/to-db", {
  podSelector: { matchExpressions: [{ key: "app", operator: "NotIn", values: ["db"] }] },
  policyTypes: ["Egress"],
  egress: [
    { to: [{ podSelector: { matchLabels: { app: "db" } } }], ports: [{ port: "http" }, { port: 81, endPort: 90 }] },
  ],
});
const unreadable = policy("x/team", { podSelector: { matchExpressions: [{ key: "app", operator: "Like" }] } });
const cluster = (pods: readonly Raw[], policies: readonly Raw[], namespaces: readonly Raw[] = teams): RawCluster => ({
  ...{ namespaces, pods, policies, nodes: NODES },
});
const all = [web, database, remote];

const sequences: Record<string, readonly RawCluster[]> = {
  "policies come and go": [
    cluster(all, []),
    cluster(all, [deny]),
    cluster(all, [deny, fromTeam]),
    cluster(all, [fromTeam, toDatabase]),
    cluster(all, [unreadable, toDatabase]),
    cluster(all, [deny, toDatabase]),
  ],
  "labels of pods change": [
    cluster(all, [fromTeam, toDatabase]),
    cluster([pod("x/web", "10.244.1.1", { app: "db" }), database, remote], [fromTeam, toDatabase]),
    cluster(
      [pod("x/web", "10.244.1.1", {}), pod("x/db", "10.244.1.2", { app: "web" }), remote],
      [fromTeam, toDatabase],
    ),
  ],
  "labels of namespaces change": [
    cluster(all, [fromTeam]),
    cluster(all, [fromTeam], [namespace("x", {}), namespace("y", {})]),
    cluster(all, [fromTeam], [namespace("x", { team: "two" }), namespace("y", { team: "one" })]),
  ],
  "a policy says something else": [
    cluster(all, [fromTeam]),
    cluster(all, [
      {
        ...fromTeam,
        spec: { podSelector: { matchLabels: { app: "web" } }, ingress: [{ ports: [{ port: "http" }, { port: 81 }] }] },
      },
    ]),
  ],
  "pods exchange their addresses": [
    cluster(all, [fromTeam, toDatabase]),
    cluster([pod("x/web", "10.244.1.2", { app: "web" }), remote], [fromTeam, toDatabase]),
    cluster([pod("x/db", "10.244.1.1", { app: "db" }), pod("x/web", "10.244.1.2", { app: "web" }), remote], [fromTeam]),
    cluster([pod("y/web", "10.244.1.1", { app: "web" }), remote], [fromTeam, deny]),
  ],
  "a namespace goes with everything": [
    cluster(all, [deny, fromTeam, toDatabase]),
    cluster([remote], [], teams.slice(1)),
    cluster(all, [fromTeam]),
  ],
};
for (let seed = 1; seed <= 6; seed++) {
  const random = randomNumbers(seed);
  sequences[`random clusters, seed ${seed}`] = Array.from({ length: 4 }, () => randomRawCluster(random));
}

/** From one state to the next. */
function eventsBetween(from: RawCluster, to: RawCluster): ApiEvent[] {
  return KINDS.flatMap((kind) => {
    const [before, after] = [from[kind], to[kind]].map(
      (list) => new Map(list.map((each) => [keyOf(kind, each), each])),
    );
    const gone = [...(before?.keys() ?? [])].filter((key) => !after?.has(key));
    const changed = [...(after ?? [])].filter(([key, object]) => before?.get(key) !== object);
    return [
      ...gone.map((key) => ({ kind, key, object: undefined })),
      ...changed.map(([key, object]) => ({ kind, key, object })),
    ];
  });
}

/** Lists whose order means nothing. */
const UNORDERED = new Set([
  "ingress",
  "egress",
  "from",
  "to",
  "ports",
  "policyTypes",
  "matchExpressions",
  "values",
  "except",
]);

function reordered(random: Random, value: unknown, field = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => reordered(random, item));
    return UNORDERED.has(field) ? shuffle(random, items) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, reordered(random, each, name)]));
}

interface Expander {
  readonly states?: (states: readonly RawCluster[]) => readonly RawCluster[];
  readonly events?: (random: Random, events: readonly ApiEvent[]) => readonly ApiEvent[];
  /** Behind every single event. */
  readonly oneByOne?: boolean;
  /** Rules have other numbers: the tables say the same in other words. */
  readonly renumbers?: boolean;
}

const expanders: Readonly<Record<string, Expander>> = {
  "as it is": {},
  "events in any order": { events: shuffle },
  "events twice": { events: (_, events) => events.flatMap((event) => [event, event]) },
  "all events again at the end": { events: (_, events) => [...events, ...events] },
  "one by one, in any order": { events: shuffle, oneByOne: true },
  "rules, peers and ports in any order": {
    events: (random, events) => events.map((event) => ({ ...event, object: reordered(random, event.object) as Raw })),
    renumbers: true,
  },
  "states reversed and forwards again": { states: (states) => [...states.toReversed(), ...states] },
  "emptied in between": { states: (states) => states.flatMap((state) => [NOTHING, state]) },
  "every object gone and back": {
    events: (_, events) => events.flatMap((event) => [{ ...event, object: undefined }, event]),
    oneByOne: true,
  },
};

/** What happens between two states, or two events. */
const manners: Readonly<Record<string, (rig: EnforcerRig, random: Random) => Promise<void>>> = {
  "at once": async () => undefined,
  "after a round": (rig) => rig.elapse(25),
  "killed between": async (rig, random) => {
    if (random(2) === 0) await rig.elapse(25);
    rig.restart();
  },
  "while transactions fail": async (rig, random) => {
    const errno = ["ENOBUFS", "EBUSY", "ENOMEM"][random(3)] ?? "ENOMEM";
    rig.host.failures.fail({ operation: "commit", errno, applied: random(3) === 0, times: 1 + random(2) });
    await rig.elapse(25);
  },
  "while somebody deletes the tables": async (rig) => {
    await rig.elapse(25);
    const table = POLICY_TABLES[4];
    if (rig.other.nftables.table(table) !== undefined) rig.other.nftables.commit(table, [{ do: "deleteTable" }]);
  },
};

/** Connections that pass the node: from or to one of its pods. */
function connectionsOf(random: Random, state: RawCluster): Connection[] {
  const here = new Set(
    state.pods.flatMap(({ spec, status }) => {
      const { nodeName, hostNetwork } = spec as { nodeName: string; hostNetwork?: boolean };
      const { podIP, podIPs = [{ ip: podIP }] } = status as { podIP?: string; podIPs?: { ip: string }[] };
      return nodeName === NODE && hostNetwork !== true ? podIPs.map(({ ip }) => ip) : [];
    }),
  );
  if (here.size === 0) return [];
  const drawn = Array.from({ length: CONNECTIONS }, () => randomConnection(random, state));
  return drawn.filter(({ source, destination }) => here.has(source) || here.has(destination));
}

async function play(rig: EnforcerRig, random: Random, states: readonly RawCluster[], how: Expander, manner: string) {
  const between = manners[manner] ?? (async () => undefined);
  let before = NOTHING;
  for (const state of how.states?.(states) ?? states) {
    const events = eventsBetween(before, state);
    for (const event of how.events?.(random, events) ?? events) {
      rig.tell(event);
      if (how.oneByOne === true) await between(rig, random);
    }
    await between(rig, random);
    before = state;
  }
}

const played = { allowed: 0, denied: 0 };

for (const [name, states] of Object.entries(sequences)) {
  for (const [expander, how] of Object.entries(expanders)) {
    test(`verdicts are those of the last state: ${name}, ${expander}`, async () => {
      const random = randomNumbers(name.length + expander.length);
      const last = states.at(-1) ?? NOTHING;
      using fresh = new EnforcerRig(NODES);
      await play(fresh, random, [last], {}, "at once");
      await fresh.settle();
      for (const manner of Object.keys(manners)) {
        using rig = new EnforcerRig(NODES);
        await play(rig, random, states, how, manner);
        await rig.settle();
        rig.host.failures.clear();
        await rig.settle();
        assert.equal(rig.failure, undefined, manner);
        if (how.renumbers !== true)
          assert.ok(rig.tables() === fresh.tables(), `${manner}: not the tables of a fresh start`);
        for (const connection of connectionsOf(random, last)) {
          const expected = isAllowed(last, connection, NODE);
          played[expected ? "allowed" : "denied"]++;
          assert.equal(rig.lets(connection), expected, `${manner}: ${JSON.stringify(connection)}`);
        }
        rig.commits();
        rig.restart();
        await rig.settle();
        assert.deepEqual(rig.commits(), [], `${manner}: a restart changes nothing`);
      }
    });
  }
}

test("verdicts of both kinds were compared", () => {
  assert.ok(played.allowed > 2000 && played.denied > 2000, JSON.stringify(played));
});
