/** Asks each URL on its command line once, all at the same time, and prints what came back as a JSON array in their order. */
import { type ClientRequest, get } from "node:http";
import { PATIENCE } from "./patience.ts";

export interface HttpOutcome {
  /** Status code; undefined when nobody answered. */
  readonly status?: number;
  readonly body?: string;
  /** errno name, or "ETIMEDOUT" for silence. */
  readonly error?: string;
}

const TIMEOUT_MS = PATIENCE * 3000;

function ask(url: string): Promise<HttpOutcome> {
  return new Promise((resolve) => {
    const request: ClientRequest = get(url, { timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on("timeout", () => request.destroy(Object.assign(new Error("silence"), { code: "ETIMEDOUT" })));
    request.on("error", (error: NodeJS.ErrnoException) => resolve({ error: error.code ?? error.message }));
  });
}

process.stdout.write(JSON.stringify(await Promise.all(process.argv.slice(2).map(ask))));
