/**
 * `https-get.ts URL NAME CA-FILE`: asks once, believing only what the certificate in the file has signed for this name.
 * Prints one JSON object.
 */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { PATIENCE } from "./patience.ts";

export interface HttpsOutcome {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

const TIMEOUT_MS = PATIENCE * 5000;
const [url = "", servername = "", ca = ""] = process.argv.slice(2);
const print = (outcome: HttpsOutcome) => process.stdout.write(JSON.stringify(outcome));
const options = { servername, ca: readFileSync(ca), timeout: TIMEOUT_MS, agent: false };
const asked = request(url, options, async (response) => {
  print({ status: response.statusCode ?? 0, body: await text(response) });
});
asked.on("timeout", () => asked.destroy(new Error("silence")));
asked.on("error", ({ message }) => print({ error: message }));
asked.end();
