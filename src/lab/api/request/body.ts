/**
 * Request bodies: bounded in size, JSON or YAML by their content type.
 */
import type { IncomingMessage } from "node:http";
import { isFields } from "../object/object.ts";
import { badRequest, StatusError, unsupportedMediaType } from "../object/status.ts";
import { BUILT_IN_RESOURCES } from "../resources/built-in.ts";
import { apiVersionOf } from "../resources/resource.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { decodeProtobuf } from "../schema/protobuf.ts";
import type { Schema } from "../schema/schema.ts";

/** The real server's limit for resource requests (MaxRequestBodyBytes). */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** An object nested deeper than any schema is an attack on recursion. */
const MAX_DEPTH = 500;

/** Beyond this a client that sends too much is cut off instead of told. */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/** @throws StatusError 413 when it is too large */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    else if (size > MAX_DISCARDED_BYTES) request.destroy();
    // What is too large is read to its end all the same: a client that still sends does not see an answer.
    else chunks.length = 0;
  });
  request.on("end", () => (size > MAX_BODY_BYTES ? reject(tooLarge()) : resolve(Buffer.concat(chunks))));
  request.on("error", reject);
  request.on("close", () => {
    if (!request.complete) reject(badRequest("the client closed the connection before the request was complete"));
  });
  return promise;
}

function tooLarge(): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${MAX_BODY_BYTES}`);
}

/** How kubectl's typed commands send built-in kinds. */
const PROTOBUF = "application/vnd.kubernetes.protobuf";

/** Kinds that are requests, not resources. */
const REQUEST_KINDS = ["DeleteOptions", "Eviction", "Binding"];

function protobufSchema(apiVersion: string, kind: string): Schema | undefined {
  if (REQUEST_KINDS.includes(kind)) return builtInSchema(kind);
  return BUILT_IN_RESOURCES.find((resource) => resource.kind === kind && apiVersionOf(resource) === apiVersion)?.schema;
}

/** Media type of a body without its parameters. */
export function contentType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Reads and parses a body that is an object or list. @throws StatusError 400, 413 or 415 */
export async function readDocument(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  const type = contentType(request);
  if (type === PROTOBUF) return decodeProtobuf(body, protobufSchema);
  if (type === "application/yaml" || type.endsWith("+yaml")) return parseYaml(body.toString());
  if (type !== "" && type !== "application/json" && !type.endsWith("+json") && type !== "*/*") {
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, ${PROTOBUF}`,
    );
  }
  return parseJson(body.toString());
}

export function parseJson(text: string): unknown {
  if (text.trim() === "") throw badRequest("the request has no body: an object in JSON or YAML is expected");
  try {
    return checkDepth(JSON.parse(text));
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw badRequest(`couldn't get version/kind; json parse error: ${error instanceof Error ? error.message : error}`);
  }
}

async function parseYaml(text: string): Promise<unknown> {
  const { parseAllDocuments } = await import("yaml");
  const documents = [...parseAllDocuments(text)].flatMap((entry) => ("toJS" in entry ? [entry] : []));
  const [document] = documents;
  if (document === undefined) throw badRequest("the request has no body: an object in JSON or YAML is expected");
  if (documents.length > 1) throw badRequest("the body holds more than one YAML document; send one object a request");
  const [error] = document.errors;
  if (error !== undefined) throw badRequest(`yaml: ${error.message}`);
  try {
    // A bound on aliases: a small body must not unfold into a large one.
    return checkDepth(document.toJS({ maxAliasCount: 100 }));
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    throw badRequest(`yaml: ${cause instanceof Error ? cause.message : cause}`);
  }
}

function checkDepth(value: unknown): unknown {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw badRequest(`the body is nested more than ${MAX_DEPTH} levels deep`);
    level = level.flatMap((item) => (Array.isArray(item) ? item : isFields(item) ? Object.values(item) : []));
  }
  return value;
}
