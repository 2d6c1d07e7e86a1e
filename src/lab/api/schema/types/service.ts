/**
 * Service and the core/v1 Endpoints that mirror its slices.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const SERVICE_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Service apiVersion:string kind:string metadata#1:ObjectMeta spec#2:ServiceSpec status#3:ServiceStatus
ServiceSpec allocateLoadBalancerNodePorts#20:bool clusterIP#3:string clusterIPs#18:[string] externalIPs#5:[string]
  externalName#10:string externalTrafficPolicy#11:string healthCheckNodePort#12:int internalTrafficPolicy#22:string
  ipFamilies#19:[string] ipFamilyPolicy#17:string loadBalancerClass#21:string loadBalancerIP#8:string
  loadBalancerSourceRanges#9:[string] ports#1:[ServicePort]^port|port,protocol=TCP publishNotReadyAddresses#13:bool
  selector#2:{string}=atomic sessionAffinity#7:string sessionAffinityConfig#14:SessionAffinityConfig
  trafficDistribution#23:string type#4:string
ServicePort appProtocol#6:string name#1:string nodePort#5:int port#3!:int protocol#2:string targetPort#4:intstr
SessionAffinityConfig clientIP#1:ClientIPConfig
ClientIPConfig timeoutSeconds#1:int
ServiceStatus conditions#2:[Condition]^type loadBalancer#1:LoadBalancerStatus
LoadBalancerStatus ingress#1:[LoadBalancerIngress]
LoadBalancerIngress hostname#2:string ip#1:string ipMode#3:string ports#4:[PortStatus]
PortStatus error#3:string port#1:int protocol#2:string
Endpoints apiVersion:string kind:string metadata#1:ObjectMeta subsets#2:[EndpointSubset]
EndpointSubset addresses#1:[EndpointAddress] notReadyAddresses#2:[EndpointAddress] ports#3:[CoreEndpointPort]
EndpointAddress=atomic hostname#3:string ip#1!:string nodeName#4:string targetRef#2:ObjectReference
ObjectReference=atomic apiVersion#5:string fieldPath#7:string kind#1:string name#3:string namespace#2:string
  resourceVersion#6:string uid#4:string
CoreEndpointPort=atomic appProtocol#4:string name#1:string port#2!:int protocol#3:string
`,
};
