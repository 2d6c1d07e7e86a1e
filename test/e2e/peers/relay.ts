/** relay.ts SOCKET PORT: leads connections to a unix socket on to a port of the loopback of its own network namespace. */
import { connect, createServer } from "node:net";

const [path = "", port = ""] = process.argv.slice(2);

createServer((near) => {
  const far = connect(Number(port), "127.0.0.1");
  near.on("error", () => far.destroy());
  far.on("error", () => near.destroy());
  near.pipe(far).pipe(near);
}).listen(path);
