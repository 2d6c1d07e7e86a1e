/**
 * Requests that change one object: create, update, patch.
 */
import { formatOf } from "../format/format.ts";
import type { Accepted } from "../format/media-type.ts";
import type { KubeObject } from "../object/object.ts";
import { badRequest, unsupportedMediaType } from "../object/status.ts";
import { create } from "../registry/create.ts";
import { type PatchType, patch } from "../registry/patch.ts";
import type { Registry } from "../registry/registry.ts";
import { update } from "../registry/update.ts";
import type { FieldValidation, WriteOptions } from "../registry/write-options.ts";
import type { Resource } from "../resources/resource.ts";
import { contentType, parseJson, readBody, readDocument } from "./body.ts";
import type { Exchange } from "./exchange.ts";

export interface ObjectRequest {
  readonly registry: Registry;
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: string;
  readonly exchange: Exchange;
}

export async function createRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, namespace, exchange } = request;
  const body = await readDocument(exchange.request);
  const object = create(registry, resource, namespace, body, writeOptions(request));
  await sendObject(request, 201, object);
}

export async function updateRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, exchange } = request;
  const body = await readDocument(exchange.request);
  const object = update(registry, resource, request, body, writeOptions(request));
  await sendObject(request, 200, object);
}

const PATCH_TYPES: Readonly<Record<string, PatchType>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
  "application/apply-patch+yaml": "apply",
};

export async function patchRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, exchange } = request;
  const type = PATCH_TYPES[contentType(exchange.request)];
  if (type === undefined) {
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: ${Object.keys(PATCH_TYPES).join(", ")}`,
    );
  }
  const body =
    type === "apply" ? await readDocument(exchange.request) : parseJson((await readBody(exchange.request)).toString());
  const options = { ...writeOptions(request), force: exchange.flag("force") };
  if (type !== "apply" && options.force) throw badRequest("force may only be specified for apply patches");
  const { object, created } = patch(registry, resource, request, type, body, options);
  await sendObject(request, created ? 201 : 200, object);
}

export async function sendObject(request: ObjectRequest, code: number, object: KubeObject): Promise<void> {
  const { registry, resource, exchange } = request;
  const accepted: Accepted = exchange.accepted;
  const format = formatOf(resource, {
    accepted,
    includeObject: exchange.parameter("includeObject"),
    now: registry.now,
  });
  await exchange.sendJsonText(code, format.object(object), accepted);
}

export function isDryRun(exchange: Exchange): boolean {
  const values = exchange.query.getAll("dryRun");
  if (values.some((value) => value !== "All"))
    throw badRequest(`Invalid value: ${JSON.stringify(values)}: dryRun: supported values: "All"`);
  return values.length > 0;
}

export function writeOptions({ exchange, subresource }: ObjectRequest): WriteOptions {
  const fieldValidation = exchange.parameter("fieldValidation") || "Warn";
  if (!["Strict", "Warn", "Ignore"].includes(fieldValidation)) {
    throw badRequest(
      `Invalid value: "${fieldValidation}": fieldValidation: supported values: "Ignore", "Warn", "Strict"`,
    );
  }
  const isApply = contentType(exchange.request) === "application/apply-patch+yaml";
  return {
    dryRun: isDryRun(exchange),
    fieldManager: exchange.parameter("fieldManager") || (isApply ? "" : defaultManager(exchange)),
    fieldValidation: fieldValidation as FieldValidation,
    subresource: subresource === "status" ? "status" : "",
    warn: (message) => exchange.warn(message),
  };
}

/** The program's name, as in "kubectl/v1.32.4 (linux/amd64)". */
function defaultManager(exchange: Exchange): string {
  return (exchange.request.headers["user-agent"] ?? "").split("/")[0]?.slice(0, 128) || "unknown";
}
