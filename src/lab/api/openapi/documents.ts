/**
 * OpenAPI documents: v3 by group and version (`/openapi/v3`), v2 as one (`/openapi/v2`). Made when first asked for and
 * kept until a CustomResourceDefinition changes what is served.
 */
import { createHash } from "node:crypto";
import { apiVersionOf, type Resource } from "../resources/resource.ts";
import type { ResourceTable } from "../resources/resource-table.ts";
import { definitions } from "./json-schema.ts";
import { resourcePaths } from "./paths.ts";
import { encodeDocument } from "./v2-protobuf.ts";

const INFO = { title: "Kubernetes", version: "v1.32.0" };

export class OpenApiDocuments {
  readonly #resources: ResourceTable;
  readonly #cache = new Map<string, Buffer>();
  #generation = -1;

  constructor(resources: ResourceTable) {
    this.#resources = resources;
  }

  /** `/openapi/v3`: where the document of each group and version is; the hash lets clients cache it for good. */
  index(): unknown {
    const groups = new Map(this.#resources.all.map((resource) => [documentPath(resource), resource]));
    const paths = [...groups].map(([path, resource]) => {
      const hash = createHash("sha256")
        .update(this.v3(resource.group, resource.version) ?? "")
        .digest("hex");
      return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash.slice(0, 40).toUpperCase()}` }];
    });
    return { paths: Object.fromEntries(paths) };
  }

  /** The v3 document of a group and version as JSON; undefined where nothing is served. */
  v3(group: string, version: string): Buffer | undefined {
    const resources = this.#resources.inVersion(group, version);
    if (resources.length === 0) return undefined;
    return this.#cached(`v3/${group}/${version}`, () => {
      const schemas = definitions(resources, "#/components/schemas/");
      const paths = Object.assign({}, ...resources.map((resource) => resourcePaths(resource, 3)));
      return Buffer.from(JSON.stringify({ openapi: "3.0.0", info: INFO, paths, components: { schemas } }));
    });
  }

  v2(): Buffer {
    return this.#cached("v2", () => Buffer.from(JSON.stringify(this.#v2Document())));
  }

  /** The same in the protobuf form that older kubectl insists on. */
  v2Protobuf(): Buffer {
    return this.#cached("v2-protobuf", () => encodeDocument(this.#v2Document()));
  }

  #v2Document() {
    const { all } = this.#resources;
    const paths = Object.assign({}, ...all.map((resource) => resourcePaths(resource, 2)));
    return { swagger: "2.0", info: INFO, paths, definitions: definitions(all, "#/definitions/") };
  }

  #cached(key: string, make: () => Buffer): Buffer {
    if (this.#generation !== this.#resources.generation) {
      this.#cache.clear();
      this.#generation = this.#resources.generation;
    }
    let document = this.#cache.get(key);
    if (document === undefined) {
      document = make();
      this.#cache.set(key, document);
    }
    return document;
  }
}

function documentPath(resource: Resource): string {
  return resource.group === "" ? "api/v1" : `apis/${apiVersionOf(resource)}`;
}
