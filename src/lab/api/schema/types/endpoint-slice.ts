/**
 * EndpointSlice: where a Service's traffic can go.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const ENDPOINT_SLICE_TYPES: TypePackage = {
  prefix: "io.k8s.api.discovery.v1",
  types: `
EndpointSlice addressType#4:string apiVersion:string endpoints#2:[Endpoint] kind:string metadata#1:ObjectMeta
  ports#3:[EndpointPort]
Endpoint addresses#1:[string]=set conditions#2:EndpointConditions deprecatedTopology#5:{string}
  hints#8:EndpointHints hostname#3:string nodeName#6:string targetRef#4:ObjectReference zone#7:string
EndpointConditions ready#1:bool serving#2:bool terminating#3:bool
EndpointHints forNodes#2:[ForNode] forZones#1:[ForZone]
ForNode name#1!:string
ForZone name#1!:string
EndpointPort=atomic appProtocol#4:string name#1:string port#3:int protocol#2:string
`,
};
