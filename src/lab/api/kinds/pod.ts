/**
 * Pod: what the API server does with one beyond storing it. Binding and graceful deletion are requests of their own.
 */
import { fieldsOf, type KubeObject } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { addDefaultTolerations, defaultPod, qosClass } from "./pod-defaults.ts";
import { validatePod, validatePodUpdate } from "./pod-validation.ts";

export const POD_STRATEGY: Strategy = {
  nameRule: "subdomain",
  countsGeneration: true,
  selectableFields: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
  ],
  defaults: defaultPod,
  prepareCreate: (pod: KubeObject) => {
    addDefaultTolerations(pod);
    pod["status"] = { phase: "Pending", qosClass: qosClass(pod) };
  },
  prepareUpdate: (pod: KubeObject, old: KubeObject) => {
    const status = fieldsOf(pod["status"]);
    status["qosClass"] ??= fieldsOf(old["status"])["qosClass"];
  },
  validate: validatePod,
  validateUpdate: validatePodUpdate,
};
