/**
 * Every resource that is served now. CustomResourceDefinitions add theirs with the write that establishes them and
 * take them away with the one that deletes the definition.
 */
import { customResources, isEstablished, storageName } from "../custom/custom-resource.ts";
import { at, type Fields, type KubeObject, listOf } from "../object/object.ts";
import type { Database } from "../store/database.ts";
import { BUILT_IN_RESOURCES } from "./built-in.ts";
import { apiVersionOf, type Resource } from "./resource.ts";

export class ResourceTable {
  readonly #definitions: Database;
  #all: readonly Resource[] = BUILT_IN_RESOURCES;
  #byPath = new Map<string, Resource>();
  readonly #custom = new Map<string, readonly Resource[]>();
  #generation = 0;

  constructor(database: Database) {
    this.#definitions = database;
    this.#index();
    database.collection("customresourcedefinitions").subscribe(({ type, object }) => {
      if (type === "DELETED") this.#custom.delete(object.metadata.name);
      else this.#custom.set(object.metadata.name, customResources(object));
      this.#index();
    });
  }

  /** Grows with every change, so that derived documents can be cached. */
  get generation(): number {
    return this.#generation;
  }

  get all(): readonly Resource[] {
    return this.#all;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** The resource that stores objects of this apiVersion and kind. */
  findKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#all.find((resource) => resource.kind === kind && apiVersionOf(resource) === apiVersion);
  }

  /** By storage name ("pods", "widgets.example.com"); the first version that serves it. */
  findStorage(storage: string): Resource | undefined {
    return this.#all.find((resource) => resource.storage === storage);
  }

  /** Groups but the core one, each with its versions: stable ones first, as clients prefer them. */
  groups(): Map<string, string[]> {
    const groups = new Map<string, string[]>();
    for (const { group, version } of this.#all) {
      if (group === "") continue;
      const versions = groups.get(group) ?? [];
      if (!versions.includes(version)) versions.push(version);
      groups.set(group, versions);
    }
    for (const versions of groups.values()) versions.sort(compareVersions);
    return groups;
  }

  inVersion(group: string, version: string): Resource[] {
    return this.#all.filter((resource) => resource.group === group && resource.version === version);
  }

  /** Why a definition's names cannot be accepted: another definition of the group has them. */
  nameConflict(definition: Fields): string | undefined {
    const kind = at(definition, "spec", "names", "kind");
    const group = at(definition, "spec", "group");
    for (const other of this.#definitions.collection("customresourcedefinitions").sorted()) {
      if (storageName(other) === storageName(definition as KubeObject) || !isEstablished(other)) continue;
      if (at(other, "spec", "group") === group && at(other, "spec", "names", "kind") === kind) {
        return `${JSON.stringify(kind)} is already in use`;
      }
    }
    const versions = listOf(at(definition, "spec", "versions")).map((version) => at(version, "name"));
    const taken = BUILT_IN_RESOURCES.some(
      (resource) => resource.group === group && resource.kind === kind && versions.includes(resource.version),
    );
    return taken ? `${JSON.stringify(kind)} is already in use` : undefined;
  }

  #index(): void {
    this.#generation++;
    this.#all = [...BUILT_IN_RESOURCES, ...[...this.#custom.values()].flat()];
    this.#byPath = new Map(
      this.#all.map((resource) => [`${resource.group}/${resource.version}/${resource.plural}`, resource]),
    );
  }
}

/** Kubernetes' order: v2 before v1 before v1beta2 before v1beta1 before v1alpha1 before anything else. */
export function compareVersions(a: string, b: string): number {
  const x = rank(a);
  const y = rank(b);
  for (const [i, value] of x.entries()) if (value !== y[i]) return (y[i] ?? 0) - value;
  return a < b ? -1 : a > b ? 1 : 0;
}

function rank(version: string): number[] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return [0, 0, 0];
  const [, major, stage, minor] = match;
  return [stage === undefined ? 3 : stage === "beta" ? 2 : 1, Number(major), Number(minor ?? 0)];
}
