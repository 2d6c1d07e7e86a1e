/**
 * events.k8s.io/v1 Event: the newer spelling of the same stored object as core/v1 Event.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const EVENT_TYPES: TypePackage = {
  prefix: "io.k8s.api.events.v1",
  types: `
EventsEvent action:string apiVersion:string deprecatedCount:int deprecatedFirstTimestamp:time
  deprecatedLastTimestamp:time deprecatedSource:EventSource eventTime:microtime kind:string metadata:ObjectMeta
  note:string reason:string regarding:ObjectReference related:ObjectReference reportingController:string
  reportingInstance:string series:EventsEventSeries type:string
EventsEventSeries count:int lastObservedTime:microtime
`,
};
