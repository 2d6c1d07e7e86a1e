/** `transfer.ts ADDRESS MEGABYTES`: sends as fast as it can; prints what it sent and what `server.ts` says that arrived. */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { PEER_PORT } from "./port.ts";

const [host = "", megabytes = "1"] = process.argv.slice(2);
const hash = createHash("sha256");
const chunk = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const socket = connect({ host, port: PEER_PORT });
let answer = "";
socket.on("data", (data) => {
  answer += data.toString();
});
socket.on("error", (error) => {
  answer = error.message;
});
socket.on("close", () => {
  const sent = `${Number(megabytes) << 20} ${hash.digest("hex")}`;
  process.stdout.write(JSON.stringify({ sent, arrived: answer }));
});
for (let number = 1; number <= Number(megabytes); number++) {
  chunk.writeUInt32BE(number, 0);
  hash.update(chunk);
  socket.write(Buffer.from(chunk));
}
socket.end();
