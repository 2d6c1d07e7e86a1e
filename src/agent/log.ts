/** Structured logs: one JSON line a change, with its cause. Levels: debug, info, warn, error. */
import { destination, pino } from "pino";

/** The part of pino that the agent uses: fields first, then the sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Logs to standard output. @throws RangeError for an unknown level */
export function createLog(level: string, nodeName: string): Log {
  const levels = ["debug", "info", "warn", "error"];
  if (!levels.includes(level)) throw new RangeError(`Unknown log level "${level}": use ${levels.join(", ")}`);
  const options = {
    level,
    base: { node: nodeName },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, gatheringOutput());
}

/** Lines are gathered this long: a write for each pod that comes or goes would wake a thread for each. */
const GATHER_MS = 20;

/** Written behind the work, so that no pod waits for a log; what is left goes out when the process ends. */
function gatheringOutput(): { write(line: string): void } {
  const output = destination({ fd: 1, sync: false });
  let lines = "";
  const pass = () => {
    output.write(lines);
    lines = "";
  };
  process.once("exit", () => {
    if (lines !== "") pass();
    output.flushSync();
  });
  return {
    write(line) {
      if (lines === "") setTimeout(pass, GATHER_MS).unref();
      lines += line;
    },
  };
}
