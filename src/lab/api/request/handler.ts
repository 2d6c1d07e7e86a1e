/**
 * The first look at a request: faults, authentication, then health, version, discovery, OpenAPI or a resource.
 */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { methodNotAllowed, noSuchResource, StatusError } from "../object/status.ts";
import { OpenApiDocuments } from "../openapi/documents.ts";
import type { ResourceTable } from "../resources/resource-table.ts";
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, apiVersions } from "./discovery.ts";
import { Exchange } from "./exchange.ts";
import { parseResourcePath, segments } from "./path.ts";
import { type ResourceServer, serveResource } from "./resource-requests.ts";

export interface HandlerOptions extends ResourceServer {
  readonly token: string | undefined;
  /** Status to fail every request with; undefined for normal service. */
  readonly failure: () => number | undefined;
}

/** What anybody may ask without a token. */
const PUBLIC = new Set(["/healthz", "/livez", "/readyz", "/version"]);
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export function createHandler(options: HandlerOptions): Handler {
  const documents = new OpenApiDocuments(options.registry.resources);
  return (request, response) => {
    const exchange = new Exchange(request, response);
    serve(options, documents, exchange).catch((error: unknown) => exchange.sendError(asStatus(error)));
  };
}

function asStatus(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StatusError(500, "InternalError", `Internal error occurred: ${message}`, {
    causes: [{ reason: "", message }],
  });
}

async function serve(options: HandlerOptions, documents: OpenApiDocuments, exchange: Exchange): Promise<void> {
  const failure = options.failure();
  if (failure !== undefined) throw injectedFailure(failure);
  if (!PUBLIC.has(exchange.path)) authenticate(options.token, exchange.request.headers.authorization);
  if (!METHODS.has(exchange.method)) throw methodNotAllowed(undefined, exchange.method);
  const path = parseResourcePath(exchange.path);
  if (path !== undefined) return serveResource(options, path, exchange);
  if (exchange.method !== "GET") throw methodNotAllowed(undefined, exchange.method);
  serveDocument(options, documents, exchange);
}

/** Reasons that client-go decides by, for the codes it decides by. */
const FAILURE_REASONS: Readonly<Record<number, string>> = {
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

function injectedFailure(code: number): StatusError {
  return new StatusError(code, FAILURE_REASONS[code] ?? "", "the server was told to fail every request");
}

function authenticate(token: string | undefined, header: string | undefined): void {
  if (token === undefined) return;
  const given = Buffer.from(/^Bearer (.+)$/i.exec(header ?? "")?.[1] ?? "");
  const wanted = Buffer.from(token);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  throw new StatusError(401, "Unauthorized", "Unauthorized");
}

const VERSION = {
  major: "1",
  minor: "32",
  gitVersion: "v1.32.0+breakwater",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "linux/amd64",
};

function serveDocument({ registry }: HandlerOptions, documents: OpenApiDocuments, exchange: Exchange): void {
  const [root, group, version, ...more] = segments(exchange.path);
  if (root === "openapi") serveOpenApi(documents, exchange, [group, version, ...more]);
  else if (PUBLIC.has(exchange.path) && root !== "version") exchange.sendText(200, "ok", "text/plain; charset=utf-8");
  else if (more.length > 0) throw noSuchResource();
  else serveDiscovery(registry.resources, exchange, [root, group, version]);
}

function serveDiscovery(resources: ResourceTable, exchange: Exchange, path: readonly (string | undefined)[]): void {
  const [root, group, version] = path;
  const aggregated = aggregatedVersion(exchange.request.headers.accept);
  if (aggregated !== undefined && group === undefined && (root === "api" || root === "apis")) {
    sendAggregated(exchange, aggregatedDiscovery(resources, root, `apidiscovery.k8s.io/${aggregated}`), aggregated);
    return;
  }
  const document =
    group === undefined ? rootDocument(resources, exchange, root) : groupDocument(resources, root, group, version);
  if (document === undefined) throw noSuchResource();
  exchange.sendJson(200, document);
}

function rootDocument(resources: ResourceTable, exchange: Exchange, root: string | undefined): unknown {
  if (root === undefined) return { paths: rootPaths(resources) };
  if (root === "version") return VERSION;
  if (root === "api") return apiVersions(exchange.request.headers.host ?? "");
  return root === "apis" ? apiGroupList(resources) : undefined;
}

function groupDocument(
  resources: ResourceTable,
  root: string | undefined,
  group: string,
  version: string | undefined,
): unknown {
  if (root === "api") return version === undefined ? apiResourceList(resources, "", group) : undefined;
  if (root !== "apis") return undefined;
  return version === undefined ? apiGroup(resources, group) : apiResourceList(resources, group, version);
}

function rootPaths(resources: ResourceTable): string[] {
  const groups = [...resources.groups()].flatMap(([group, versions]) => [
    `/apis/${group}`,
    ...versions.map((version) => `/apis/${group}/${version}`),
  ]);
  return [
    "/api",
    "/api/v1",
    "/apis",
    ...groups,
    "/healthz",
    "/livez",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
  ];
}

/** The version of aggregated discovery that the client would rather have than plain documents. */
function aggregatedVersion(accept: string | undefined): string | undefined {
  const first = (accept ?? "").split(",").find((part) => part.includes("application/json"));
  if (first === undefined || !first.includes("g=apidiscovery.k8s.io") || !first.includes("as=APIGroupDiscoveryList"))
    return undefined;
  return /v=(v2beta1|v2)(;|$)/.exec(first.trim())?.[1];
}

function sendAggregated(exchange: Exchange, document: unknown, version: string): void {
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  exchange.sendText(200, JSON.stringify(document), type);
}

function serveOpenApi(documents: OpenApiDocuments, exchange: Exchange, path: readonly (string | undefined)[]): void {
  const [version, root, ...rest] = path;
  const accept = exchange.request.headers.accept ?? "";
  if (version === "v2" && root === undefined) sendV2(documents, exchange, accept);
  else if (version === "v3" && root === undefined) exchange.sendJson(200, documents.index());
  else {
    const [group = "", apiVersion = ""] = root === "api" ? ["", rest[0]] : rest;
    const document = version === "v3" ? documents.v3(group, apiVersion) : undefined;
    if (document === undefined) throw noSuchResource();
    sendBuffer(exchange, document, "application/json");
  }
}

function sendV2(documents: OpenApiDocuments, exchange: Exchange, accept: string): void {
  const protobuf = accept.includes("openapi.spec.v2") && !accept.includes("application/json");
  if (protobuf) sendBuffer(exchange, documents.v2Protobuf(), V2_PROTOBUF);
  else sendBuffer(exchange, documents.v2(), "application/json");
}

/** Clients ask with "@v1.0"; Go's mime package cannot read that back, so the answer is spelt as the real server does. */
const V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

function sendBuffer(exchange: Exchange, body: Buffer, type: string): void {
  exchange.writeHead(200, { "Content-Type": type, "Content-Length": body.length });
  exchange.response.end(body);
}
