/**
 * Deletions that the plugin could not deliver because the agent was away: files with one framed DEL each, in
 * "pending-del" beside the socket (plugin/breakwater-cni.c, leave_tombstone()). Consumed at start, and as they appear:
 * a plugin may find the socket missing a moment before the agent is back, and write a moment after it has looked.
 */
import { existsSync, mkdirSync, watch } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../model/errors.ts";
import type { CallContext } from "./call-context.ts";
import { parseAttachmentKey } from "./call-environment.ts";
import { removeAttachment } from "./del-command.ts";
import { type CniRequest, decodeRequest } from "./frame.ts";
import { parseNetworkConfig } from "./network-config.ts";
import { attachmentKey } from "./pod-record.ts";

export interface ConsumedTombstone {
  readonly containerId: string;
  readonly ifname: string;
  /** False when the attachment is newer than the deletion, or another network's. */
  readonly applied: boolean;
}

export function tombstoneDirectory(socketPath: string): string {
  return join(dirname(socketPath), "pending-del");
}

/** Consumes every tombstone there is. One that cannot be applied stays and is tried again; a damaged one is put aside. */
export async function consumeTombstones(
  directory: string,
  context: CallContext,
): Promise<readonly ConsumedTombstone[]> {
  const consumed: ConsumedTombstone[] = [];
  for (const name of (await readdir(directory)).filter((file) => file.endsWith(".del")).sort()) {
    const path = join(directory, name);
    const request = await readTombstone(path, context);
    if (request === undefined) continue;
    try {
      consumed.push(await applyTombstone(request, context));
      await rm(path, { force: true });
    } catch (error) {
      context.log.warn(
        { path, error: messageOf(error) },
        "deletion that waited for the agent failed: tried again later",
      );
    }
  }
  return consumed;
}

/** Where inotify is exhausted (fs.inotify.max_user_instances), the directory is looked at this often instead. */
const POLL_MS = 5_000;

/**
 * Consumes what is there and what appears, one look at a time, until closed. close() resolves when the last look is over.
 */
export function followTombstones(directory: string, context: CallContext): { close(): Promise<void> } {
  let running: Promise<unknown> | undefined;
  let again = false;
  const look = () => {
    again = running !== undefined;
    running ??= consumeTombstones(directory, context)
      .catch((error: unknown) => context.log.warn({ directory, error: messageOf(error) }, "cannot look for tombstones"))
      .finally(() => {
        running = undefined;
        if (again) look();
      });
  };
  const stopWatching = watchDirectory(directory, look, context);
  look();
  return {
    close: async () => {
      stopWatching();
      while (running !== undefined) await running;
    },
  };
}

function watchDirectory(directory: string, look: () => void, { log }: CallContext): () => void {
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      // Its own removal of a file is reported too.
      if (name?.endsWith(".del") && existsSync(join(directory, name))) look();
    });
    watcher.on("error", (error) => log.warn({ directory, error: error.message }, "tombstones are no longer watched"));
    return () => watcher.close();
  } catch (error) {
    log.warn({ directory, error: messageOf(error) }, "tombstones cannot be watched: looking every 5 s instead");
    const timer = setInterval(look, POLL_MS).unref();
    return () => clearInterval(timer);
  }
}

export function makeTombstoneDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

async function readTombstone(path: string, { log }: CallContext): Promise<CniRequest | undefined> {
  try {
    const request = decodeRequest(await readFile(path));
    parseAttachmentKey(request);
    return request;
  } catch (error) {
    await rename(path, `${path}.damaged`).catch(() => undefined);
    log.warn(
      { path: `${path}.damaged`, error: messageOf(error) },
      "deletion that waited for the agent is unreadable: put aside",
    );
    return undefined;
  }
}

async function applyTombstone(request: CniRequest, context: CallContext): Promise<ConsumedTombstone> {
  const key = { containerId: request.containerId, ifname: request.ifname };
  const network = networkName(request);
  return context.queue.run(attachmentKey(key), async () => {
    const record = context.store.find(attachmentKey(key));
    const newer = record !== undefined && record.addedAtMs > request.startedAtMs;
    const foreign = record !== undefined && network !== undefined && record.network !== network;
    if (newer || foreign) return { ...key, applied: false };
    if (record === undefined) await context.network.detach({ ...key, ips: [] });
    else await removeAttachment(record, "CNI DEL while the agent was away", context);
    return { ...key, applied: true };
  });
}

/** Undefined when the configuration of that DEL cannot be read: container and interface are then all that counts. */
function networkName(request: CniRequest): string | undefined {
  try {
    return parseNetworkConfig(request.stdin, "DEL").name;
  } catch {
    return undefined;
  }
}
