/** `udp-sender.ts EVERY_MS ADDRESS,PORT…`: a datagram to each, for ever, from one socket a family, whoever listens or not. */
import { createSocket } from "node:dgram";

const [every = "10", ...targets] = process.argv.slice(2);
const sockets = { four: createSocket("udp4"), six: createSocket("udp6") };
for (const socket of Object.values(sockets)) socket.on("error", () => undefined);

setInterval(() => {
  for (const target of targets) {
    const [address = "", port = "0"] = target.split(",");
    const socket = address.includes(":") ? sockets.six : sockets.four;
    socket.send("is anybody there?\n", Number(port), address, () => undefined);
  }
}, Number(every));
