/**
 * Network namespaces: entering one for the length of a synchronous function, making and deleting named ones.
 *
 * setns() moves the calling thread only. Functions run inside must not await: a socket made on a later tick would be
 * made in the wrong namespace. Threads of Node's pool are started before the first move, so that none inherits it.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { BreakwaterError } from "../model/errors.ts";
import * as libc from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const O_RDONLY_CLOEXEC = 0x80000;
const MS_BIND = 4096;
const MNT_DETACH = 2;
/** The namespace of the calling thread, whatever process it is in. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

let ownFd: number | undefined;
let ownStat: fs.Stats | undefined;

function ownNamespaceStat(): fs.Stats {
  ownStat ??= fs.fstatSync(ownNamespaceFd());
  return ownStat;
}

function ownNamespaceFd(): number {
  if (ownFd === undefined) {
    // A file system call through the pool starts one of its threads in the right namespace.
    fs.stat("/", () => undefined);
    ownFd = libc.checked(libc.open(OWN_NAMESPACE, O_RDONLY_CLOEXEC, 0), "open", OWN_NAMESPACE);
  }
  return ownFd;
}

/** An open network namespace. Close it, or the namespace lives on. */
export interface Namespace extends Disposable {
  readonly fd: number;
  readonly path: string;
  close(): void;
}

/** Opens a namespace by its path. @throws BreakwaterError BW_NETNS when there is none at that path */
export function openNamespace(path: string): Namespace {
  const fd = libc.open(path, O_RDONLY_CLOEXEC, 0);
  if (fd < 0) {
    const errno = libc.errnoName(libc.lastErrno());
    throw noNamespace(path, errno);
  }
  // Every namespace is a file of one device, nsfs (namespaces(7)).
  if (fs.fstatSync(fd).dev !== ownNamespaceStat().dev) {
    libc.close(fd);
    throw noNamespace(path, "it is an ordinary file");
  }
  const close = () => void libc.close(fd);
  return { fd, path, close, [Symbol.dispose]: close };
}

function noNamespace(path: string, why: string): BreakwaterError {
  return new BreakwaterError("BW_NETNS", `Cannot open network namespace ${path}: ${why}`, {
    operation: "open network namespace",
    object: path,
    errno: why,
    remedy: "Check that the container still runs; its runtime makes this path and removes it",
  });
}

/** Runs `body` inside the namespace and always comes back. `body` must be synchronous. */
export function inNamespace<T>(namespace: Namespace, body: () => T): T {
  const home = ownNamespaceFd();
  libc.checked(libc.setns(namespace.fd, CLONE_NEWNET), "enter network namespace", namespace.path);
  try {
    return body();
  } finally {
    if (libc.setns(home, CLONE_NEWNET) < 0) {
      // Going on in a pod's namespace would configure the wrong machine: nothing sensible can follow.
      process.abort();
    }
  }
}

/** {@link inNamespace} by path. */
export function inNamespaceAt<T>(path: string, body: () => T): T {
  using namespace = openNamespace(path);
  return inNamespace(namespace, body);
}

/** True when it is the namespace of the calling thread: configuring it as a pod's would take the node off its network. */
export function isOwnNamespace(namespace: Namespace): boolean {
  return fs.fstatSync(namespace.fd).ino === ownNamespaceStat().ino;
}

/** True when `path` is a live network namespace. */
export function namespaceExists(path: string): boolean {
  try {
    openNamespace(path).close();
    return true;
  } catch {
    return false;
  }
}

/** Makes a namespace and binds it to `path` (a file that is made; its folder too). */
export function createNamespace(path: string): void {
  const home = ownNamespaceFd();
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.closeSync(fs.openSync(path, "wx", 0o444));
  try {
    libc.checked(libc.unshare(CLONE_NEWNET), "make network namespace", path);
    try {
      libc.checked(libc.mount(OWN_NAMESPACE, path, "none", MS_BIND, null), "bind network namespace to", path);
    } finally {
      if (libc.setns(home, CLONE_NEWNET) < 0) process.abort();
    }
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  }
}

/** Unbinds and removes a namespace's path. Nothing happens where there is none. */
export function deleteNamespace(path: string): void {
  libc.umount2(path, MNT_DETACH);
  fs.rmSync(path, { force: true });
}
