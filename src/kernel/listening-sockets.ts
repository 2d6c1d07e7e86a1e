/** Which ports local processes listen on: /proc/net/{tcp,udp} and their IPv6 twins (proc(5)) of this thread's namespace. */
import { readFileSync } from "node:fs";

/** TCP_LISTEN, and what an unconnected UDP socket shows (TCP_CLOSE), of include/net/tcp_states.h. */
const STATES = { tcp: "0A", udp: "07" } as const;

/** `tcp 8080`, `udp 53`: ports that somebody can be reached on from outside; those on loopback are left out. */
export function listeningPorts(): Set<string> {
  const ports = new Set<string>();
  for (const protocol of ["tcp", "udp"] as const) {
    for (const file of [protocol, `${protocol}6`]) {
      for (const port of parseListening(read(`/proc/thread-self/net/${file}`), STATES[protocol])) {
        ports.add(`${protocol} ${port}`);
      }
    }
  }
  return ports;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A kernel without IPv6 has no tcp6.
    return "";
  }
}

/** @param state two hexadecimal digits of the column "st" */
export function parseListening(table: string, state: string): number[] {
  return table.split("\n").flatMap((line) => {
    const [, address, port, found] = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line) ?? [];
    if (address === undefined || port === undefined || found !== state || isLoopback(address)) return [];
    return [Number.parseInt(port, 16)];
  });
}

/** Addresses are words in host order: 127.0.0.1 is 0100007F, and ::1 ends with 01000000. */
function isLoopback(address: string): boolean {
  return address.length === 8 ? address.endsWith("7F") : address === "00000000000000000000000001000000";
}
