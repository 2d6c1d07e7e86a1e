/**
 * From a resource path and a method to the verb that answers.
 */
import { formatOf } from "../format/format.ts";
import { methodNotAllowed, noSuchResource, notFound } from "../object/status.ts";
import type { Registry } from "../registry/registry.ts";
import { hasStatus, type Resource } from "../resources/resource.ts";
import { deleteCollectionRequest, deleteRequest } from "./delete-requests.ts";
import type { Exchange } from "./exchange.ts";
import { list } from "./list.ts";
import type { ResourcePath } from "./path.ts";
import { finalizeRequest, type PodLog, podSubresource } from "./subresources.ts";
import { watch } from "./watch.ts";
import type { WatchHub } from "./watch-hub.ts";
import { createRequest, type ObjectRequest, patchRequest, updateRequest } from "./write-requests.ts";

export interface ResourceServer {
  readonly registry: Registry;
  readonly hub: WatchHub;
  readonly podLog: PodLog | undefined;
}

/** @throws StatusError for whatever cannot be done */
export async function serveResource(server: ResourceServer, path: ResourcePath, exchange: Exchange): Promise<void> {
  const resource = server.registry.resources.find(path.group, path.version, path.plural);
  if (resource === undefined) throw noSuchResource();
  if (path.namespace !== undefined && !resource.namespaced) throw noSuchResource();
  if (path.name === undefined) return serveCollection(server, resource, path, exchange);
  if (resource.namespaced && path.namespace === undefined) throw noSuchResource();
  return serveObject(server, resource, { ...path, name: path.name }, exchange);
}

async function serveCollection(
  server: ResourceServer,
  resource: Resource,
  path: ResourcePath,
  exchange: Exchange,
): Promise<void> {
  const { registry, hub } = server;
  const request: ObjectRequest = { registry, resource, namespace: path.namespace, name: "", subresource: "", exchange };
  switch (exchange.method) {
    case "GET":
      if (path.watch || exchange.flag("watch")) return watch(registry, hub, resource, path.namespace, exchange);
      return list(registry, resource, path.namespace, exchange);
    case "POST":
      if (resource.namespaced && path.namespace === undefined)
        throw methodNotAllowed(resource, "POST without a namespace");
      return createRequest(request);
    case "DELETE":
      return deleteCollectionRequest(request);
    default:
      throw methodNotAllowed(resource, exchange.method);
  }
}

async function serveObject(
  server: ResourceServer,
  resource: Resource,
  path: ResourcePath & { readonly name: string },
  exchange: Exchange,
): Promise<void> {
  const { registry, hub } = server;
  const { namespace, name, subresource } = path;
  const request: ObjectRequest = { registry, resource, namespace, name, subresource, exchange };
  if (resource.storage === "pods" && subresource !== "" && subresource !== "status")
    return podSubresource(request, server.podLog);
  if (subresource === "finalize" && resource.storage === "namespaces" && exchange.method === "PUT")
    return finalizeRequest(request);
  if (subresource !== "" && !(subresource === "status" && hasStatus(resource))) throw noSuchResource();
  switch (exchange.method) {
    case "GET":
      if (path.watch || exchange.flag("watch")) {
        exchange.query.set("fieldSelector", `metadata.name=${name}`);
        return watch(registry, hub, resource, namespace, exchange);
      }
      return get(request);
    case "PUT":
      return updateRequest(request);
    case "PATCH":
      return patchRequest(request);
    case "DELETE":
      if (subresource !== "") throw methodNotAllowed(resource, "DELETE");
      return deleteRequest(request);
    default:
      throw methodNotAllowed(resource, exchange.method);
  }
}

async function get({ registry, resource, namespace, name, exchange }: ObjectRequest): Promise<void> {
  const { accepted } = exchange;
  const object = registry.collection(resource).get(namespace, name);
  if (object === undefined) throw notFound(resource, name);
  const format = formatOf(resource, {
    accepted,
    includeObject: exchange.parameter("includeObject"),
    now: registry.now,
  });
  await exchange.sendJsonText(200, format.object(object), accepted);
}
