/**
 * events.k8s.io/v1 Event: the newer spelling of the same stored object as core/v1 Event.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const EVENT_TYPES: TypePackage = {
  prefix: "io.k8s.api.events.v1",
  types: `
EventsEvent action#6:string apiVersion:string deprecatedCount#15:int deprecatedFirstTimestamp#13:time
  deprecatedLastTimestamp#14:time deprecatedSource#12:EventSource eventTime#2:microtime kind:string
  metadata#1:ObjectMeta note#10:string reason#7:string regarding#8:ObjectReference related#9:ObjectReference
  reportingController#4:string reportingInstance#5:string series#3:EventsEventSeries type#11:string
EventsEventSeries count#1:int lastObservedTime#2:microtime
`,
};
