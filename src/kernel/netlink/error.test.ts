import assert from "node:assert/strict";
import { test } from "node:test";
import { NLM_F_ACK_TLVS, NLM_F_CAPPED } from "./constants.ts";
import { decodeErrorMessage, isAlreadyExists, isNotFound } from "./error.ts";
import { MessageWriter } from "./message-writer.ts";

const purpose = { operation: "set route", object: "10.1.0.0/16" };

/** Payload of an NLMSG_ERROR: errno, the quoted request, then what the extended acknowledgement says. */
function errorPayload(errno: number, quotedBytes: number, extended: (w: MessageWriter) => void): Buffer {
  const writer = new MessageWriter();
  writer.s32(-errno);
  writer.u32(quotedBytes);
  writer.raw(new Uint8Array(((quotedBytes + 3) & ~3) - 4));
  extended(writer);
  return Buffer.from(writer.bytes());
}

const sentence = (w: MessageWriter) => w.attribute(1, () => w.cstring("Nexthop has invalid gateway"));

test("decodeErrorMessage() answers undefined for an acknowledgement", () => {
  assert.equal(
    decodeErrorMessage(
      errorPayload(0, 16, () => undefined),
      NLM_F_CAPPED,
      purpose,
    ),
    undefined,
  );
});

test("decodeErrorMessage() finds the kernel's sentence behind a capped and behind a whole request", () => {
  for (const [flags, quoted] of [
    [NLM_F_CAPPED | NLM_F_ACK_TLVS, 16],
    [NLM_F_ACK_TLVS, 61],
  ] as const) {
    const error = decodeErrorMessage(errorPayload(101, quoted, sentence), flags, purpose);
    assert.equal(error?.errno, "ENETUNREACH");
    assert.match(error?.message ?? "", /set route 10\.1\.0\.0\/16: .*ENETUNREACH: Nexthop has invalid gateway$/);
  }
});

test("decodeErrorMessage() names the byte and the missing attribute", () => {
  const error = decodeErrorMessage(
    errorPayload(22, 16, (w) => {
      sentence(w);
      w.attribute(2, () => w.u32(44));
      w.attribute(5, () => w.u32(9));
    }),
    NLM_F_CAPPED | NLM_F_ACK_TLVS,
    purpose,
  );
  assert.match(error?.message ?? "", /invalid gateway at byte 44 \(attribute 9 is missing\)$/);
});

test("decodeErrorMessage() never takes a cut answer for success, and never throws", () => {
  const whole = errorPayload(22, 16, sentence);
  for (let length = 0; length < whole.length; length++) {
    const error = decodeErrorMessage(whole.subarray(0, length), NLM_F_CAPPED | NLM_F_ACK_TLVS, purpose);
    assert.equal(error?.errno, length < 4 ? "EPROTO" : "EINVAL");
  }
  const quotesTooMuch = errorPayload(22, 16, sentence);
  quotesTooMuch.writeUInt32LE(0xfffffff0, 4);
  assert.equal(decodeErrorMessage(quotesTooMuch, NLM_F_ACK_TLVS, purpose)?.errno, "EINVAL");
});

test("isNotFound() and isAlreadyExists() know the kernel's words for it", () => {
  const errors = new Map(
    [2, 3, 6, 17, 19, 22, 99].map((errno) => {
      const error = decodeErrorMessage(
        errorPayload(errno, 16, () => undefined),
        NLM_F_CAPPED,
        purpose,
      );
      return [error?.errno, error];
    }),
  );
  const names = (is: (error: unknown) => boolean) => [...errors].filter(([, error]) => is(error)).map(([name]) => name);
  assert.deepEqual(names(isNotFound), ["ENOENT", "ESRCH", "ENXIO", "ENODEV", "EADDRNOTAVAIL"]);
  assert.deepEqual(names(isAlreadyExists), ["EEXIST"]);
  assert.equal(isNotFound(new Error("ENOENT")), false);
});
