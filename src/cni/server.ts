/**
 * The CNI server of a node: plugin/breakwater-cni.c asks it over a unix socket, it answers out of IPAM, the journal and
 * the node's network. The rest of the agent reads `records()` to keep routes and devices of pods whole.
 *
 *   plugin ── unix socket ──▶ connection ─▶ dispatch ─▶ ADD DEL CHECK GC STATUS ─▶ AttachmentStore (IPAM, journal)
 *                                                                            └───▶ PodNetwork (the kernel)
 */
import { mkdirSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import { messageOf } from "../model/errors.ts";
import { AttachmentStore, type StoreChange, type StoreOptions } from "./attachment-store.ts";
import type { CallContext, CniLog } from "./call-context.ts";
import { serveConnection } from "./connection.ts";
import { type CallOutcome, dispatch } from "./dispatch.ts";
import type { CniRequest } from "./frame.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { listenSocket } from "./listen-socket.ts";
import type { PodLookup, PodNetwork } from "./pod-network.ts";
import type { PodRecord } from "./pod-record.ts";
import { type Recovery, recover } from "./recovery.ts";
import { followTombstones, makeTombstoneDirectory, tombstoneDirectory } from "./tombstones.ts";

/** One finished call; for metrics. `command` is "invalid" for what was no CNI call; `code` is 0 for success. */
export interface CallObservation {
  readonly command: string;
  readonly code: number;
  readonly seconds: number;
}

export interface CniServerOptions {
  readonly socketPath: string;
  /** Holds the journal, "attachments.jsonl". Made when missing. */
  readonly stateDir: string;
  readonly network: PodNetwork;
  readonly pods: PodLookup;
  readonly log: CniLog;
  readonly observe?: (call: CallObservation) => void;
  /** How long a caller may take to send its request, and to read its answer. @default 10000 */
  readonly patienceMs?: number;
  /** How long a freed address rests. @default 60000 */
  readonly holdBackMs?: number;
  /** Wall clock, ms since 1970. @default Date.now */
  readonly now?: () => number;
  /** For tests: makes the journal fail or compact. */
  readonly journal?: Pick<StoreOptions, "compactAfter" | "openFile">;
}

export interface CniServer {
  readonly recovery: Recovery;
  /** Attachments that are whole as far as the runtime was told: the agent keeps them so. */
  records(): readonly PodRecord[];
  /** Attachments that are being made or taken away: the agent neither repairs nor removes what belongs to them. */
  recordsInFlight(): readonly PodRecord[];
  /** Calls `listener` after each change of {@link records}; the returned function ends that. */
  onChange(listener: (change: StoreChange) => void): () => void;
  /** Addresses in use and addresses there are, for each pod CIDR. */
  usage(): ReturnType<AttachmentStore["usage"]>;
  /** Accepts no more calls, answers those it has, closes the journal and removes the socket. */
  close(): Promise<void>;
}

export const JOURNAL_FILE = "attachments.jsonl";

/**
 * Serves when it resolves: the socket is there, what a dead agent left is settled.
 * @throws BreakwaterError BW_CNI_SOCKET_IN_USE, BW_CNI_SOCKET, BW_JOURNAL_CORRUPT, BW_JOURNAL_READ
 */
export async function startCniServer(options: CniServerOptions): Promise<CniServer> {
  const ready = Promise.withResolvers<CallContext>();
  // Nobody may wait for it when the start fails.
  ready.promise.catch(() => undefined);
  const open = new Set<Promise<void>>();
  const sockets = new Set<Socket>();
  // The socket first: it is the lock of the state directory. Calls that come early wait for `ready`.
  const server = await listenSocket(options.socketPath, (socket) => {
    sockets.add(socket);
    const served = serve(socket, ready.promise, options).finally(() => {
      sockets.delete(socket);
      open.delete(served);
    });
    open.add(served);
  });
  try {
    const { context, recovery } = await openContext(options);
    ready.resolve(context);
    return runningServer(server, context, recovery, { options, open, sockets });
  } catch (error) {
    ready.reject(error);
    await closeListener(server);
    throw error;
  }
}

async function openContext(options: CniServerOptions): Promise<{ context: CallContext; recovery: Recovery }> {
  const { network, pods, log, stateDir, holdBackMs, now = Date.now } = options;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = join(stateDir, JOURNAL_FILE);
  const { store, tornBytes, writeFailure } = await AttachmentStore.open({ path, now, holdBackMs, ...options.journal });
  if (writeFailure)
    log.warn({ path, error: writeFailure.message }, "journal cannot be compacted; pods can be deleted only");
  const context = { store, network, pods, log, queue: new KeyedQueue() };
  const tombstones = tombstoneDirectory(options.socketPath);
  makeTombstoneDirectory(tombstones);
  return { context, recovery: await recover(context, tombstones, tornBytes) };
}

async function serve(socket: Socket, ready: Promise<CallContext>, options: CniServerOptions): Promise<void> {
  const started = performance.now();
  const report = (outcome: CallOutcome, request?: CniRequest) => {
    const { command, code, error } = outcome;
    const { containerId, ifname, args } = request ?? {};
    if (error !== undefined) {
      options.log.warn({ command, code, error: messageOf(error), containerId, ifname, args }, "CNI call failed");
    }
    options.observe?.({ command, code, seconds: (performance.now() - started) / 1000 });
  };
  const call = async (request: CniRequest) => {
    const outcome = await dispatch(request, await ready);
    report(outcome, request);
    return outcome;
  };
  await serveConnection(socket, { patienceMs: options.patienceMs ?? 10_000, call, onUnreadable: report }).catch(() => {
    // Only a start that failed rejects `ready`: startCniServer() throws the same error to the caller.
    socket.destroy();
  });
}

interface Surroundings {
  readonly options: CniServerOptions;
  readonly open: ReadonlySet<Promise<void>>;
  readonly sockets: ReadonlySet<Socket>;
}

function runningServer(server: Server, context: CallContext, recovery: Recovery, around: Surroundings): CniServer {
  const { store } = context;
  const tombstones = followTombstones(tombstoneDirectory(around.options.socketPath), context);
  let closing: Promise<void> | undefined;
  const close = async () => {
    const listenerClosed = closeListener(server);
    for (const socket of around.sockets) endUnlessServed(socket);
    await Promise.all([listenerClosed, tombstones.close(), ...around.open]);
    await store.close();
  };
  return {
    recovery,
    records: () => store.list(),
    recordsInFlight: () => store.listBusy(),
    onChange: (listener) => store.onChange(listener),
    usage: () => store.usage(),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** A caller that has sent nothing yet is not waited for: its plugin sees the agent go and says "try again later". */
function endUnlessServed(socket: Socket): void {
  if (socket.bytesRead === 0) socket.destroy();
}

function closeListener(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
