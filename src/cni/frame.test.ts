import assert from "node:assert/strict";
import { test } from "node:test";
import { CniError } from "./cni-error.ts";
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, MAX_PAYLOAD_BYTES, requestLength } from "./frame.ts";
import { request } from "./server-fixture.ts";

test("decodeRequest() gives back what encodeRequest() was given, NUL bytes and UTF-8 included", () => {
  const original = request("ADD", { args: "a=é", stdin: '{"x":"\0\n€😀"}', startedAtMs: 1_700_000_000_123 });
  assert.deepEqual(decodeRequest(encodeRequest(original)), original);
});

test("requestLength() knows the length as soon as the header is there", () => {
  const bytes = encodeRequest(request("ADD"));
  assert.equal(requestLength(bytes.subarray(0, 15)), undefined);
  assert.equal(requestLength(bytes.subarray(0, 16)), bytes.length);
});

test("decodeRequest() refuses every truncation of a request", () => {
  const bytes = encodeRequest(request("ADD"));
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeRequest(bytes.subarray(0, length)), CniError, `cut at ${length}`);
  }
});

const header = (payload: number) => {
  const bytes = encodeRequest(request("ADD"));
  bytes.writeUInt32BE(payload, 4);
  return bytes;
};
const lyingField = encodeRequest(request("ADD"));
lyingField.writeUInt32BE(0xffffffff, 16);
const notText = encodeRequest(request("ADD"));
notText[20] = 0xff;

for (const [name, bytes, why] of [
  ["another protocol", Buffer.from("GET / HTTP/1.1\r\n\r\n"), /no Breakwater request/],
  ["a payload over the limit", header(MAX_PAYLOAD_BYTES + 1), /larger than/],
  ["a field longer than the request", lyingField, /longer than the request/],
  ["a field that is no UTF-8", notText, /not UTF-8/],
  [
    "bytes behind the last field",
    Buffer.concat([header(encodeRequest(request("ADD")).length - 15), Buffer.alloc(1)]),
    /behind/,
  ],
] as const) {
  test(`decodeRequest() refuses ${name} with code 6`, () => {
    assert.throws(
      () => decodeRequest(bytes),
      (error) => error instanceof CniError && error.cniCode === 6 && why.test(error.message),
    );
  });
}

test("decodeAnswer() gives back what encodeAnswer() was given, and refuses a cut one", () => {
  const bytes = encodeAnswer({ exitStatus: 1, text: '{"code":11}' });
  assert.deepEqual(decodeAnswer(bytes), { exitStatus: 1, text: '{"code":11}' });
  assert.throws(() => decodeAnswer(bytes.subarray(0, -1)), SyntaxError);
});
