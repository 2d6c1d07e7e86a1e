/**
 * The far end of transfers and datagrams: TCP port 9000 answers each connection with the number and the hash of the bytes
 * that it sent, UDP port 9000 each datagram with its length and who it came from. Both families.
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { PEER_PORT } from "./port.ts";

createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  socket.on("end", () => socket.end(`${bytes} ${hash.digest("hex")}`));
  socket.on("error", () => socket.destroy());
}).listen(PEER_PORT, "::");

const udp = createSocket({ type: "udp6" });
udp.on("message", (message, { address, port }) => {
  udp.send(`${message.length} from ${address.replace("::ffff:", "")}`, port, address);
});
udp.bind(PEER_PORT, "::");
