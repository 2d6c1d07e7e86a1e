/**
 * Service and the core/v1 Endpoints that mirror its slices.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const SERVICE_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
Service apiVersion:string kind:string metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus
ServiceSpec allocateLoadBalancerNodePorts:bool clusterIP:string clusterIPs:[string] externalIPs:[string]
  externalName:string externalTrafficPolicy:string healthCheckNodePort:int internalTrafficPolicy:string
  ipFamilies:[string] ipFamilyPolicy:string loadBalancerClass:string loadBalancerIP:string
  loadBalancerSourceRanges:[string] ports:[ServicePort]^port|port,protocol=TCP publishNotReadyAddresses:bool
  selector:{string}=atomic sessionAffinity:string sessionAffinityConfig:SessionAffinityConfig
  trafficDistribution:string type:string
ServicePort appProtocol:string name:string nodePort:int port!:int protocol:string targetPort:intstr
SessionAffinityConfig clientIP:ClientIPConfig
ClientIPConfig timeoutSeconds:int
ServiceStatus conditions:[Condition]^type loadBalancer:LoadBalancerStatus
LoadBalancerStatus ingress:[LoadBalancerIngress]
LoadBalancerIngress hostname:string ip:string ipMode:string ports:[PortStatus]
PortStatus error:string port:int protocol:string
Endpoints apiVersion:string kind:string metadata:ObjectMeta subsets:[EndpointSubset]
EndpointSubset addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[CoreEndpointPort]
EndpointAddress=atomic hostname:string ip!:string nodeName:string targetRef:ObjectReference
ObjectReference=atomic apiVersion:string fieldPath:string kind:string name:string namespace:string
  resourceVersion:string uid:string
CoreEndpointPort=atomic appProtocol:string name:string port!:int protocol:string
`,
};
