/**
 * Subresources that are requests rather than parts of an object: binding, eviction, finalize, log.
 */
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { at, clone, fieldsOf, listOf, setAt, textOf } from "../object/object.ts";
import { badRequest, conflict, methodNotAllowed, notFound, StatusError } from "../object/status.ts";
import { bindPod } from "../registry/bind.ts";
import { deleteObject, finalizeNamespace } from "../registry/remove.ts";
import { readDocument } from "./body.ts";
import { isDryRun, type ObjectRequest, sendObject } from "./write-requests.ts";

export type PodLog = (namespace: string, name: string) => ReadableStream | undefined;

export async function podSubresource(request: ObjectRequest, podLog: PodLog | undefined): Promise<void> {
  const { exchange, subresource } = request;
  const verb = `${exchange.method} ${subresource}`;
  if (verb === "POST binding") return binding(request);
  if (verb === "POST eviction") return eviction(request);
  if (verb === "GET log") return log(request, podLog);
  if (["exec", "attach", "portforward", "proxy"].includes(subresource)) {
    throw new StatusError(
      501,
      "NotImplemented",
      `pods/${subresource} is not served here; run commands with "breakwater lab exec"`,
    );
  }
  throw methodNotAllowed(request.resource, exchange.method);
}

const SUCCESS = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

async function binding({ registry, resource, namespace, name, exchange }: ObjectRequest): Promise<void> {
  const body = await readDocument(exchange.request);
  const node = textOf(at(body, "target", "name"));
  if (node === "") throw badRequest("Binding: target.name: Required value: the node to bind to");
  const pod = registry.get(resource, namespace, name);
  if (!isDryRun(exchange)) bindPod(registry, pod, node, textOf(at(body, "metadata", "uid")));
  exchange.sendJson(201, SUCCESS);
}

async function eviction({ registry, resource, namespace, name, exchange }: ObjectRequest): Promise<void> {
  const body = await readDocument(exchange.request);
  const options = fieldsOf(at(body, "deleteOptions"));
  const grace = options["gracePeriodSeconds"];
  deleteObject(
    registry,
    resource,
    { namespace, name },
    {
      dryRun: isDryRun(exchange) || listOf(options["dryRun"]).includes("All"),
      ...(typeof grace === "number" && { gracePeriodSeconds: grace }),
      preconditions: fieldsOf(options["preconditions"]),
    },
  );
  exchange.sendJson(201, SUCCESS);
}

async function log(request: ObjectRequest, podLog: PodLog | undefined): Promise<void> {
  const { registry, resource, namespace, name, exchange } = request;
  registry.get(resource, namespace, name);
  const stream = podLog?.(namespace ?? "", name);
  if (stream === undefined) throw notFound({ group: "", plural: "pods/log", kind: "Pod" }, name);
  exchange.writeHead(200, { "Content-Type": "text/plain" });
  const source = Readable.fromWeb(stream);
  exchange.response.on("close", () => source.destroy());
  source.on("error", () => exchange.response.destroy());
  source.pipe(exchange.response);
}

/** PUT namespaces/NAME/finalize sets spec.finalizers, which an ordinary update cannot. */
export async function finalizeRequest(request: ObjectRequest): Promise<void> {
  const { registry, resource, name, exchange } = request;
  const body = await readDocument(exchange.request);
  const old = registry.get(resource, undefined, name);
  const version = textOf(at(body, "metadata", "resourceVersion"));
  if (version !== "" && version !== old.metadata.resourceVersion)
    throw conflict(resource, name, "the object has been modified");
  const finalizers = listOf(at(body, "spec", "finalizers")).map(String);
  if (isDryRun(exchange)) {
    const preview = clone(old);
    setAt(preview, ["spec", "finalizers"], finalizers);
    return sendObject(request, 200, preview);
  }
  return sendObject(request, 200, finalizeNamespace(registry, resource, name, finalizers));
}
