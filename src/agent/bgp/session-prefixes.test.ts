/** What BIRD lists of a session, cut into prefixes with reasons. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { planBgp } from "../../plan/bgp/plan.ts";
import { bgpInput, peer } from "../../plan/bgp/testing/scenarios.ts";
import { node } from "../../plan/testing/scenarios.ts";
import { type BirdReply, ReplyReader } from "./reply-reader.ts";
import { announcedPrefixes, refusedPrefixes, type SessionPrefixesInput } from "./session-prefixes.ts";

const plan = planBgp(
  bgpInput({
    nodes: [node(1, ["192.168.1.1"]), node(2, ["192.168.1.2"])],
    peers: [peer("tor")],
    serviceAddresses: ["192.0.2.1/32"],
  }),
);

function reply(text: string): BirdReply {
  const [first] = new ReplyReader().read(text);
  assert.ok(first);
  return first;
}

const NONE = "0000 \n";
function routes(...prefixes: string[]): string {
  const lines = prefixes.map(
    (prefix) => ` ${prefix}  unicast [peer-tor 1767225600] * (100) [AS65001i]\n \tvia 192.168.1.254 on eth0\n`,
  );
  return `1007-Table master4:\n${lines.join("")}0000 \n`;
}

function input(answers: Record<string, string>, change: Partial<SessionPrefixesInput> = {}): SessionPrefixesInput {
  const services = new Map([["192.0.2.1/32", [{ service: "default/web", kind: "LoadBalancer" }]]]);
  const ask = async (command: string) => reply(answers[command] ?? NONE);
  return { nodeName: "node1", plan, services, peer: undefined, ask, ...change };
}

test("refusedPrefixes() lists what each session's filters kept out, and why", async () => {
  const report = await refusedPrefixes(
    input({ "show route filtered protocol 'peer-tor'": routes("10.9.0.0/16", "0.0.0.0/0") }),
  );
  assert.deepEqual(report, {
    node: "node1",
    failure: null,
    sessions: [
      { peer: "node2", kind: "node", count: 0, prefixes: [] },
      {
        peer: "tor",
        kind: "peer",
        count: 2,
        prefixes: [
          { prefix: "0.0.0.0/0", why: "it is a default route: none is ever taken" },
          { prefix: "10.9.0.0/16", why: "it is no other node's pod CIDR, and not inside importAllow of BGPPeer tor" },
        ],
      },
    ],
  });
});

test("announcedPrefixes() lists what each peer is told, and what asks for it", async () => {
  const answers = { "show route export 'peer-tor'": routes("10.244.1.0/24", "192.0.2.1/32") };
  const { sessions } = await announcedPrefixes(input(answers, { peer: "tor" }));
  assert.deepEqual(sessions, [
    {
      peer: "tor",
      kind: "peer",
      count: 2,
      prefixes: [
        { prefix: "10.244.1.0/24", why: "pods of this node" },
        { prefix: "192.0.2.1/32", why: "default/web (LoadBalancer)" },
      ],
    },
  ]);
});

test("refusedPrefixes() lists the first of very many, all of them for one peer", async () => {
  const many = Array.from({ length: 300 }, (_, i) => `172.16.${i >> 8}.${i & 255}/32`);
  const answers = { "show route filtered protocol 'peer-tor'": routes(...many) };
  const [all, one] = [await refusedPrefixes(input(answers)), await refusedPrefixes(input(answers, { peer: "tor" }))];
  assert.deepEqual([all.sessions[1]?.count, all.sessions[1]?.prefixes.length], [300, 100]);
  assert.deepEqual([one.sessions[0]?.count, one.sessions[0]?.prefixes.length], [300, 300]);
});

test("refusedPrefixes() says why BIRD does not say", async () => {
  const failure = async (change: Partial<SessionPrefixesInput>, answers = {}) =>
    (await refusedPrefixes(input(answers, change))).failure;
  assert.equal(await failure({ plan: undefined }), "BGP is not planned yet");
  assert.equal(await failure({ ask: async () => undefined }), "BIRD does not run");
  assert.equal(
    await failure({}, { "show route filtered protocol 'mesh-node2'": "9001 syntax error\n" }),
    "BIRD answers: syntax error",
  );
  const broken = () => Promise.reject(new Error("no answer within 5 s"));
  assert.equal(await failure({ ask: broken }), "no answer within 5 s");
});
