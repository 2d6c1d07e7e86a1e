/**
 * The types every API group shares: object metadata, label selectors, conditions and what requests carry.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const META_TYPES: TypePackage = {
  prefix: "io.k8s.apimachinery.pkg.apis.meta.v1",
  types: `
ObjectMeta annotations#12:{string} creationTimestamp#8:time deletionGracePeriodSeconds#10:int64
  deletionTimestamp#9:time finalizers#14:[string]^=set generateName#2:string generation#7:int64 labels#11:{string}
  managedFields#17:[ManagedFieldsEntry] name#1:string namespace#3:string ownerReferences#13:[OwnerReference]^uid
  resourceVersion#6:string selfLink#4:string uid#5:string
ManagedFieldsEntry apiVersion#3:string fieldsType#6:string fieldsV1#7:any manager#1:string operation#2:string
  subresource#8:string time#4:time
OwnerReference=atomic apiVersion#5!:string blockOwnerDeletion#7:bool controller#6:bool kind#1!:string name#3!:string
  uid#4!:string
LabelSelector=atomic matchExpressions#2:[LabelSelectorRequirement] matchLabels#1:{string}
LabelSelectorRequirement key#1!:string operator#2!:string values#3:[string]
Condition lastTransitionTime#4:time message#6:string observedGeneration#3:int64 reason#5:string status#2:string
  type#1:string
ListMeta continue#3:string remainingItemCount#4:int64 resourceVersion#2:string selfLink#1:string
Status apiVersion:string code#6:int details#5:StatusDetails kind:string message#3:string metadata#1:ListMeta
  reason#4:string status#2:string
StatusDetails causes#4:[StatusCause] group#2:string kind#3:string name#1:string retryAfterSeconds#5:int uid#6:string
StatusCause field#3:string message#2:string reason#1:string
DeleteOptions apiVersion:string dryRun#5:[string] gracePeriodSeconds#1:int64
  ignoreStoreReadErrorWithClusterBreakingPotential#6:bool kind:string orphanDependents#3:bool
  preconditions#2:Preconditions propagationPolicy#4:string
Preconditions resourceVersion#2:string uid#1:string
`,
};
