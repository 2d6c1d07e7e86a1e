import assert from "node:assert/strict";
import { test } from "node:test";
import { parseProtocols } from "./bird-status.ts";
import { ReplyReader } from "./reply-reader.ts";

/** What BIRD 2.0.12 said to `show protocols all`, shortened. */
const SAID = `2002-Name       Proto      Table      State  Since         Info
1002-pods4      Static     master4    up     1795449038    
1006-  Channel ipv4
     State:          UP
     Routes:         1 imported, 0 exported, 1 preferred
 
1002-mesh-node2.x BGP        ---        up     1795449039    Established   
1006-  BGP state:          Established
     Neighbor address: 192.168.1.12
     Hold timer:       63.810/90
   Channel ipv4
     State:          UP
     Import limit:   4 [HIT]
       Action:       block
     Routes:         4 imported, 1 exported, 3 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              9          0          2          3          4
       Import withdraws:            0          0        ---          0          0
       Export updates:              2          1          0        ---          1
   Channel ipv6
     State:          DOWN
     Import limit:   4
       Action:       block
 
1002-peer-tor   BGP        ---        start  1795449063    Active        Socket: Connection refused
1006-  BGP state:          Active
     Neighbor address: 192.168.1.254
     Last error:       Socket: Connection refused
   Channel ipv4
     State:          DOWN
 
0000 
`;

function parsed() {
  const [reply] = new ReplyReader().read(SAID);
  assert.ok(reply);
  return new Map(parseProtocols(reply).map((protocol) => [protocol.name, protocol]));
}

test("parseProtocols() reads each protocol's state and since when", () => {
  assert.deepEqual(
    [...parsed().values()].map(({ name, kind, state, since, bgpState }) => [name, kind, state, since, bgpState]),
    [
      ["pods4", "Static", "up", 1795449038, undefined],
      ["mesh-node2.x", "BGP", "up", 1795449039, "Established"],
      ["peer-tor", "BGP", "start", 1795449063, "Active"],
    ],
  );
});

test("parseProtocols() counts prefixes, what filters refused and what a limit kept out, by family", () => {
  assert.deepEqual(parsed().get("mesh-node2.x")?.channels, [
    {
      family: 4,
      up: true,
      imported: 4,
      exported: 1,
      preferred: 3,
      refused: 2,
      beyondLimit: 3,
      limitReached: true,
      floodStopped: false,
    },
    {
      family: 6,
      up: false,
      imported: 0,
      exported: 0,
      preferred: 0,
      refused: 0,
      beyondLimit: 0,
      limitReached: false,
      floodStopped: false,
    },
  ]);
});

test("parseProtocols() knows why a session is not there", () => {
  assert.equal(parsed().get("peer-tor")?.lastError, "Socket: Connection refused");
  assert.equal(parsed().get("mesh-node2.x")?.lastError, undefined);
});

test("parseProtocols() passes over what another version says", () => {
  const [reply] = new ReplyReader().read("2002-Name\n1002-odd\n1006-  What:  ever\n1099-new\n0000 \n");
  assert.ok(reply);
  assert.deepEqual(parseProtocols(reply), []);
});
