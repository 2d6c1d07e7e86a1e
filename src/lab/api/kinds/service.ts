/**
 * Service: defaults, then addresses and ports, then validation of the whole.
 */
import type { Strategy } from "../resources/resource.ts";
import { allocateService } from "./service-allocation.ts";
import { defaultService } from "./service-defaults.ts";
import { dropIngress } from "./service-load-balancer.ts";
import { validateService, validateServiceUpdate } from "./service-validation.ts";

export const SERVICE_STRATEGY: Strategy = {
  nameRule: "label-1035",
  selectableFields: ["spec.clusterIP", "spec.type"],
  defaults: defaultService,
  prepareCreate: (service, context) => {
    service["status"] = { loadBalancer: {} };
    allocateService(service, undefined, context);
  },
  prepareUpdate: (service, old, context) => {
    dropIngress(service);
    allocateService(service, old, context);
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
};
