/**
 * ConfigMap, Secret, ServiceAccount, core/v1 Event and Binding.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const CONFIG_TYPES: TypePackage = {
  prefix: "io.k8s.api.core.v1",
  types: `
ConfigMap apiVersion:string binaryData#3:{bytes} data#2:{string} immutable#4:bool kind:string metadata#1:ObjectMeta
Secret apiVersion:string data#2:{bytes} immutable#5:bool kind:string metadata#1:ObjectMeta stringData#4:{string}
  type#3:string
ServiceAccount apiVersion:string automountServiceAccountToken#4:bool imagePullSecrets#3:[LocalObjectReference]
  kind:string metadata#1:ObjectMeta secrets#2:[ObjectReference]^name
Event action#12:string apiVersion:string count#8:int eventTime#10:microtime firstTimestamp#6:time
  involvedObject#2:ObjectReference kind:string lastTimestamp#7:time message#4:string metadata#1:ObjectMeta
  reason#3:string related#13:ObjectReference reportingComponent#14:string reportingInstance#15:string
  series#11:EventSeries source#5:EventSource type#9:string
EventSeries count#1:int lastObservedTime#2:microtime
EventSource component#1:string host#2:string
Binding apiVersion:string kind:string metadata#1:ObjectMeta target#2:ObjectReference
`,
};
