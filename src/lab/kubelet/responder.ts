/**
 * What a container without a command is: every declared port is served from this one process, by sockets that were
 * opened in the pod's namespace. The first line of every answer is "namespace/pod", the second says who asked.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { openServerSocket, type Protocol } from "../../kernel/inet-socket.ts";
import * as libc from "../../kernel/libc.ts";
import { inNamespaceAt } from "../../kernel/netns.ts";
import { isBreakwaterError } from "../../model/errors.ts";

export interface ResponderPort {
  readonly port: number;
  readonly protocol: Protocol;
}

export interface Responder {
  /** Ports that this kernel cannot serve (SCTP without the module), with the reason. */
  readonly refused: readonly { readonly port: number; readonly protocol: Protocol; readonly why: string }[];
  close(): void;
}

/** @throws BreakwaterError BW_SOCKET when an address is taken */
export function startResponder(netns: string, who: string, ports: readonly ResponderPort[], ipv6: boolean): Responder {
  const closers: (() => void)[] = [];
  const refused: { port: number; protocol: Protocol; why: string }[] = [];
  const close = () => {
    for (const closer of closers) closer();
  };
  try {
    for (const { port, protocol } of ports) {
      for (const address of ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"]) {
        try {
          const fd = inNamespaceAt(netns, () => openServerSocket(address, port, protocol));
          closers.push(serve(fd, protocol, who, address));
        } catch (error) {
          if (!isUnsupported(error)) throw error;
          refused.push({ port, protocol, why: `this kernel has no ${protocol}` });
        }
      }
    }
  } catch (error) {
    close();
    throw error;
  }
  return { refused, close };
}

function isUnsupported(error: unknown): boolean {
  const errno = isBreakwaterError(error) ? error.errno : undefined;
  return ["EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT"].includes(errno ?? "");
}

function serve(fd: number, protocol: Protocol, who: string, address: string): () => void {
  if (protocol === "TCP") return serveStream(fd, who);
  if (protocol === "UDP") return serveDatagrams(fd, who, address.includes(":") ? "udp6" : "udp4");
  return serveSctp(fd, who);
}

function serveStream(fd: number, who: string): () => void {
  const server = createServer({ allowHalfOpen: false }, (socket) => {
    socket.on("error", () => undefined);
    socket.end(answer(who, socket.remoteAddress, socket.remotePort));
    socket.resume();
  });
  server.listen({ fd });
  return () => void server.close();
}

function serveDatagrams(fd: number, who: string, type: "udp4" | "udp6"): () => void {
  const socket = createSocket(type);
  // "listening" fires inside bind() when a descriptor is given.
  socket.on("error", () => undefined);
  socket.on("message", (_, peer) => socket.send(answer(who, peer.address, peer.port), peer.port, peer.address));
  socket.bind({ fd });
  return () => void socket.close();
}

/** Node knows no SCTP: descriptors are accepted and answered by system calls. */
function serveSctp(fd: number, who: string): () => void {
  const poll = libc.pollReadable(fd, () => {
    for (let peer = libc.accept(fd); peer >= 0; peer = libc.accept(fd)) {
      const data = Buffer.from(answer(who, undefined, undefined));
      libc.send(peer, data, data.length, 0);
      libc.close(peer);
    }
  });
  return () => {
    poll.stop();
    libc.close(fd);
  };
}

function answer(who: string, address: string | undefined, port: number | undefined): string {
  return `${who}\nfrom ${address ?? "unknown"} ${port ?? ""}\n`;
}
