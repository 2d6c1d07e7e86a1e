/** Explanations as a person reads them, whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNetworkPolicy } from "../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyPod } from "../model/policy.ts";
import { explain, type Party, type PolicyCluster } from "../plan/policies/explain.ts";
import { explanationJson, formatExplanation } from "./policy-explain-text.ts";

const pod = (name: string, ...ips: string[]): PolicyPod => ({
  ...{ namespace: "shop", name, labels: { app: name }, nodeName: "node1", ips, ports: [] },
});
const [web, redis] = [pod("web", "10.244.1.1", "fd00::1"), pod("redis", "10.244.1.2", "fd00::2")];
const party = (each: PolicyPod): Party => ({
  ...{ name: `${each.namespace}/${each.name}`, kind: "pod", pod: each, nodeName: each.nodeName, ips: each.ips },
});
const aPolicy = (name: string, fields: Partial<ClusterPolicy>): ClusterPolicy => ({
  ...{ namespace: "shop", name, uid: name, pods: [] },
  ...fields,
});
const clusterOf = (policies: ClusterPolicy[], tiers: ClusterNetworkPolicy[] = []): PolicyCluster => ({
  ...{ pods: [web, redis], policies, clusterNetworkPolicies: tiers },
  namespaces: new Map([["shop", { "kubernetes.io/metadata.name": "shop" }]]),
});

function told(cluster: PolicyCluster, { from = party(web), notes = [] as string[] } = {}): string {
  const question = { from, to: party(redis), protocol: "TCP", port: 6379 } as const;
  return formatExplanation(question, explain(question, cluster), notes, cluster);
}

test("formatExplanation() of a denial says who denies, what comes near, and what to apply", () => {
  const ingress = [{ ports: [{ protocol: "TCP" as const, port: 80 }] }];
  const problems = ["spec.ingress[1]: it is no rule: it admits nothing"];
  assert.equal(
    told(clusterOf([aPolicy("redis", { ingress, problems })]), { notes: ["it is late"] }),
    `shop/web (10.244.1.1, fd00::1; on node1) -> shop/redis (10.244.1.2, fd00::2; on node1) TCP 6379: DENIED

END                     VERDICT   BECAUSE
egress of shop/web      allowed   no policy isolates it
ingress of shop/redis   DENIED    shop/redis selects it, and no rule admits this

What ingress of shop/redis admits, the nearest first:
  shop/redis rule 1 admits this peer, but only on TCP 80
shop/web has app=web; its namespace kubernetes.io/metadata.name=shop

Not understood, and so it admits nothing:
  shop/redis: spec.ingress[1]: it is no rule: it admits nothing

Note: it is late.

The smallest policy that would admit it:
  web-to-redis-tcp-6379-ingress lets shop/web dial TCP 6379 of shop/redis

apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  namespace: shop
  name: web-to-redis-tcp-6379-ingress
spec:
  podSelector:
    matchLabels:
      app: redis
  policyTypes:
    - Ingress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: web
      ports:
        - protocol: TCP
          port: 6379
`,
  );
});

test("formatExplanation() of what is allowed says by which rule, and no more", () => {
  assert.equal(
    told(clusterOf([aPolicy("all", { ingress: [{}] })])),
    `shop/web (10.244.1.1, fd00::1; on node1) -> shop/redis (10.244.1.2, fd00::2; on node1) TCP 6379: allowed

END                     VERDICT   BECAUSE
egress of shop/web      allowed   no policy isolates it
ingress of shop/redis   allowed   rule 1 of shop/all admits it
`,
  );
});

test("formatExplanation() tells families apart where they end differently", () => {
  const peers = [{ kind: "block" as const, prefix: "10.0.0.0/8", except: [] }];
  const text = told(clusterOf([aPolicy("four", { ingress: [{ peers }] })]));
  assert.match(text, /TCP 6379: DENIED from fd00::1 to fd00::2, allowed otherwise\n/);
  assert.match(text, /\nOver IPv4:\nEND.*\n.*\ningress of shop\/redis {3}allowed {3}rule 1 of shop\/four admits it\n/);
  assert.match(text, /\nOver IPv6:\nEND.*\n.*\ningress of shop\/redis {3}DENIED {4}shop\/four selects it, and no rule/);
});

test("formatExplanation() tells the addresses of a node apart where they end differently", () => {
  const peers = [{ kind: "block" as const, prefix: "192.168.1.0/24", except: [] }];
  const from: Party = { name: "node2", kind: "node", nodeName: "node2", ips: ["192.168.1.12", "10.244.2.0"] };
  const text = told(clusterOf([aPolicy("nodes", { ingress: [{ peers }] })]), { from });
  assert.match(text, /DENIED from 10.244.2.0 to 10.244.1.2, allowed otherwise\n/);
  assert.match(text, /\nfrom 192.168.1.12 to 10.244.1.2:\n/);
  assert.match(text, /\nfrom 10.244.2.0 to 10.244.1.2:\n/);
  assert.match(text, /policies are about pods, and node2 is node node2 to them/);
});

const aTier = (tier: "Admin" | "Baseline", priority: number, ...actions: ("Accept" | "Deny" | "Pass")[]) => ({
  ...{ name: tier.toLowerCase(), uid: tier, generation: 1, tier, priority, egress: [] },
  subject: { namespaces: [], pods: [] },
  ingress: actions.map((action, i) => ({ name: i === 0 ? "first" : "", action })),
});

test("formatExplanation() names the tier that decides, and what passes on to it", () => {
  const admin = (...actions: ("Accept" | "Deny" | "Pass")[]) => aTier("Admin", 10, ...actions);
  const open = aPolicy("all", { ingress: [{}] });
  const because = (cluster: PolicyCluster) => /ingress of shop\/redis +\w+ +(.*)/.exec(told(cluster))?.[1];
  const rule = "rule 1 (first) of ClusterNetworkPolicy admin (Admin, priority 10)";
  assert.equal(because(clusterOf([open], [admin("Deny")])), `${rule} denies it`);
  assert.equal(because(clusterOf([open], [admin("Accept")])), `${rule} accepts it`);
  assert.equal(because(clusterOf([open], [admin("Pass")])), `${rule} passes it on, then rule 1 of shop/all admits it`);
  assert.equal(because(clusterOf([], [admin("Pass")])), `${rule} passes it on, then no policy isolates it`);
  assert.equal(
    because(clusterOf([], [admin("Pass"), aTier("Baseline", 0, "Deny")])),
    `${rule} passes it on, then rule 1 (first) of ClusterNetworkPolicy baseline (Baseline, priority 0) denies it`,
  );
});

test("formatExplanation() suggests a rule of the tier that denies, or says which one to change", () => {
  const text = told(clusterOf([], [aTier("Admin", 10, "Deny")]));
  assert.match(text, /\nkind: ClusterNetworkPolicy\n(?:.*\n)*spec:\n {2}tier: Admin\n {2}priority: 9\n/);
  assert.match(text, /\n {2}ingress:\n {4}- action: Accept\n/);
  assert.match(
    told(clusterOf([], [aTier("Baseline", 0, "Deny")])),
    /\nTo admit it: nothing comes before priority 0: put an Accept rule for shop\/web before ingress rule 1 of ClusterNetworkPolicy baseline\.\n/,
  );
  const from: Party = { name: "203.0.113.9", kind: "outside", ips: ["203.0.113.9"] };
  assert.match(
    told(clusterOf([], [aTier("Admin", 10, "Deny")]), { from }),
    /\nTo admit it: ingress rules of ClusterNetworkPolicies name no addresses, so none can accept 203\.0\.113\.9: change ingress rule 1/,
  );
  assert.match(
    told(clusterOf([], [aTier("Admin", -1, "Deny")])),
    /\nTo admit it: admin is not understood, so it comes first and only denies: correct it\.\n/,
  );
});

test("explanationJson() has the verdict, each end and what to apply", () => {
  const question = { from: party(web), to: party(redis), protocol: "TCP", port: 6379 } as const;
  const cluster = clusterOf([aPolicy("deny", { ingress: [] })]);
  const json = JSON.parse(JSON.stringify(explanationJson(question, explain(question, cluster), [])));
  assert.deepEqual(json.to, { name: "shop/redis", kind: "pod", node: "node1", port: 6379, protocol: "TCP" });
  assert.equal(json.allowed, false);
  assert.equal(json.ways.length, 2);
  const { allowed, why, by, tier, selecting } = json.ways[0].ingress;
  assert.deepEqual([allowed, by, tier, selecting], [false, null, "NetworkPolicy", ["shop/deny"]]);
  assert.equal(why, "shop/deny selects it, and no rule admits this");
  assert.equal(json.suggestions[0].policy.kind, "NetworkPolicy");
});
