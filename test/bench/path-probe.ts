/** Runs c/path-probe: what one operation between two namespaces costs. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Ip } from "../../src/model/ip.ts";
import { tool } from "./tools.ts";

/** Two namespaces, and the address at which the second one is reached. */
export interface Endpoints {
  readonly client: string;
  readonly server: string;
  readonly address: Ip;
  /** `ADDRESS:PORT` that leads there, where the client does not connect to the address itself. */
  readonly via?: string;
}

export type PathMode = "tcp_rr" | "udp_rr" | "tcp_crr" | "tcp_stream" | "udp_oneway";

export interface PathSample {
  /** Of both ends, of one operation; with tcp_stream of a megabyte, with udp_oneway of a datagram. */
  readonly cpuUs: number;
  readonly foreignCores: number;
  readonly p50Us?: number;
  readonly connectP50Us?: number;
  readonly gbps?: number;
}

/** The port on which the server listens. */
export const PROBE_PORT = 5201;

/** Client and server on the same core: then the CPU time of both is all that the packets cost. */
export async function runPathProbe(
  mode: PathMode,
  seconds: number,
  { client, server, address, via }: Endpoints,
  cpu: number,
): Promise<PathSample> {
  const options = { client, server, address, seconds, cpu, ...(via === undefined ? {} : { via }) };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await promisify(execFile)(tool("path-probe"), [mode, ...args]);
  return JSON.parse(stdout) as PathSample;
}
