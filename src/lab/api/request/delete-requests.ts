/**
 * Requests that delete one object, or all that selectors select.
 */
import { formatOf } from "../format/format.ts";
import { fieldsOf, isFields, type KubeObject } from "../object/object.ts";
import { badRequest, StatusError } from "../object/status.ts";
import { type DeleteOptions, deleteObject } from "../registry/remove.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { decode } from "../schema/decode.ts";
import { contentType, parseJson, readBody, readDocument } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { listOptions } from "./list-options.ts";
import { isDryRun, type ObjectRequest, sendObject } from "./write-requests.ts";

export async function deleteRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, name, exchange } = request;
  const options = await deleteOptions(exchange);
  const { object, removed } = deleteObject(registry, resource, request, options);
  // A Pod, and whatever is not gone yet, is answered with its last state; the rest with a Status.
  if (!removed || resource.storage === "pods") return sendObject(request, 200, object);
  exchange.sendJson(200, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name,
      ...(resource.group !== "" && { group: resource.group }),
      kind: resource.plural,
      uid: object.metadata.uid,
    },
  });
}

export async function deleteCollectionRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, namespace, exchange } = request;
  const options = await deleteOptions(exchange);
  const { accepted } = exchange;
  const { selects } = listOptions(exchange, resource, namespace, registry.database.version);
  const deleted: KubeObject[] = [];
  for (const object of registry.collection(resource).sorted().filter(selects)) {
    try {
      deleted.push(
        deleteObject(registry, resource, { namespace: object.metadata.namespace, name: object.metadata.name }, options)
          .object,
      );
    } catch (error) {
      // Gone by another's hand meanwhile: that is what was wanted.
      if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
    }
  }
  const format = formatOf(resource, {
    accepted,
    includeObject: exchange.parameter("includeObject"),
    now: registry.now,
  });
  await exchange.sendJsonText(
    200,
    format.list(deleted, { resourceVersion: String(registry.database.version) }),
    accepted,
  );
}

/** Options come as a DeleteOptions body, as query parameters, or as both; the body wins. */
export async function deleteOptions(exchange: Exchange): Promise<DeleteOptions> {
  const body = await optionalBody(exchange);
  const { value } = decode(
    body,
    builtInSchema("DeleteOptions"),
    'DeleteOptions in version "v1" cannot be handled as a DeleteOptions:',
  );
  const grace = value["gracePeriodSeconds"] ?? numberOf(exchange.parameter("gracePeriodSeconds"));
  if (typeof grace === "number" && grace < 0)
    throw badRequest("gracePeriodSeconds: must be greater than or equal to 0");
  const orphan =
    value["orphanDependents"] ??
    (exchange.query.has("orphanDependents") ? exchange.flag("orphanDependents") : undefined);
  const policy = value["propagationPolicy"] ?? (exchange.parameter("propagationPolicy") || undefined);
  const dryRun = Array.isArray(value["dryRun"]) && value["dryRun"].includes("All");
  return {
    dryRun: dryRun || isDryRun(exchange),
    ...(typeof grace === "number" && { gracePeriodSeconds: grace }),
    propagationPolicy: propagation(policy, orphan),
    preconditions: fieldsOf(value["preconditions"]),
  };
}

function propagation(policy: unknown, orphan: unknown): DeleteOptions["propagationPolicy"] {
  if (policy === undefined) return orphan === true ? "Orphan" : undefined;
  if (policy === "Background" || policy === "Foreground" || policy === "Orphan") return policy;
  throw badRequest(
    `propagationPolicy: Unsupported value: ${JSON.stringify(policy)}: supported values: "Background", "Foreground", "Orphan"`,
  );
}

function numberOf(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

async function optionalBody(exchange: Exchange): Promise<Record<string, unknown>> {
  if (/yaml$|protobuf$/.test(contentType(exchange.request))) return fieldsOf(await readDocument(exchange.request));
  const text = (await readBody(exchange.request)).toString();
  if (text.trim() === "") return {};
  const body = parseJson(text);
  if (!isFields(body)) throw badRequest("DeleteOptions must be a JSON object");
  return body;
}
