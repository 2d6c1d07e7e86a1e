/**
 * What a write may depend on besides the object itself.
 */
import type { NodePortAllocator } from "../allocate/node-port.ts";
import type { ServiceIpAllocator } from "../allocate/service-ip.ts";
import type { Fields } from "../object/object.ts";

export interface WriteContext {
  /** RFC 3339, in seconds: the API's time format. */
  readonly now: string;
  readonly serviceIps: ServiceIpAllocator;
  readonly nodePorts: NodePortAllocator;
  /** True when another CustomResourceDefinition already has these names; the reason. */
  readonly customNameConflict: (definition: Fields) => string | undefined;
}
