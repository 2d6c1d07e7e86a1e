/**
 * `line-client.ts ROUNDS ADDRESS,PORT…`: a connection to each, side by side; on each a line is sent and its echo awaited,
 * so often. Prints one JSON array: for each what came of it, "whole" or the error.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { PATIENCE } from "./patience.ts";

const SILENCE_MS = PATIENCE * 3000;
const [rounds = "1", ...targets] = process.argv.slice(2);

async function talk(target: string): Promise<string> {
  const [host = "", port = "0"] = target.split(",");
  const socket = connect({ host, port: Number(port), noDelay: true });
  const silence = setTimeout(() => socket.destroy(new Error("silence")), SILENCE_MS);
  try {
    await once(socket, "connect");
    for (let round = 0; round < Number(rounds); round++) {
      const line = `line ${round} to ${target}\n`;
      socket.write(line);
      const [echo] = (await once(socket, "data")) as [Buffer];
      if (echo.toString("utf8") !== line) return `"${echo}" came back for "${line}"`;
    }
    return "whole";
  } catch (error) {
    return (error as Error).message;
  } finally {
    clearTimeout(silence);
    socket.destroy();
  }
}

process.stdout.write(JSON.stringify(await Promise.all(targets.map(talk))));
