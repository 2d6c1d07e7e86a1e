import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRanges, parseRanges, sameSysctl, sysctlDotted, sysctlNumber, sysctlPath } from "./sysctl-value.ts";

test("sameSysctl() goes by the fields, not by tabs and spaces", () => {
  assert.ok(sameSysctl("4096\t131072\t6291456", " 4096 131072  6291456\n"));
  assert.ok(!sameSysctl("4096 131072", "4096 131072 6291456"));
  assert.ok(!sameSysctl("-1", "1"));
});

test("sysctlNumber() takes signs, and nothing that is no whole number", () => {
  assert.equal(sysctlNumber("-1"), -1n);
  assert.equal(sysctlNumber("+7"), 7n);
  assert.equal(sysctlNumber("18446744073709551615"), 18446744073709551615n);
  for (const text of ["", "bbr", "1e3", "0x10", "--1", "1-2"]) assert.equal(sysctlNumber(text), undefined, text);
});

test("parseRanges() and formatRanges() join what touches", () => {
  assert.equal(formatRanges(parseRanges("8080,30000-32767,8081")), "8080-8081,30000-32767");
  assert.equal(formatRanges(parseRanges("30000-31000,30500-32767,5")), "5,30000-32767");
  assert.deepEqual(parseRanges(""), []);
  assert.throws(() => parseRanges("32767-30000"), /"32767-30000"/);
  assert.throws(() => parseRanges("-5"), SyntaxError);
});

test("sysctlPath() reads names as systemd-sysctl does", () => {
  const cases: [string, string][] = [
    ["net.ipv4.ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "net/ipv4/ip_forward"],
    ["net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"],
    ["net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"],
    ["/proc/sys/net/ipv4/ip_forward", "net/ipv4/ip_forward"],
  ];
  for (const [name, path] of cases) assert.equal(sysctlPath(name), path, name);
  assert.equal(sysctlDotted("net/ipv4/conf/eth0.100/rp_filter"), "net.ipv4.conf.eth0/100.rp_filter");
});
