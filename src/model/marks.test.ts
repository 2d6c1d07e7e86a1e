import assert from "node:assert/strict";
import { test } from "node:test";
import { IPVS_DEVICE, isOurLink, POD_LINK_PREFIX, VXLAN_DEVICE } from "./marks.ts";

test("isOurLink() knows our names exactly: what only begins like them is somebody else's", () => {
  for (const name of [VXLAN_DEVICE, IPVS_DEVICE, `${POD_LINK_PREFIX}0123456789a`])
    assert.equal(isOurLink(name), true, name);
  for (const name of [
    "",
    "bw",
    "bwvxlan0",
    "xbwvxlan",
    "bwlan0",
    "bwp0123456789a",
    "bwh0123456789",
    "bwh0123456789ab",
    "bwh0123456789g",
  ]) {
    assert.equal(isOurLink(name), false, name);
  }
});
