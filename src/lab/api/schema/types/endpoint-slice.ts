/**
 * EndpointSlice: where a Service's traffic can go.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const ENDPOINT_SLICE_TYPES: TypePackage = {
  prefix: "io.k8s.api.discovery.v1",
  types: `
EndpointSlice addressType:string apiVersion:string endpoints:[Endpoint] kind:string metadata:ObjectMeta
  ports:[EndpointPort]
Endpoint addresses:[string]=set conditions:EndpointConditions deprecatedTopology:{string} hints:EndpointHints
  hostname:string nodeName:string targetRef:ObjectReference zone:string
EndpointConditions ready:bool serving:bool terminating:bool
EndpointHints forNodes:[ForNode] forZones:[ForZone]
ForNode name!:string
ForZone name!:string
EndpointPort=atomic appProtocol:string name:string port:int protocol:string
`,
};
