import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import type { CommandSpec } from "./options.ts";
import { parseSource, parseTarget } from "./policy-target.ts";

const spec: CommandSpec = { usage: "breakwater policy explain NS/POD", summary: "", options: {} };

/** As "who port protocol", or the message of the refusal. */
function target(text: string): string {
  try {
    const { who, port, protocol } = parseTarget(spec, text);
    const name = who.kind === "ip" ? who.ip : `${who.namespace}/${who.name}`;
    return [who.kind, name, port ?? "-", protocol ?? "-"].join(" ");
  } catch (error) {
    assert.ok(isBreakwaterError(error, "BW_USAGE"), String(error));
    return error.message;
  }
}

function source(text: string): string {
  try {
    const who = parseSource(spec, text);
    return who.kind === "ip" ? who.ip : `${who.namespace}/${who.name}`;
  } catch (error) {
    assert.ok(isBreakwaterError(error, "BW_USAGE"), String(error));
    return error.message;
  }
}

test("parseTarget() reads pods and addresses, with ports and protocols", () => {
  const cases = {
    "shop/web:80": "pod shop/web 80 -",
    "shop/web:80/udp": "pod shop/web 80 UDP",
    "shop/web:http/SCTP": "pod shop/web http SCTP",
    "shop/web": "pod shop/web - -",
    "shop/web/TCP": "pod shop/web - TCP",
    "shop/web.v1-0:80": "pod shop/web.v1-0 80 -",
    "10.1.2.3:80": "ip 10.1.2.3 80 -",
    "10.1.2.3:80/UDP": "ip 10.1.2.3 80 UDP",
    "[FD00::0:1]:80/tcp": "ip fd00::1 80 TCP",
    "10.1.2.3": "ip 10.1.2.3 - -",
  };
  for (const [text, expected] of Object.entries(cases)) assert.equal(target(text), expected);
});

test("parseTarget() refuses what could mean something else, and says what to write", () => {
  const cases = {
    "fd00::1:80": '"fd00::1:80" has no port: write [fd00::1:80]:PORT',
    "10.0.0.0/8": '"10.0.0.0/8" is a block: give one address of it',
    "fd00::/64": '"fd00::/64" is a block: give one address of it',
    "shop/web:80/ICMP": '"ICMP" is none of TCP, UDP, SCTP',
    "10.1.2.300:80": '"10.1.2.300" is no IP address',
    web: '"web" is neither NAMESPACE/POD nor an IP address',
    "web:80": '"web:80" is neither NAMESPACE/POD nor an IP address',
    "": '"" is neither NAMESPACE/POD nor an IP address',
  };
  for (const [text, expected] of Object.entries(cases)) assert.equal(target(text), expected);
});

test("parseSource() takes a pod or an address, and no port", () => {
  assert.equal(source("shop/web"), "shop/web");
  assert.equal(source("203.0.113.9"), "203.0.113.9");
  assert.equal(source("fd00:0::1"), "fd00::1");
  assert.equal(source("[fd00::1]"), "fd00::1");
  assert.equal(source("shop/web:80"), '"shop/web:80" dials: only the second word has a port');
  assert.equal(source("10.1.2.3:80"), '"10.1.2.3:80" dials: only the second word has a port');
  assert.equal(source("web"), '"web" is neither NAMESPACE/POD nor an IP address');
});
