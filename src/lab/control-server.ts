/** The lab's end of the control socket. */
import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { isBreakwaterError, messageOf } from "../model/errors.ts";
import type { ControlMethods } from "./control-protocol.ts";

export type ControlHandlers = {
  readonly [M in keyof ControlMethods]: (
    params: ControlMethods[M][0],
  ) => ControlMethods[M][1] | Promise<ControlMethods[M][1]>;
};

/** A batch of all pairs of a thousand pods fits. */
const MAX_REQUEST_BYTES = 256 << 20;

export function serveControl(socketPath: string, handlers: ControlHandlers): Promise<Server> {
  const server = createServer((socket) => serveOne(socket, handlers));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, () => {
      chmodSync(socketPath, 0o600);
      resolve(server);
    });
  });
}

function serveOne(socket: Socket, handlers: ControlHandlers): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("error", () => undefined);
  socket.on("data", (chunk: string) => {
    text += chunk;
    if (text.length > MAX_REQUEST_BYTES) socket.destroy();
    if (!text.endsWith("\n")) return;
    const request = text;
    text = "";
    answer(request, handlers).then((reply) => socket.end(`${JSON.stringify(reply)}\n`));
  });
}

async function answer(line: string, handlers: ControlHandlers): Promise<object> {
  try {
    const { method, params } = JSON.parse(line) as { method: keyof ControlMethods; params: never };
    const handler = handlers[method];
    if (handler === undefined) throw new RangeError(`Unknown method ${method}: another version of the program?`);
    return { result: await handler(params) };
  } catch (error) {
    const known = isBreakwaterError(error) ? { code: error.code, remedy: error.remedy } : { code: "BW_LAB" };
    return { error: { ...known, message: messageOf(error) } };
  }
}
