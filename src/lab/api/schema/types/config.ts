/**
 * ConfigMap, Secret, ServiceAccount, core/v1 Event and Binding.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const CONFIG_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
ConfigMap apiVersion:string binaryData:{bytes} data:{string} immutable:bool kind:string metadata:ObjectMeta
Secret apiVersion:string data:{bytes} immutable:bool kind:string metadata:ObjectMeta stringData:{string} type:string
ServiceAccount apiVersion:string automountServiceAccountToken:bool imagePullSecrets:[LocalObjectReference]
  kind:string metadata:ObjectMeta secrets:[ObjectReference]^name
Event action:string apiVersion:string count:int eventTime:microtime firstTimestamp:time
  involvedObject:ObjectReference kind:string lastTimestamp:time message:string metadata:ObjectMeta reason:string
  related:ObjectReference reportingComponent:string reportingInstance:string series:EventSeries source:EventSource
  type:string
EventSeries count:int lastObservedTime:microtime
EventSource component:string host:string
Binding apiVersion:string kind:string metadata:ObjectMeta target:ObjectReference
`,
};
