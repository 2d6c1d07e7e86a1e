import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoutes } from "./bird-routes.ts";
import { ReplyReader } from "./reply-reader.ts";

/** What BIRD 2.0.12 said to `show route export kernel4`. */
const SAID = `1007-Table master4:
 10.244.1.0/24        unreachable [pods4 15:51:04.607] * (200)
 10.244.2.0/24        unicast [mesh-node2 15:51:08.470] * (100) [i]
 	via 192.168.1.12 on eth0
 10.244.3.0/24        multipath [peer-tor 15:51:08.470] * (100) [AS65001i]
 	via 192.168.1.254 on eth0 weight 1
 	via 192.168.1.253 on eth0 weight 1
0000 
`;

test("parseRoutes() reads prefixes with their next hops, sorted; none for one that is unreachable", () => {
  const [reply] = new ReplyReader().read(SAID);
  assert.ok(reply);
  assert.deepEqual(
    [...parseRoutes(reply)],
    [
      ["10.244.1.0/24", []],
      ["10.244.2.0/24", ["192.168.1.12"]],
      ["10.244.3.0/24", ["192.168.1.253", "192.168.1.254"]],
    ],
  );
});

test("parseRoutes() finds nothing in an empty table", () => {
  const [reply] = new ReplyReader().read("0000 \n");
  assert.ok(reply);
  assert.equal(parseRoutes(reply).size, 0);
});
