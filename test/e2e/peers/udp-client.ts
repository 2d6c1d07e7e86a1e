/**
 * `udp-client.ts ADDRESS,PORT…`: a UDP socket for each of them, for ever, as a client has that looks up no name again and
 * never closes; its own port is fixed (12345 for the first one, and so on). Prints "ADDRESS WHO" whenever who answers
 * changes: the first line of the answer, or "nobody" after a second of silence.
 */
import { createSocket } from "node:dgram";
import { PATIENCE } from "./patience.ts";

const FIRST_PORT = 12_345;
const EVERY_MS = 50;
const SILENCE_MS = PATIENCE * 1000;

for (const [i, target] of process.argv.slice(2).entries()) {
  const [address = "", port = "0"] = target.split(",");
  askForEver(address, Number(port), FIRST_PORT + i);
}

function askForEver(address: string, port: number, fromPort: number): void {
  const isIpv6 = address.includes(":");
  const socket = createSocket({ type: isIpv6 ? "udp6" : "udp4", ipv6Only: isIpv6 });
  let answering = "";
  let silence: NodeJS.Timeout;
  const tell = (who: string) => {
    clearTimeout(silence);
    silence = setTimeout(() => tell("nobody"), SILENCE_MS);
    if (who !== answering) process.stdout.write(`${address} ${who}\n`);
    answering = who;
  };
  socket.on("message", (message) => tell(message.toString("utf8").split("\n")[0] ?? ""));
  socket.bind(fromPort, () => {
    tell("nobody");
    // What the network refuses is silence, too (EPERM on a node): the client goes on.
    setInterval(() => socket.send("who are you?\n", port, address, () => undefined), EVERY_MS);
  });
}
