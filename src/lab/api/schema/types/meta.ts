/**
 * The types every API group shares: object metadata, label selectors, conditions and what requests carry.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const META_TYPES: TypePackage = {
  prefix: "io.k8s.apimachinery.pkg.apis.meta.v1",
  types: `
ObjectMeta annotations:{string} creationTimestamp:time deletionGracePeriodSeconds:int64 deletionTimestamp:time
  finalizers:[string]^=set generateName:string generation:int64 labels:{string} managedFields:[ManagedFieldsEntry]
  name:string namespace:string ownerReferences:[OwnerReference]^uid resourceVersion:string selfLink:string
  uid:string
ManagedFieldsEntry apiVersion:string fieldsType:string fieldsV1:any manager:string operation:string
  subresource:string time:time
OwnerReference=atomic apiVersion!:string blockOwnerDeletion:bool controller:bool kind!:string name!:string
  uid!:string
LabelSelector=atomic matchExpressions:[LabelSelectorRequirement] matchLabels:{string}
LabelSelectorRequirement key!:string operator!:string values:[string]
Condition lastTransitionTime:time message:string observedGeneration:int64 reason:string status:string type:string
ListMeta continue:string remainingItemCount:int64 resourceVersion:string selfLink:string
Status apiVersion:string code:int details:StatusDetails kind:string message:string metadata:ListMeta reason:string
  status:string
StatusDetails causes:[StatusCause] group:string kind:string name:string retryAfterSeconds:int uid:string
StatusCause field:string message:string reason:string
DeleteOptions apiVersion:string dryRun:[string] gracePeriodSeconds:int64
  ignoreStoreReadErrorWithClusterBreakingPotential:bool kind:string orphanDependents:bool
  preconditions:Preconditions propagationPolicy:string
Preconditions resourceVersion:string uid:string
`,
};
