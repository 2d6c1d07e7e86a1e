import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { parseRequestedIps } from "./requested-ips.ts";

for (const [annotation, capability, expected] of [
  [undefined, [], []],
  ["10.244.1.11", [], ["10.244.1.11"]],
  [" FD00::0011 , 10.244.1.11 ", [], ["10.244.1.11", "fd00::11"]],
  [undefined, ["10.244.1.12/24", "fd00::12/64"], ["10.244.1.12", "fd00::12"]],
  ["10.244.1.11", ["10.244.1.11/32"], ["10.244.1.11"]],
  ["fd00::1", ["10.244.1.11"], ["10.244.1.11", "fd00::1"]],
] as const) {
  test(`parseRequestedIps() of ${annotation} and ${capability.join(" ")} is ${expected.join(" ")}`, () => {
    assert.deepEqual(parseRequestedIps(annotation, capability), expected);
  });
}

for (const [annotation, capability, why] of [
  ["", [], /annotation breakwater.dev\/ip holds "", which is no IP address/],
  ["10.244.1.011", [], /"10.244.1.011", which is no IP/],
  ["10.244.1.1,", [], /holds ""/],
  ["10.244.1.1,10.244.1.2", [], /two IPv4 addresses, 10.244.1.1 and 10.244.1.2/],
  ["10.244.1.1,10.244.1.1", [], /two IPv4 addresses/],
  [undefined, ["fd00::1", "fd00::2"], /two IPv6/],
  [undefined, ["10.0.0.1/33"], /no IP address/],
  [undefined, ["10.0.0.1/8/8"], /no IP address/],
  ["10.244.1.1", ["10.244.1.2"], /annotation .* asks for 10.244.1.1 and capability ips for 10.244.1.2/],
] as const) {
  test(`parseRequestedIps() refuses ${JSON.stringify(annotation)} and ${JSON.stringify(capability)}`, () => {
    assert.throws(
      () => parseRequestedIps(annotation, capability),
      (error) => isBreakwaterError(error, "BW_IPAM_REQUEST") && why.test(error.message),
    );
  });
}
