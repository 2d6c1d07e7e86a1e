import assert from "node:assert/strict";
import { test } from "node:test";
import { GenericNetlink } from "../../src/kernel/genetlink/genetlink-socket.ts";
import { attributes, text, u8, u32 } from "../../src/kernel/netlink/codec.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { testNamespace } from "./namespaces.ts";

/** ETHTOOL_MSG_LINKSTATE_GET and its attributes (include/uapi/linux/ethtool_netlink.h). */
const LINKSTATE_GET = 6;
const linkState = attributes({ header: [1, attributes({ index: [1, u32], name: [2, text] })], up: [2, u8] });

test("family() resolves names to the kernel's numbers, and knows groups", (t) => {
  using generic = testNamespace(t).run(() => new GenericNetlink());
  const controller = generic.family("nlctrl");
  assert.deepEqual([controller.id, controller.version], [16, 2]);
  assert.ok((controller.groups.get("notify") ?? 0) > 0);
  const ethtool = generic.family("ethtool");
  assert.ok(ethtool.id > 16 && ethtool.groups.has("monitor"));
  assert.equal(generic.family("ethtool"), ethtool, "asked once");
});

test("families() lists what family() finds", (t) => {
  using generic = testNamespace(t).run(() => new GenericNetlink());
  const families = generic.families();
  assert.ok(families.length >= 2);
  for (const family of families) assert.deepEqual(generic.family(family.name), family);
});

test("family() names a family that the kernel lacks, and what brings it", (t) => {
  using generic = testNamespace(t).run(() => new GenericNetlink());
  for (const [name, remedy] of [
    ["no-such-family", /load the kernel module that provides it/],
    ["", /load the kernel module/],
  ] as const) {
    assert.throws(
      () => generic.family(name),
      (error: unknown) => {
        assert.ok(isBreakwaterError(error, "BW_GENETLINK_FAMILY"), String(error));
        assert.match(error.message, new RegExp(`no generic netlink family "${name}"`));
        assert.match(error.remedy ?? "", remedy);
        return true;
      },
    );
  }
});

test("get() and dump() carry a command to its family and its answers back", (t) => {
  const ns = testNamespace(t);
  ns.routes.createLink({ name: "br0", up: true, kind: { type: "bridge" } });
  using generic = ns.run(() => new GenericNetlink());
  const ethtool = generic.family("ethtool");
  const command = (name: string) => ({
    operation: "read the link state of",
    object: name,
    command: LINKSTATE_GET,
    body: (w: Parameters<typeof linkState.write>[0]) =>
      linkState.write(w, name === "" ? { header: {} } : { header: { name } }),
  });
  const decode = ({ payload }: { payload: Buffer }) => linkState.read(payload);
  assert.deepEqual(generic.get(ethtool, command("lo"), decode), { header: { index: 1, name: "lo" }, up: 1 });
  const names = generic.dump(ethtool, command(""), decode).map((state) => state.header?.name);
  assert.deepEqual(names.sort(), ["br0", "lo"]);
  assert.throws(
    () => generic.request(ethtool, command("nosuch")),
    (error: unknown) =>
      isBreakwaterError(error, "BW_NETLINK") && error.errno === "ENODEV" && /nosuch/.test(error.message),
  );
});
