/**
 * Node and Namespace.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const NODE_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Node apiVersion:string kind:string metadata:ObjectMeta spec:NodeSpec status:NodeStatus
NodeSpec configSource:NodeConfigSource externalID:string podCIDR:string podCIDRs:[string]^=set providerID:string
  taints:[Taint] unschedulable:bool
NodeConfigSource configMap:ConfigMapNodeConfigSource
ConfigMapNodeConfigSource kubeletConfigKey!:string name!:string namespace!:string resourceVersion:string uid:string
Taint effect!:string key!:string timeAdded:time value:string
NodeStatus addresses:[NodeAddress]^type allocatable:{quantity} capacity:{quantity} conditions:[NodeCondition]^type
  config:NodeConfigStatus daemonEndpoints:NodeDaemonEndpoints declaredFeatures:[string] features:NodeFeatures
  images:[ContainerImage] nodeInfo:NodeSystemInfo phase:string runtimeHandlers:[NodeRuntimeHandler]
  volumesAttached:[AttachedVolume] volumesInUse:[string]
NodeAddress address:string type:string
NodeCondition lastHeartbeatTime:time lastTransitionTime:time message:string reason:string status:string type:string
NodeConfigStatus active:NodeConfigSource assigned:NodeConfigSource error:string lastKnownGood:NodeConfigSource
NodeDaemonEndpoints kubeletEndpoint:DaemonEndpoint
DaemonEndpoint Port:int
NodeFeatures supplementalGroupsPolicy:bool
ContainerImage names:[string] sizeBytes:int64
NodeSystemInfo architecture:string bootID:string containerRuntimeVersion:string kernelVersion:string
  kubeProxyVersion:string kubeletVersion:string machineID:string operatingSystem:string osImage:string
  swap:NodeSwapStatus systemUUID:string
NodeSwapStatus capacity:int64
NodeRuntimeHandler features:NodeRuntimeHandlerFeatures name:string
NodeRuntimeHandlerFeatures recursiveReadOnlyMounts:bool userNamespaces:bool
AttachedVolume devicePath:string name:string
Namespace apiVersion:string kind:string metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus
NamespaceSpec finalizers:[string]
NamespaceStatus conditions:[NamespaceCondition]^type phase:string
NamespaceCondition lastTransitionTime:time message:string reason:string status:string type:string
`,
};
