/** A reflector of nodes over a {@link ScriptedApi} with a {@link ManualClock}, and all that it tells. */
import { KubeClient } from "../client.ts";
import type { JsonObject } from "../json.ts";
import type { ObjectProblem } from "../object-reader.ts";
import { Reflector } from "../reflector.ts";
import type { ReflectorOptions } from "../reflector-options.ts";
import { nodes } from "../resource.ts";
import type { Change } from "../store.ts";
import { ManualClock } from "./manual-clock.ts";
import { ScriptedApi } from "./scripted-api.ts";
import { until } from "./until.ts";

/** What the tests keep of an object. */
export interface Kept {
  readonly color: unknown;
}

export const parseKept = (object: JsonObject): Kept => {
  if (object["color"] === "unparsable") throw new SyntaxError("no such color");
  return { color: object["color"] };
};

export const node = (name: string, color = "red") => ({ metadata: { name }, color });

/** What a test made, undone in reverse order by {@link cleanUp}, which every test file calls after each test. */
export const cleanups: (() => Promise<unknown>)[] = [];
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

export interface Rig {
  readonly api: ScriptedApi;
  readonly clock: ManualClock;
  readonly reflector: Reflector<Kept>;
  /** One line a change: "add n1 red". */
  readonly changes: string[];
  readonly errors: string[];
  readonly waits: number[];
  readonly problems: ObjectProblem[];
  colors(): Record<string, unknown>;
  /** Resolves when a watch is open and every event of the server has arrived. */
  caughtUp(): Promise<void>;
}

export async function rig(
  options: Partial<ReflectorOptions<Kept>> = {},
  prepare?: (api: ScriptedApi) => void,
): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  prepare?.(api);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  const clock = new ManualClock(0.5);
  const [errors, waits, problems, changes]: [string[], number[], ObjectProblem[], string[]] = [[], [], [], []];
  const reflector = new Reflector<Kept>({
    client,
    resource: nodes,
    parse: parseKept,
    unparsable: "absent",
    clock,
    onProblem: (problem) => problems.push(problem),
    onError: (error, waitMs) => {
      errors.push((error as { code?: string }).code ?? error.message);
      waits.push(waitMs);
    },
    ...options,
  });
  reflector.onChange((list) => changes.push(...list.map(describeChange)));
  reflector.start();
  cleanups.push(() => reflector.stop());
  return {
    api,
    clock,
    reflector,
    changes,
    errors,
    waits,
    problems,
    colors: () => Object.fromEntries([...reflector.items()].map(([key, value]) => [key, value.color])),
    caughtUp: async () => {
      await until("a watch is open", () => reflector.state().connected && api.watching > 0);
      // A version of its own, so that what was sent before it has certainly arrived.
      api.version++;
      api.bookmark();
      const head = String(api.version);
      await until(`version ${head} is seen`, () => reflector.state().lastResourceVersion === head);
    },
  };
}

function describeChange(change: Change<Kept>): string {
  return `${change.type} ${change.key} ${change.type === "delete" ? change.old.color : change.value.color}`;
}

/** Lets the reflector's next pause end, once it has begun. */
export async function endPause({ clock, errors }: Rig, failures: number): Promise<void> {
  await until(`failure ${failures} is reported`, () => errors.length >= failures);
  // The pause is armed in the same turn as the report; 30 s is the cap of all pauses.
  clock.advance(30_000);
}
