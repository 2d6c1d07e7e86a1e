/**
 * Node and Namespace.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const NODE_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Node apiVersion:string kind:string metadata#1:ObjectMeta spec#2:NodeSpec status#3:NodeStatus
NodeSpec configSource#6:NodeConfigSource externalID#2:string podCIDR#1:string podCIDRs#7:[string]^=set
  providerID#3:string taints#5:[Taint] unschedulable#4:bool
NodeConfigSource configMap#2:ConfigMapNodeConfigSource
ConfigMapNodeConfigSource kubeletConfigKey#5!:string name#2!:string namespace#1!:string resourceVersion#4:string
  uid#3:string
Taint effect#3!:string key#1!:string timeAdded#4:time value#2:string
NodeStatus addresses#5:[NodeAddress]^type allocatable#2:{quantity} capacity#1:{quantity}
  conditions#4:[NodeCondition]^type config#11:NodeConfigStatus daemonEndpoints#6:NodeDaemonEndpoints
  declaredFeatures:[string] features#13:NodeFeatures images#8:[ContainerImage] nodeInfo#7:NodeSystemInfo
  phase#3:string runtimeHandlers#12:[NodeRuntimeHandler] volumesAttached#10:[AttachedVolume] volumesInUse#9:[string]
NodeAddress address#2:string type#1:string
NodeCondition lastHeartbeatTime#3:time lastTransitionTime#4:time message#6:string reason#5:string status#2:string
  type#1:string
NodeConfigStatus active#2:NodeConfigSource assigned#1:NodeConfigSource error#4:string
  lastKnownGood#3:NodeConfigSource
NodeDaemonEndpoints kubeletEndpoint#1:DaemonEndpoint
DaemonEndpoint Port#1:int
NodeFeatures supplementalGroupsPolicy#1:bool
ContainerImage names#1:[string] sizeBytes#2:int64
NodeSystemInfo architecture#10:string bootID#3:string containerRuntimeVersion#6:string kernelVersion#4:string
  kubeProxyVersion#8:string kubeletVersion#7:string machineID#1:string operatingSystem#9:string osImage#5:string
  swap:NodeSwapStatus systemUUID#2:string
NodeSwapStatus capacity:int64
NodeRuntimeHandler features#2:NodeRuntimeHandlerFeatures name#1:string
NodeRuntimeHandlerFeatures recursiveReadOnlyMounts#1:bool userNamespaces#2:bool
AttachedVolume devicePath#2:string name#1:string
Namespace apiVersion:string kind:string metadata#1:ObjectMeta spec#2:NamespaceSpec status#3:NamespaceStatus
NamespaceSpec finalizers#1:[string]
NamespaceStatus conditions#2:[NamespaceCondition]^type phase#1:string
NamespaceCondition lastTransitionTime#4:time message#6:string reason#5:string status#2:string type#1:string
`,
};
