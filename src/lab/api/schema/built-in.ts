/**
 * The types of every built-in kind, read from the tables once per process.
 */
import type { Schema } from "./schema.ts";
import { readTypeTable } from "./type-table.ts";
import { CONFIG_TYPES } from "./types/config.ts";
import { CUSTOM_RESOURCE_TYPES } from "./types/custom-resource.ts";
import { ENDPOINT_SLICE_TYPES } from "./types/endpoint-slice.ts";
import { EVENT_TYPES } from "./types/event.ts";
import { EVICTION_TYPES } from "./types/eviction.ts";
import { LEASE_TYPES } from "./types/lease.ts";
import { META_TYPES } from "./types/meta.ts";
import { NETWORK_POLICY_TYPES } from "./types/network-policy.ts";
import { NODE_TYPES } from "./types/node.ts";
import { POD_TYPES } from "./types/pod.ts";
import { POD_STATUS_TYPES } from "./types/pod-status.ts";
import { SERVICE_TYPES } from "./types/service.ts";
import { VOLUME_TYPES } from "./types/volume.ts";

const TYPES = readTypeTable([
  META_TYPES,
  POD_TYPES,
  POD_STATUS_TYPES,
  VOLUME_TYPES,
  NODE_TYPES,
  SERVICE_TYPES,
  ENDPOINT_SLICE_TYPES,
  NETWORK_POLICY_TYPES,
  CONFIG_TYPES,
  LEASE_TYPES,
  EVENT_TYPES,
  CUSTOM_RESOURCE_TYPES,
  EVICTION_TYPES,
]);

/** Schema of a built-in type by its short name: "Pod", "ObjectMeta". @throws RangeError for an unknown name */
export function builtInSchema(name: string): Schema {
  const schema = TYPES.get(name);
  if (schema === undefined) throw new RangeError(`No built-in type is named ${name}`);
  return schema;
}

/** Every built-in type, for OpenAPI. */
export function builtInSchemas(): IterableIterator<Schema> {
  return TYPES.values();
}
