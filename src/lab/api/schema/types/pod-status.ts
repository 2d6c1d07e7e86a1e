/**
 * What a kubelet reports of a Pod.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const POD_STATUS_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
PodStatus allocatedResources:{quantity} conditions:[PodCondition]^type containerStatuses:[ContainerStatus]
  ephemeralContainerStatuses:[ContainerStatus] extendedResourceClaimStatus:PodExtendedResourceClaimStatus
  hostIP:string hostIPs:[HostIP]^ip=atomic initContainerStatuses:[ContainerStatus] message:string
  nodeAllocatableResourceClaimStatuses:[NodeAllocatableResourceClaimStatus] nominatedNodeName:string
  observedGeneration:int64 phase:string podIP:string podIPs:[PodIP]^ip qosClass:string reason:string resize:string
  resourceClaimStatuses:[PodResourceClaimStatus]^name& resources:ResourceRequirements startTime:time
PodCondition lastProbeTime:time lastTransitionTime:time message:string observedGeneration:int64 reason:string
  status:string type:string
ContainerStatus allocatedResources:{quantity} allocatedResourcesStatus:[ResourceStatus] containerID:string
  image:string imageID:string lastState:ContainerState name:string ready:bool resources:ResourceRequirements
  restartCount:int started:bool state:ContainerState stopSignal:string user:ContainerUser
  volumeMounts:[VolumeMountStatus]
ResourceStatus name:string resources:[ResourceHealth]
ResourceHealth health:string message:string resourceID!:string
ContainerState running:ContainerStateRunning terminated:ContainerStateTerminated waiting:ContainerStateWaiting
ContainerStateRunning startedAt:time
ContainerStateTerminated containerID:string exitCode:int finishedAt:time message:string reason:string signal:int
  startedAt:time
ContainerStateWaiting message:string reason:string
ContainerUser linux:LinuxContainerUser
LinuxContainerUser gid!:int64 supplementalGroups:[int64] uid!:int64
VolumeMountStatus mountPath:string name:string readOnly:bool recursiveReadOnly:string volumeStatus:VolumeStatus
VolumeStatus image:ImageVolumeStatus
ImageVolumeStatus imageRef:string
PodExtendedResourceClaimStatus requestMappings:[ContainerExtendedResourceRequest] resourceClaimName:string
ContainerExtendedResourceRequest containerName!:string requestName!:string resourceName!:string
HostIP ip:string
NodeAllocatableResourceClaimStatus containers:[string] resourceClaimName:string resources:{quantity}
PodIP ip:string
PodResourceClaimStatus name:string resourceClaimName:string
`,
};
