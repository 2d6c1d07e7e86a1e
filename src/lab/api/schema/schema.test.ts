import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldErrors } from "../object/field-errors.ts";
import type { Fields } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { builtInSchema, builtInSchemas } from "./built-in.ts";
import { decode } from "./decode.ts";
import { decodeProtobuf } from "./protobuf.ts";
import { validateRequired } from "./required.ts";
import { readTypeTable } from "./type-table.ts";

const TABLE = `
Pod name#1!:string labels#2:{string}=atomic ports#3.1:[Port]^port|port,protocol=TCP
  finalizers:[string]^=set volumes:[Port]^port&
Port=atomic port:int protocol:string self:Port
`;

test("readTypeTable() reads every attribute of the notation", () => {
  const types = readTypeTable([{ prefix: "x.v1", types: TABLE }]);
  const pod = types.get("Pod");
  assert.deepEqual(pod?.required, ["name"]);
  assert.deepEqual(
    [...(pod?.numbers ?? [])],
    [
      ["1", "name"],
      ["2", "labels"],
      ["3.1", "ports"],
    ],
  );
  assert.deepEqual(pod?.fields?.get("labels"), { type: "map", items: { type: "string" }, atomic: true });
  const { items, ...ports } = pod?.fields?.get("ports") ?? {};
  assert.equal(items, types.get("Port"));
  assert.deepEqual(ports, {
    type: "list",
    patchMerge: true,
    patchMergeKey: "port",
    listType: "map",
    listKeys: ["port", "protocol"],
    listKeyDefaults: { protocol: "TCP" },
  });
  assert.equal(pod?.fields?.get("finalizers")?.listType, "set");
  assert.equal(pod?.fields?.get("volumes")?.retainKeys, true);
  assert.equal(types.get("Port")?.typeName, "x.v1.Port");
  assert.equal(types.get("Port")?.fields?.get("self"), types.get("Port"));
});

for (const types of ["A a:Nothing", "A a", "A a:string\nA b:string"]) {
  test(`readTypeTable() refuses ${JSON.stringify(types)}`, () => {
    assert.throws(() => readTypeTable([{ prefix: "x", types }]), SyntaxError);
  });
}

test("built-in types: list keys and merge keys are fields of the items", () => {
  for (const schema of builtInSchemas()) {
    for (const [name, field] of schema.fields ?? []) {
      for (const key of [...(field.listKeys ?? []), ...(field.patchMergeKey ? [field.patchMergeKey] : [])]) {
        assert.ok(field.items?.fields?.has(key), `${schema.typeName}.${name} by ${key}`);
      }
    }
  }
});

const DECODED: readonly { name: string; type: string; input: Fields; value: Fields; unknown: string[] }[] = [
  { name: "drops nulls", type: "ObjectMeta", input: { name: "a", labels: null }, value: { name: "a" }, unknown: [] },
  {
    name: "names unknown fields with their path",
    type: "PodSpec",
    input: { containers: [{ name: "c", foo: 1 }], bar: {} },
    value: { containers: [{ name: "c" }] },
    unknown: ["containers[0].foo", "bar"],
  },
  {
    name: "keeps an empty list apart from none",
    type: "NetworkPolicySpec",
    input: { ingress: [{ from: [] }] },
    value: { ingress: [{ from: [] }] },
    unknown: [],
  },
  {
    name: "takes ports by number and name",
    type: "ServicePort",
    input: { port: 80, targetPort: "http" },
    value: { port: 80, targetPort: "http" },
    unknown: [],
  },
  {
    name: "takes quantities as numbers",
    type: "ResourceRequirements",
    input: { limits: { cpu: 1 } },
    value: { limits: { cpu: "1" } },
    unknown: [],
  },
];

for (const { name, type, input, value, unknown } of DECODED) {
  test(`decode() ${name}`, () => {
    const decoded = decode(input, builtInSchema(type), "");
    assert.deepEqual([decoded.value, decoded.unknownFields], [value, unknown]);
  });
}

const MISTYPED: readonly (readonly [string, Fields])[] = [
  ["PodSpec", { containers: {} }],
  ["PodSpec", { hostNetwork: "true" }],
  ["ServicePort", { port: 80.5 }],
  ["ServicePort", { port: 2 ** 40 }],
  ["ServicePort", { targetPort: true }],
  ["ObjectMeta", { labels: [] }],
  ["ObjectMeta", { creationTimestamp: "yesterday" }],
  ["ResourceRequirements", { limits: { cpu: "a lot" } }],
  ["PodSpec", { containers: [null] }],
];

for (const [type, input] of MISTYPED) {
  test(`decode() refuses ${JSON.stringify(input)} as ${type}`, () => {
    assert.throws(
      () => decode(input, builtInSchema(type), "Subject"),
      (error) =>
        error instanceof StatusError && error.code === 400 && /^Subject json: cannot unmarshal/.test(error.message),
    );
  });
}

test("validateRequired() names every missing field", () => {
  const errors = new FieldErrors();
  validateRequired(
    { containers: [{ name: "" }], volumes: [{ hostPath: {} }] },
    builtInSchema("PodSpec"),
    errors,
    "spec",
  );
  assert.deepEqual(
    errors.causes.map((cause) => cause.field),
    ["spec.containers[0].name", "spec.volumes[0].name", "spec.volumes[0].hostPath.path"],
  );
});

/** A protobuf field of bytes or text. */
const field = (number: number, content: string | Buffer) => {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.of((number << 3) | 2, bytes.length), bytes]);
};
const envelope = (kind: string, raw: Buffer) =>
  Buffer.concat([Buffer.from("k8s\0"), field(1, Buffer.concat([field(1, "v1"), field(2, kind)])), field(2, raw)]);
const lookUp = (_apiVersion: string, kind: string) => (kind === "Gadget" ? undefined : builtInSchema(kind));

test("decodeProtobuf() reads strings, numbers, maps, lists, bytes and ports", () => {
  const port = Buffer.concat([
    field(1, "http"),
    Buffer.of((3 << 3) | 0, 80),
    field(4, Buffer.concat([Buffer.of(8, 1), field(3, "web")])),
  ]);
  const selector = Buffer.concat([field(1, "app"), field(2, "web")]);
  const raw = Buffer.concat([
    field(1, field(1, "web")),
    field(2, Buffer.concat([field(1, port), field(2, selector), field(3, "")])),
  ]);
  assert.deepEqual(decodeProtobuf(envelope("Service", raw), lookUp), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: { ports: [{ name: "http", port: 80, targetPort: "web" }], selector: { app: "web" } },
  });
  const secret = Buffer.concat([field(2, Buffer.concat([field(1, "k"), field(2, Buffer.of(1, 2))]))]);
  assert.deepEqual(decodeProtobuf(envelope("Secret", secret), lookUp)["data"], { k: "AQI=" });
});

test("decodeProtobuf() reads messages that JSON has inline", () => {
  const volume = Buffer.concat([field(1, "v"), field(2, field(1, field(1, "/x")))]);
  const decoded = decodeProtobuf(envelope("Volume", volume), lookUp);
  assert.deepEqual([decoded["name"], decoded["hostPath"]], ["v", { path: "/x" }]);
});

const BROKEN: readonly (readonly [string, Buffer])[] = [
  ["another magic", Buffer.from("xxxx")],
  ["nothing behind the magic", Buffer.from("k8s\0")],
  ["a field that ends behind the body", Buffer.concat([Buffer.from("k8s\0"), Buffer.of(10, 99)])],
  ["a number without end", Buffer.concat([Buffer.from("k8s\0"), Buffer.alloc(12, 0xff)])],
  ["an unknown kind", envelope("Gadget", Buffer.alloc(0))],
];

for (const [name, body] of BROKEN) {
  test(`decodeProtobuf() refuses ${name}`, () => {
    assert.throws(
      () => decodeProtobuf(body, (version, kind) => (version === "" ? undefined : lookUp(version, kind))),
      (error) => error instanceof StatusError && error.code === 400,
    );
  });
}
