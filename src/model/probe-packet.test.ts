import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeProbePacket,
  encodeAcknowledgement,
  encodeProbe,
  PROBE_HEADER_BYTES,
  quotedNonce,
} from "./probe-packet.ts";

const probe = { nonce: "0123456789abcdef", bytes: 1500, together: true, suspect: false };

test("a probe fills its IP packet to the byte and reads back", () => {
  for (const family of [4, 6] as const) {
    for (const bytes of [PROBE_HEADER_BYTES[family] + 18, 576, 1280, 1500, 9000, 65535]) {
      const payload = encodeProbe({ ...probe, bytes }, family);
      assert.equal(payload.length, bytes - PROBE_HEADER_BYTES[family]);
      assert.deepEqual(decodeProbePacket(payload, family), { kind: "probe", ...probe, bytes });
    }
  }
});

test("flags are told apart", () => {
  for (const together of [true, false]) {
    for (const suspect of [true, false]) {
      const packet = decodeProbePacket(encodeProbe({ ...probe, together, suspect }, 4), 4);
      assert.deepEqual(packet, { kind: "probe", ...probe, together, suspect });
    }
  }
});

test("acknowledgements read back, as many as fit", () => {
  const nonces = Array.from({ length: 70 }, (_, i) => i.toString(16).padStart(16, "0"));
  for (const count of [0, 1, 64]) {
    const packet = decodeProbePacket(encodeAcknowledgement(nonces.slice(0, count)), 4);
    assert.deepEqual(packet, { kind: "acknowledgement", nonces: nonces.slice(0, count) });
  }
  const packet = decodeProbePacket(encodeAcknowledgement(nonces), 4);
  assert.deepEqual(packet, { kind: "acknowledgement", nonces: nonces.slice(0, 64) });
});

test("what is cut, lengthened, foreign or of another version is nothing", () => {
  const whole = encodeProbe(probe, 4);
  const answer = encodeAcknowledgement(["0123456789abcdef"]);
  const changed = (buffer: Buffer, at: number, value: number) => {
    const copy = Buffer.from(buffer);
    copy[at] = value;
    return copy;
  };
  const bad = [
    Buffer.alloc(0),
    Buffer.alloc(7),
    Buffer.alloc(1472),
    whole.subarray(0, whole.length - 1),
    Buffer.concat([whole, Buffer.alloc(1)]),
    changed(whole, 0, 0),
    changed(whole, 4, 2),
    changed(whole, 5, 3),
    answer.subarray(0, answer.length - 1),
    changed(answer, 7, 2),
    changed(answer, 7, 255),
  ];
  for (const payload of bad)
    assert.equal(decodeProbePacket(payload, 4), undefined, payload.toString("hex").slice(0, 40));
  // Sizes differ by the family's headers.
  assert.equal(decodeProbePacket(whole, 6), undefined);
});

test("any prefix and any change of one byte is decoded without an exception", () => {
  const whole = encodeProbe({ ...probe, bytes: 100 }, 4);
  for (let length = 0; length <= whole.length; length++) decodeProbePacket(whole.subarray(0, length), 4);
  for (let at = 0; at < whole.length; at++) {
    for (let value = 0; value < 256; value++) {
      const copy = Buffer.from(whole);
      copy[at] = value;
      decodeProbePacket(copy, 4);
      quotedNonce(copy);
    }
  }
});

test("quotedNonce() needs the nonce whole, and only believes probes", () => {
  const payload = encodeProbe(probe, 4);
  assert.equal(quotedNonce(payload), probe.nonce);
  assert.equal(quotedNonce(payload.subarray(0, 16)), probe.nonce);
  assert.equal(quotedNonce(payload.subarray(0, 15)), undefined);
  assert.equal(quotedNonce(Buffer.alloc(0)), undefined);
  assert.equal(quotedNonce(encodeAcknowledgement([probe.nonce, probe.nonce])), undefined);
});
