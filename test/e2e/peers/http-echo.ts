/** `http-echo.ts PORT`: gives back what it is given, over HTTP (the body of a request) and UDP, in both families. */
import { createSocket } from "node:dgram";
import { createServer } from "node:http";

const port = Number(process.argv[2]);
createServer((request, response) => request.pipe(response)).listen(port, "::");

const udp = createSocket("udp6");
udp.on("message", (message, peer) => udp.send(message, peer.port, peer.address));
udp.bind(port, "::");
