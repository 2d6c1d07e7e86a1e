/**
 * `udp-client.ts ADDRESS PORT FROM-PORT EVERY-MS`: one UDP socket for ever, as a client has that looks up no name again
 * and never closes. Prints who answers whenever that changes: the first line of the answer, or "nobody" after a second of
 * silence.
 */
import { createSocket } from "node:dgram";

const SILENCE_MS = 1000;

const [address = "", port = "0", fromPort = "0", everyMs = "1000"] = process.argv.slice(2);
const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
let answering = "";
let silence: NodeJS.Timeout;

function tell(who: string): void {
  clearTimeout(silence);
  silence = setTimeout(() => tell("nobody"), SILENCE_MS);
  if (who !== answering) process.stdout.write(`${who}\n`);
  answering = who;
}

// What the network refuses is silence, too: the client goes on.
socket.on("error", () => undefined);
socket.on("message", (message) => tell(message.toString("utf8").split("\n")[0] ?? ""));
socket.bind(Number(fromPort), () => {
  tell("nobody");
  setInterval(() => socket.send("who are you?\n", Number(port), address), Number(everyMs));
});
