/**
 * `half-open.ts server PORT`: never closes a connection; when its client has sent all it had, answers "still here" and
 * goes on waiting. `half-open.ts client ADDRESS PORT`: sends nothing, says that there will be no more, and prints what
 * comes then; it goes on waiting, too.
 */
import { connect, createServer } from "node:net";

const [role = "", ...args] = process.argv.slice(2);
if (role === "server") {
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.resume();
    socket.on("end", () => socket.write("still here\n"));
    socket.on("error", () => socket.destroy());
  }).listen(Number(args[0]), "::");
} else {
  const socket = connect({ host: args[0] ?? "", port: Number(args[1]), allowHalfOpen: true });
  socket.on("connect", () => socket.end());
  socket.on("data", (data) => process.stdout.write(data));
}
