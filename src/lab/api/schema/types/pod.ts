/**
 * Pod and everything its spec holds, except volumes.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const POD_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Pod apiVersion:string kind:string metadata:ObjectMeta spec:PodSpec status:PodStatus
PodSpec activeDeadlineSeconds:int64 affinity:Affinity automountServiceAccountToken:bool containers!:[Container]^name
  dnsConfig:PodDNSConfig dnsPolicy:string enableServiceLinks:bool ephemeralContainers:[EphemeralContainer]^name
  hostAliases:[HostAlias]^ip hostIPC:bool hostNetwork:bool hostPID:bool hostUsers:bool hostname:string
  hostnameOverride:string imagePullSecrets:[LocalObjectReference]^name initContainers:[Container]^name
  nodeName:string nodeSelector:{string}=atomic os:PodOS overhead:{quantity} preemptionPolicy:string priority:int
  priorityClassName:string readinessGates:[PodReadinessGate] resourceClaims:[PodResourceClaim]^name&
  resources:ResourceRequirements restartPolicy:string runtimeClassName:string schedulerName:string
  schedulingGates:[PodSchedulingGate]^name schedulingGroup:PodSchedulingGroup securityContext:PodSecurityContext
  serviceAccount:string serviceAccountName:string setHostnameAsFQDN:bool shareProcessNamespace:bool subdomain:string
  terminationGracePeriodSeconds:int64 tolerations:[Toleration]
  topologySpreadConstraints:[TopologySpreadConstraint]^topologyKey|topologyKey,whenUnsatisfiable
  volumes:[Volume]^name&
Affinity nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
  requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
PreferredSchedulingTerm preference!:NodeSelectorTerm weight!:int
NodeSelectorTerm=atomic matchExpressions:[NodeSelectorRequirement] matchFields:[NodeSelectorRequirement]
NodeSelectorRequirement key!:string operator!:string values:[string]
NodeSelector=atomic nodeSelectorTerms!:[NodeSelectorTerm]
PodAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
WeightedPodAffinityTerm podAffinityTerm!:PodAffinityTerm weight!:int
PodAffinityTerm labelSelector:LabelSelector matchLabelKeys:[string] mismatchLabelKeys:[string]
  namespaceSelector:LabelSelector namespaces:[string] topologyKey!:string
PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
  requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
Container args:[string] command:[string] env:[EnvVar]^name envFrom:[EnvFromSource] image:string
  imagePullPolicy:string lifecycle:Lifecycle livenessProbe:Probe name!:string
  ports:[ContainerPort]^containerPort|containerPort,protocol=TCP readinessProbe:Probe
  resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy:string
  restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool terminationMessagePath:string terminationMessagePolicy:string tty:bool
  volumeDevices:[VolumeDevice]^devicePath volumeMounts:[VolumeMount]^mountPath workingDir:string
EnvVar name!:string value:string valueFrom:EnvVarSource
EnvVarSource configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
  resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
ConfigMapKeySelector=atomic key!:string name:string optional:bool
ObjectFieldSelector=atomic apiVersion:string fieldPath!:string
FileKeySelector=atomic key!:string optional:bool path!:string volumeName!:string
ResourceFieldSelector=atomic containerName:string divisor:quantity resource!:string
SecretKeySelector=atomic key!:string name:string optional:bool
EnvFromSource configMapRef:ConfigMapEnvSource prefix:string secretRef:SecretEnvSource
ConfigMapEnvSource name:string optional:bool
SecretEnvSource name:string optional:bool
Lifecycle postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:string
LifecycleHandler exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
ExecAction command:[string]
HTTPGetAction host:string httpHeaders:[HTTPHeader] path:string port!:intstr scheme:string
HTTPHeader name!:string value!:string
SleepAction seconds!:int64
TCPSocketAction host:string port!:intstr
Probe exec:ExecAction failureThreshold:int grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int
  periodSeconds:int successThreshold:int tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int64
  timeoutSeconds:int
GRPCAction port!:int service:string
ContainerPort containerPort!:int hostIP:string hostPort:int name:string protocol:string
ContainerResizePolicy resourceName!:string restartPolicy!:string
ResourceRequirements claims:[ResourceClaim]|name limits:{quantity} requests:{quantity}
ResourceClaim name!:string request:string
ContainerRestartRule action!:string exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes operator!:string values:[int]
SecurityContext allowPrivilegeEscalation:bool appArmorProfile:AppArmorProfile capabilities:Capabilities
  privileged:bool procMount:string readOnlyRootFilesystem:bool runAsGroup:int64 runAsNonRoot:bool runAsUser:int64
  seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
AppArmorProfile localhostProfile:string type!:string
Capabilities add:[string] drop:[string]
SELinuxOptions level:string role:string type:string user:string
SeccompProfile localhostProfile:string type!:string
WindowsSecurityContextOptions gmsaCredentialSpec:string gmsaCredentialSpecName:string hostProcess:bool
  runAsUserName:string
VolumeDevice devicePath!:string name!:string
VolumeMount mountPath!:string mountPropagation:string name!:string readOnly:bool recursiveReadOnly:string
  subPath:string subPathExpr:string
PodDNSConfig nameservers:[string] options:[PodDNSConfigOption] searches:[string]
PodDNSConfigOption name:string value:string
EphemeralContainer args:[string] command:[string] env:[EnvVar]^name envFrom:[EnvFromSource] image:string
  imagePullPolicy:string lifecycle:Lifecycle livenessProbe:Probe name!:string
  ports:[ContainerPort]^containerPort|containerPort,protocol=TCP readinessProbe:Probe
  resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy:string
  restartPolicyRules:[ContainerRestartRule] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool targetContainerName:string terminationMessagePath:string terminationMessagePolicy:string tty:bool
  volumeDevices:[VolumeDevice]^devicePath volumeMounts:[VolumeMount]^mountPath workingDir:string
HostAlias hostnames:[string] ip!:string
LocalObjectReference=atomic name:string
PodOS name!:string
PodReadinessGate conditionType!:string
PodResourceClaim name!:string resourceClaimName:string resourceClaimTemplateName:string
PodSchedulingGate name!:string
PodSchedulingGroup podGroupName:string
PodSecurityContext appArmorProfile:AppArmorProfile fsGroup:int64 fsGroupChangePolicy:string runAsGroup:int64
  runAsNonRoot:bool runAsUser:int64 seLinuxChangePolicy:string seLinuxOptions:SELinuxOptions
  seccompProfile:SeccompProfile supplementalGroups:[int64] supplementalGroupsPolicy:string sysctls:[Sysctl]
  windowsOptions:WindowsSecurityContextOptions
Sysctl name!:string value!:string
Toleration effect:string key:string operator:string tolerationSeconds:int64 value:string
TopologySpreadConstraint labelSelector:LabelSelector matchLabelKeys:[string] maxSkew!:int minDomains:int
  nodeAffinityPolicy:string nodeTaintsPolicy:string topologyKey!:string whenUnsatisfiable!:string
`,
};
