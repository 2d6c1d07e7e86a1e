import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakwaterError } from "../../model/errors.ts";
import type { HostFeature, ModuleTexts } from "../../model/host-modules.ts";
import { DEBIAN, withModprobe } from "../../plan/host/testing/module-facts.ts";
import type { Log } from "../log.ts";
import { prepareModules } from "./prepare-modules.ts";

/** A machine whose modprobe loads what it is asked for, and what modules.dep says. */
function aMachine(texts: ModuleTexts = DEBIAN, refuse: (module: string) => string | undefined = () => undefined) {
  const asked: string[] = [];
  const lines: object[] = [];
  let procModules = texts.procModules;
  const quiet = () => undefined;
  const log: Log = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (fields, message) => lines.push({ ...fields, message }),
  };
  const load = async (module: string) => {
    asked.push(module);
    const why = refuse(module);
    if (why !== undefined) throw new BreakwaterError("BW_MODULE", `Cannot load kernel module ${module}: ${why}`);
    procModules = `${procModules}${module} 1 0 - Live 0x0\n`;
  };
  const now = () => ({ ...texts, procModules });
  const machine = {
    present: now,
    texts: () => ({ modules: now(), requests: [], sysctls: [], unread: undefined }),
    load,
  };
  const prepare = (...features: HostFeature[]) => prepareModules(new Set(features), machine, log);
  return { asked, lines, prepare };
}

test("prepareModules() loads what is missing and leaves alone what is there", async () => {
  const { asked, prepare } = aMachine();
  assert.deepEqual(await prepare("pods", "vxlan"), { loaded: ["vxlan"], failures: [] });
  assert.deepEqual(asked, ["vxlan"]);
});

test("prepareModules() does not ask modprobe for a blacklisted module, and says what is off", async () => {
  const { asked, lines, prepare } = aMachine(withModprobe("blacklist vxlan\n"));
  const { failures } = await prepare("vxlan");
  assert.deepEqual(asked, []);
  assert.match(failures[0]?.error ?? "", /vxlan cannot be had: \/etc\/modprobe.d\/local.conf:1 blacklists it/);
  assert.match(JSON.stringify(lines), /off: pods of nodes behind a router cannot be reached/);
});

test("prepareModules() says what modprobe said", async () => {
  const { prepare } = aMachine(DEBIAN, () => "Operation not permitted");
  const { loaded, failures } = await prepare("vxlan");
  assert.deepEqual(loaded, []);
  assert.match(failures[0]?.error ?? "", /Operation not permitted \(BW_MODULE\)/);
});

test("prepareModules() says so where a module is in no file, and goes on with the others", async () => {
  const { asked, prepare } = aMachine();
  const { failures } = await prepare("vxlan", "log-denied");
  assert.deepEqual(asked, ["vxlan"]);
  assert.deepEqual(
    failures.map(({ module }) => module),
    ["nft_log", "nft_limit", "nfnetlink_log"],
  );
});

test("prepareModules() has nothing to do on a kernel without modules", async () => {
  const { asked, prepare } = aMachine({ ...DEBIAN, procModules: undefined });
  assert.deepEqual(await prepare("vxlan", "ipvs"), { loaded: [], failures: [] });
  assert.deepEqual(asked, []);
});
