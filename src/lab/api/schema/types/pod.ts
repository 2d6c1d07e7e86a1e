/**
 * Pod and everything its spec holds, except volumes.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const POD_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Pod apiVersion:string kind:string metadata#1:ObjectMeta spec#2:PodSpec status#3:PodStatus
PodSpec activeDeadlineSeconds#5:int64 affinity#18:Affinity automountServiceAccountToken#21:bool
  containers#2!:[Container]^name dnsConfig#26:PodDNSConfig dnsPolicy#6:string enableServiceLinks#30:bool
  ephemeralContainers#34:[EphemeralContainer]^name hostAliases#23:[HostAlias]^ip hostIPC#13:bool hostNetwork#11:bool
  hostPID#12:bool hostUsers#37:bool hostname#16:string hostnameOverride:string
  imagePullSecrets#15:[LocalObjectReference]^name initContainers#20:[Container]^name nodeName#10:string
  nodeSelector#7:{string}=atomic os#36:PodOS overhead#32:{quantity} preemptionPolicy#31:string priority#25:int
  priorityClassName#24:string readinessGates#28:[PodReadinessGate] resourceClaims#39:[PodResourceClaim]^name&
  resources#40:ResourceRequirements restartPolicy#3:string runtimeClassName#29:string schedulerName#19:string
  schedulingGates#38:[PodSchedulingGate]^name schedulingGroup:PodSchedulingGroup
  securityContext#14:PodSecurityContext serviceAccount#9:string serviceAccountName#8:string
  setHostnameAsFQDN#35:bool shareProcessNamespace#27:bool subdomain#17:string terminationGracePeriodSeconds#4:int64
  tolerations#22:[Toleration]
  topologySpreadConstraints#33:[TopologySpreadConstraint]^topologyKey|topologyKey,whenUnsatisfiable
  volumes#1:[Volume]^name&
Affinity nodeAffinity#1:NodeAffinity podAffinity#2:PodAffinity podAntiAffinity#3:PodAntiAffinity
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution#2:[PreferredSchedulingTerm]
  requiredDuringSchedulingIgnoredDuringExecution#1:NodeSelector
PreferredSchedulingTerm preference#2!:NodeSelectorTerm weight#1!:int
NodeSelectorTerm=atomic matchExpressions#1:[NodeSelectorRequirement] matchFields#2:[NodeSelectorRequirement]
NodeSelectorRequirement key#1!:string operator#2!:string values#3:[string]
NodeSelector=atomic nodeSelectorTerms#1!:[NodeSelectorTerm]
PodAffinity preferredDuringSchedulingIgnoredDuringExecution#2:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution#1:[PodAffinityTerm]
WeightedPodAffinityTerm podAffinityTerm#2!:PodAffinityTerm weight#1!:int
PodAffinityTerm labelSelector#1:LabelSelector matchLabelKeys#5:[string] mismatchLabelKeys#6:[string]
  namespaceSelector#4:LabelSelector namespaces#2:[string] topologyKey#3!:string
PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution#2:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution#1:[PodAffinityTerm]
Container args#4:[string] command#3:[string] env#7:[EnvVar]^name envFrom#19:[EnvFromSource] image#2:string
  imagePullPolicy#14:string lifecycle#12:Lifecycle livenessProbe#10:Probe name#1!:string
  ports#6:[ContainerPort]^containerPort|containerPort,protocol=TCP readinessProbe#11:Probe
  resizePolicy#23:[ContainerResizePolicy] resources#8:ResourceRequirements restartPolicy#24:string
  restartPolicyRules:[ContainerRestartRule] securityContext#15:SecurityContext startupProbe#22:Probe stdin#16:bool
  stdinOnce#17:bool terminationMessagePath#13:string terminationMessagePolicy#20:string tty#18:bool
  volumeDevices#21:[VolumeDevice]^devicePath volumeMounts#9:[VolumeMount]^mountPath workingDir#5:string
EnvVar name#1!:string value#2:string valueFrom#3:EnvVarSource
EnvVarSource configMapKeyRef#3:ConfigMapKeySelector fieldRef#1:ObjectFieldSelector fileKeyRef:FileKeySelector
  resourceFieldRef#2:ResourceFieldSelector secretKeyRef#4:SecretKeySelector
ConfigMapKeySelector=atomic key#2!:string name#1.1:string optional#3:bool
ObjectFieldSelector=atomic apiVersion#1:string fieldPath#2!:string
FileKeySelector=atomic key!:string optional:bool path!:string volumeName!:string
ResourceFieldSelector=atomic containerName#1:string divisor#3:quantity resource#2!:string
SecretKeySelector=atomic key#2!:string name#1.1:string optional#3:bool
EnvFromSource configMapRef#2:ConfigMapEnvSource prefix#1:string secretRef#3:SecretEnvSource
ConfigMapEnvSource name#1.1:string optional#2:bool
SecretEnvSource name#1.1:string optional#2:bool
Lifecycle postStart#1:LifecycleHandler preStop#2:LifecycleHandler stopSignal:string
LifecycleHandler exec#1:ExecAction httpGet#2:HTTPGetAction sleep#4:SleepAction tcpSocket#3:TCPSocketAction
ExecAction command#1:[string]
HTTPGetAction host#3:string httpHeaders#5:[HTTPHeader] path#1:string port#2!:intstr scheme#4:string
HTTPHeader name#1!:string value#2!:string
SleepAction seconds#1!:int64
TCPSocketAction host#2:string port#1!:intstr
Probe exec#1.1:ExecAction failureThreshold#6:int grpc#1.4:GRPCAction httpGet#1.2:HTTPGetAction
  initialDelaySeconds#2:int periodSeconds#4:int successThreshold#5:int tcpSocket#1.3:TCPSocketAction
  terminationGracePeriodSeconds#7:int64 timeoutSeconds#3:int
GRPCAction port#1!:int service#2:string
ContainerPort containerPort#3!:int hostIP#5:string hostPort#2:int name#1:string protocol#4:string
ContainerResizePolicy resourceName#1!:string restartPolicy#2!:string
ResourceRequirements claims#3:[ResourceClaim]|name limits#1:{quantity} requests#2:{quantity}
ResourceClaim name#1!:string request#2:string
ContainerRestartRule action!:string exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes operator!:string values:[int]
SecurityContext allowPrivilegeEscalation#7:bool appArmorProfile#12:AppArmorProfile capabilities#1:Capabilities
  privileged#2:bool procMount#9:string readOnlyRootFilesystem#6:bool runAsGroup#8:int64 runAsNonRoot#5:bool
  runAsUser#4:int64 seLinuxOptions#3:SELinuxOptions seccompProfile#11:SeccompProfile
  windowsOptions#10:WindowsSecurityContextOptions
AppArmorProfile localhostProfile#2:string type#1!:string
Capabilities add#1:[string] drop#2:[string]
SELinuxOptions level#4:string role#2:string type#3:string user#1:string
SeccompProfile localhostProfile#2:string type#1!:string
WindowsSecurityContextOptions gmsaCredentialSpec#2:string gmsaCredentialSpecName#1:string hostProcess#4:bool
  runAsUserName#3:string
VolumeDevice devicePath#2!:string name#1!:string
VolumeMount mountPath#3!:string mountPropagation#5:string name#1!:string readOnly#2:bool recursiveReadOnly#7:string
  subPath#4:string subPathExpr#6:string
PodDNSConfig nameservers#1:[string] options#3:[PodDNSConfigOption] searches#2:[string]
PodDNSConfigOption name#1:string value#2:string
EphemeralContainer args#1.4:[string] command#1.3:[string] env#1.7:[EnvVar]^name envFrom#1.19:[EnvFromSource]
  image#1.2:string imagePullPolicy#1.14:string lifecycle#1.12:Lifecycle livenessProbe#1.10:Probe name#1.1!:string
  ports#1.6:[ContainerPort]^containerPort|containerPort,protocol=TCP readinessProbe#1.11:Probe
  resizePolicy#1.23:[ContainerResizePolicy] resources#1.8:ResourceRequirements restartPolicy#1.24:string
  restartPolicyRules:[ContainerRestartRule] securityContext#1.15:SecurityContext startupProbe#1.22:Probe
  stdin#1.16:bool stdinOnce#1.17:bool targetContainerName#2:string terminationMessagePath#1.13:string
  terminationMessagePolicy#1.20:string tty#1.18:bool volumeDevices#1.21:[VolumeDevice]^devicePath
  volumeMounts#1.9:[VolumeMount]^mountPath workingDir#1.5:string
HostAlias hostnames#2:[string] ip#1!:string
LocalObjectReference=atomic name#1:string
PodOS name#1!:string
PodReadinessGate conditionType#1!:string
PodResourceClaim name#1!:string resourceClaimName#3:string resourceClaimTemplateName#4:string
PodSchedulingGate name#1!:string
PodSchedulingGroup podGroupName:string
PodSecurityContext appArmorProfile#11:AppArmorProfile fsGroup#5:int64 fsGroupChangePolicy#9:string
  runAsGroup#6:int64 runAsNonRoot#3:bool runAsUser#2:int64 seLinuxChangePolicy#13:string
  seLinuxOptions#1:SELinuxOptions seccompProfile#10:SeccompProfile supplementalGroups#4:[int64]
  supplementalGroupsPolicy#12:string sysctls#7:[Sysctl] windowsOptions#8:WindowsSecurityContextOptions
Sysctl name#1!:string value#2!:string
Toleration effect#4:string key#1:string operator#2:string tolerationSeconds#5:int64 value#3:string
TopologySpreadConstraint labelSelector#4:LabelSelector matchLabelKeys#8:[string] maxSkew#1!:int minDomains#5:int
  nodeAffinityPolicy#6:string nodeTaintsPolicy#7:string topologyKey#2!:string whenUnsatisfiable#3!:string
`,
};
