/** What all sources of objects are told, and what their reflectors make of it. */
import type { KubeClient } from "./client.ts";
import type { Clock } from "./clock.ts";
import type { ObjectProblem, ParseObject } from "./object-reader.ts";
import type { ReflectorTiming } from "./reflector-options.ts";
import { type ResourceType, resourceName } from "./resource.ts";

export interface SourceOptions {
  readonly client: Pick<KubeClient, "listPage" | "watch">;
  /** Something changed. Called once for all changes of one turn of the event loop. */
  readonly onChange: () => void;
  /** An object of the API, or a field of one, that could not be used. */
  readonly onProblem: (problem: ObjectProblem) => void;
  /** A list or watch that failed; the last known state stands meanwhile. */
  readonly onError?: (resource: string, error: Error, retryInMs: number) => void;
  readonly timing?: Partial<ReflectorTiming>;
  readonly clock?: Clock;
}

/** The options of a reflector that are the same for all kinds of a source. */
export function reflectorOptions(options: Omit<SourceOptions, "onChange">, resource: ResourceType) {
  const { client, timing, clock, onProblem } = options;
  const onError = (error: Error, retryInMs: number) => options.onError?.(resourceName(resource), error, retryInMs);
  return { client, timing, clock, resource, onProblem, onError };
}

/** What is reported of an object stays with it: whoever wrote the object is told on it what of it is not used. */
export function withProblems<T extends object>(
  parse: ParseObject<T>,
): ParseObject<T & { readonly problems?: readonly string[] }> {
  return (object, report) => {
    const problems: string[] = [];
    const value = parse(object, (field, why) => {
      problems.push(`${field}: ${why}`);
      report(field, why);
    });
    return value === undefined || problems.length === 0 ? value : { ...value, problems };
  };
}
