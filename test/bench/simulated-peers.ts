/**
 * A process that is the agents of many nodes, as far as one real agent's probes can tell: answers them at every simulated
 * node's addresses, looks back as often as so many agents do, and searches when a path became narrow.
 *
 * It is the agent's own prober, seen in a mirror. There one prober has many addresses to send to; here it has many to
 * send from, and one node at the far end. So an address below names the simulated end of a path.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { json } from "node:stream/consumers";
import { Prober } from "../../src/agent/prober.ts";
import type { ProbeDatagram, ProbePort } from "../../src/kernel/probe-port.ts";
import { systemClock } from "../../src/kube/clock.ts";
import type { Ip } from "../../src/model/ip.ts";
import type { ProbeTarget } from "../../src/model/proof.ts";

export interface SimulatedPeers {
  readonly port: number;
  /** Each simulated node's paths to the real one. */
  readonly targets: readonly ProbeTarget[];
  /** Where the real agent is reached from each address. */
  readonly agentAt: Readonly<Record<Ip, Ip>>;
}

/** A socket an address. */
class Mirror implements ProbePort {
  readonly #peers: SimulatedPeers;
  readonly #sockets: ReadonlyMap<Ip, Socket>;
  /** Takes what arrives; nobody does before the prober has opened its port. */
  onDatagram: (datagram: ProbeDatagram) => void = () => undefined;

  constructor(peers: SimulatedPeers, sockets: ReadonlyMap<Ip, Socket>) {
    this.#peers = peers;
    this.#sockets = sockets;
    for (const [from, socket] of sockets) socket.on("message", (payload) => this.onDatagram({ from, payload }));
  }

  static async open(peers: SimulatedPeers): Promise<Mirror> {
    const sockets = new Map<Ip, Socket>();
    for (const address of Object.keys(peers.agentAt)) {
      const socket = createSocket("udp4");
      socket.bind(peers.port, address);
      await once(socket, "listening");
      sockets.set(address, socket);
    }
    return new Mirror(peers, sockets);
  }

  probe(address: Ip, payload: Buffer): string {
    // What the fault's rule drops on its way out is an error here (EPERM); to a node it would be silence.
    this.#sockets.get(address)?.send(payload, this.#peers.port, this.#peers.agentAt[address], () => undefined);
    return "";
  }

  answer(address: Ip, payload: Buffer): void {
    this.probe(address, payload);
  }

  errors(): [] {
    return [];
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets.values()) socket.close();
  }
}

const peers = (await json(process.stdin)) as SimulatedPeers;
const mirror = await Mirror.open(peers);
const names = new Map(peers.targets.map(({ address, peer }) => [address, peer]));
const prober = new Prober({
  open: (_port, onDatagram) => {
    mirror.onDatagram = onDatagram;
    return mirror;
  },
  port: peers.port,
  clock: systemClock,
  peerAt: (address) => names.get(address),
  onSettled: () => undefined,
  onProven: () => undefined,
  // Uncaught: ends this process, and with it the measurement.
  onError: (error) => {
    throw error;
  },
});
prober.setTargets(Map.groupBy(peers.targets, ({ peer }) => peer));
process.stdout.write("listening\n");
