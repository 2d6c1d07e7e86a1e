/**
 * What a kubelet reports of a Pod.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const POD_STATUS_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
PodStatus allocatedResources:{quantity} conditions#2:[PodCondition]^type containerStatuses#8:[ContainerStatus]
  ephemeralContainerStatuses#13:[ContainerStatus] extendedResourceClaimStatus:PodExtendedResourceClaimStatus
  hostIP#5:string hostIPs#16:[HostIP]^ip=atomic initContainerStatuses#10:[ContainerStatus] message#3:string
  nodeAllocatableResourceClaimStatuses:[NodeAllocatableResourceClaimStatus] nominatedNodeName#11:string
  observedGeneration:int64 phase#1:string podIP#6:string podIPs#12:[PodIP]^ip qosClass#9:string reason#4:string
  resize#14:string resourceClaimStatuses#15:[PodResourceClaimStatus]^name& resources:ResourceRequirements
  startTime#7:time
PodCondition lastProbeTime#3:time lastTransitionTime#4:time message#6:string observedGeneration:int64
  reason#5:string status#2:string type#1:string
ContainerStatus allocatedResources#10:{quantity} allocatedResourcesStatus#14:[ResourceStatus] containerID#8:string
  image#6:string imageID#7:string lastState#3:ContainerState name#1:string ready#4:bool
  resources#11:ResourceRequirements restartCount#5:int started#9:bool state#2:ContainerState stopSignal:string
  user#13:ContainerUser volumeMounts#12:[VolumeMountStatus]
ResourceStatus name#1:string resources#2:[ResourceHealth]
ResourceHealth health#2:string message:string resourceID#1!:string
ContainerState running#2:ContainerStateRunning terminated#3:ContainerStateTerminated waiting#1:ContainerStateWaiting
ContainerStateRunning startedAt#1:time
ContainerStateTerminated containerID#7:string exitCode#1:int finishedAt#6:time message#4:string reason#3:string
  signal#2:int startedAt#5:time
ContainerStateWaiting message#2:string reason#1:string
ContainerUser linux#1:LinuxContainerUser
LinuxContainerUser gid#2!:int64 supplementalGroups#3:[int64] uid#1!:int64
VolumeMountStatus mountPath#2:string name#1:string readOnly#3:bool recursiveReadOnly#4:string
  volumeStatus:VolumeStatus
VolumeStatus image:ImageVolumeStatus
ImageVolumeStatus imageRef:string
PodExtendedResourceClaimStatus requestMappings:[ContainerExtendedResourceRequest] resourceClaimName:string
ContainerExtendedResourceRequest containerName!:string requestName!:string resourceName!:string
HostIP ip#1:string
NodeAllocatableResourceClaimStatus containers:[string] resourceClaimName:string resources:{quantity}
PodIP ip#1:string
PodResourceClaimStatus name#1:string resourceClaimName#2:string
`,
};
