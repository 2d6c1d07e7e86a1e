/** `breakwater tune` on the real /proc/sys of a network namespace of its own; the node's own sysctls are in test/vm. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const PROGRAM = join(import.meta.dirname, "../../src/cli/main.ts");
const SNAPSHOT = "grep -r . /proc/sys/net 2>/dev/null | grep -vE 'secret|fib_multipath_hash_seed|key' | sort";

/** Runs a script in namespaces of its own, where `tune` is the command with a state folder of its own. */
function inNamespace(t: TestContext, script: string) {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-tune-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const tune = `tune() { "${process.execPath}" "${PROGRAM}" tune "$@" --state-dir "${folder}/state"; }`;
  const text = `cd "${folder}"\n${tune}\nsnapshot() { ${SNAPSHOT}; }\n${script}`;
  const unshare = ["--net", "--mount", "--propagation", "private", "sh", "-c", `mount -t sysfs sys /sys; ${text}`];
  const { status, stdout, stderr } = spawnSync("unshare", unshare, { encoding: "utf8" });
  return { status, stdout, stderr, folder };
}

const cannot = process.geteuid?.() === 0 ? false : "needs root";

test("tune apply, then undo, leaves /proc/sys as it was", { skip: cannot }, (t) => {
  const { status, stdout, stderr } = inNamespace(
    t,
    `snapshot > before; tune apply latency; echo "applied $?"; cat /proc/sys/net/ipv4/tcp_slow_start_after_idle
    snapshot > applied; cmp -s before applied || echo changed
    tune undo > /dev/null; echo "undone $?"; snapshot > after; diff before after && echo same`,
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /applied 0\n0\n/);
  assert.match(stdout, /\nchanged\nundone 0\nsame\n/);
});

test("tune: sysctls that only the first namespace has are told of, and not made", { skip: cannot }, (t) => {
  const { status, stdout } = inNamespace(t, "tune diff latency");
  assert.equal(status, 1, "there is something to change");
  assert.match(stdout, /net\.core\.busy_read is not set: this kernel has no such sysctl/);
});

test("tune apply on a read-only /proc/sys says so, and changes nothing", { skip: cannot }, (t) => {
  const { stdout } = inNamespace(
    t,
    `mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
    snapshot > before; tune apply latency; echo "exit $?"; snapshot > after; cmp before after && echo same; ls state`,
  );
  assert.match(stdout, /Cannot set to "0" \/proc\/sys\/net\/ipv4\/tcp_slow_start_after_idle: EROFS/);
  assert.match(stdout, /exit 2\nsame\n/);
  assert.doesNotMatch(stdout, /tuning\.json/, "there is nothing to undo");
});

test("tune with a profile of one's own: tabs, ranges, fields that would be lowered", { skip: cannot }, (t) => {
  const { stdout, stderr } = inNamespace(
    t,
    `cat > mine.yaml <<'END'
name: mine
values:
  net.ipv4.tcp_rmem: "4096\\t87380\\t90000000"
  net.ipv4.ip_local_reserved_ports: "30000-32767"
  net.ipv4.ip_local_port_range: 32000 60000
  net.ipv4.tcp_fastopen: 3
END
    echo 8080,31000-40000 > /proc/sys/net/ipv4/ip_local_reserved_ports
    tune diff --profile-file mine.yaml; tune apply --profile-file mine.yaml > /dev/null; echo "exit $?"
    cat /proc/sys/net/ipv4/tcp_rmem /proc/sys/net/ipv4/ip_local_reserved_ports /proc/sys/net/ipv4/ip_local_port_range
    tune undo > /dev/null; cat /proc/sys/net/ipv4/ip_local_reserved_ports
    echo > /proc/sys/net/ipv4/ip_local_reserved_ports; tune apply --profile-file mine.yaml > /dev/null
    tune undo > /dev/null; echo "none: $(cat /proc/sys/net/ipv4/ip_local_reserved_ports)"`,
  );
  assert.match(stdout, /does nothing by itself/, stderr);
  assert.match(stdout, /131072 stays, not 87380/);
  assert.match(stdout, /exit 0\n4096\t131072\t90000000\n8080,30000-40000\n32000\t60999\n8080,31000-40000\nnone: \n/);
});

test("tune refuses a profile file with a wrong key, and one that is no YAML", { skip: cannot }, (t) => {
  const { stdout, stderr } = inNamespace(
    t,
    `printf 'name: x\\nsysctls:\\n  net.core.rmem_max: 1\\n' > wrong.yaml; tune diff --profile-file wrong.yaml; echo "exit $?"
    printf 'a: [\\n' > broken.yaml; tune diff --profile-file broken.yaml; echo "exit $?"
    tune diff --profile-file missing.yaml; echo "exit $?"; tune diff nonsense; echo "exit $?"`,
  );
  assert.match(stderr, /wrong\.yaml: there is no key "sysctls".*\n.*keys of a profile are name and values/);
  assert.match(stderr, /broken\.yaml: it is no YAML/);
  assert.match(stderr, /missing\.yaml: it cannot be read: ENOENT/);
  assert.match(stderr, /There is no profile "nonsense": use off, throughput, latency, scale, or --profile-file/);
  assert.equal(stdout, "exit 2\nexit 2\nexit 2\nexit 1\n");
});
