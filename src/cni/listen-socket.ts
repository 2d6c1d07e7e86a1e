/**
 * Takes the unix socket of the CNI server: for root alone, in a directory for root alone. The socket is also the lock
 * of the state directory: what a killed agent left is replaced, a socket that answers is another agent's and refused.
 */
import { lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { BreakwaterError, messageOf } from "../model/errors.ts";

/** Runtimes start pods in bursts (a node that comes back starts all of them); the kernel caps it at somaxconn. */
const BACKLOG = 1024;
/** sun_path of unix(7) with its final NUL. */
const MAX_PATH_BYTES = 107;

/**
 * @throws BreakwaterError BW_CNI_SOCKET_IN_USE when another agent serves there, BW_CNI_SOCKET for anything else
 */
export async function listenSocket(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  if (!path.startsWith("/") || Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw socketError(path, `it is no absolute path of at most ${MAX_PATH_BYTES} bytes`);
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    await clearStale(path);
    return await bind(path, onConnection);
  } catch (error) {
    if (error instanceof BreakwaterError) throw error;
    throw socketError(path, messageOf(error), error);
  }
}

function bind(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  // allowHalfOpen: a caller that has said all it will say still gets its answer.
  const server = createServer({ allowHalfOpen: true }, onConnection);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve(server);
    });
    // bind(2) happens in this turn: between it and a chmod the socket would be open to others, so the umask says 0600.
    const umask = process.umask(0o177);
    try {
      server.listen({ path, backlog: BACKLOG });
    } finally {
      process.umask(umask);
    }
  });
}

/** Moved aside before it is judged: what is judged cannot be replaced by a live one meanwhile. */
async function clearStale(path: string): Promise<void> {
  if (!exists(path)) return;
  if (await answers(path)) throw inUse(path);
  const aside = `${path}.${process.pid}`;
  renameSync(path, aside);
  if (await answers(aside)) {
    renameSync(aside, path);
    throw inUse(path);
  }
  rmSync(aside);
}

function exists(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isSocket()) return true;
  throw socketError(path, "something is there that is no socket");
}

/** True when a process accepts connections there. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const done = (alive: boolean) => {
      probe.destroy();
      resolve(alive);
    };
    probe.once("connect", () => done(true));
    // EAGAIN: a full backlog is somebody's too.
    probe.once("error", (error: NodeJS.ErrnoException) => done(error.code === "EAGAIN"));
  });
}

function inUse(path: string): BreakwaterError {
  return new BreakwaterError("BW_CNI_SOCKET_IN_USE", `Cannot serve CNI on ${path}: another agent answers there`, {
    operation: "listen",
    object: path,
    errno: "EADDRINUSE",
    remedy: "stop the other agent of this node, or give this one a socket and a state directory of its own",
  });
}

function socketError(path: string, why: string, cause?: unknown): BreakwaterError {
  const errno = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  return new BreakwaterError("BW_CNI_SOCKET", `Cannot serve CNI on ${path}: ${why}`, {
    operation: "listen",
    object: path,
    errno,
    remedy: "choose another path for the CNI socket, or remove what stands in its way",
    cause,
  });
}
