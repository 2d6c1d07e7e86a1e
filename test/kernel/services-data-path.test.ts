/** The tables of Services in a node of namespaces: real sockets get what the tracer says (service-dials.ts). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { dialEverything, dialledCluster, loadTables, nodeOfResponders } from "./service-dials.ts";

test("the table of Services does with real connections what the tracer says", async (t) => {
  const cluster = dialledCluster("nftables");
  const node = await nodeOfResponders(t);
  using nft = node.node.run(() => openNftables());
  loadTables(nft, cluster.tables("node1"));
  assert.deepEqual(await dialEverything(t, node, cluster), []);
});
