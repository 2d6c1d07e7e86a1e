/** Sends back what it gets, on the TCP port of its command line, both families, for as long as the connection lives. */
import { createServer } from "node:net";

createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
}).listen(Number(process.argv[2]), "::");
