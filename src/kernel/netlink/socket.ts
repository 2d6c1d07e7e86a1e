/**
 * One netlink socket: requests with acknowledgement, dumps that are complete or repeated, batches of independent
 * requests in one send, and events on Node's loop. Synchronous except for events and `requestAsync`.
 *
 * A socket belongs to the network namespace in which it was made, for its whole life.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import * as libc from "../libc.ts";
import { errnoName, lastErrno } from "../libc.ts";
import * as c from "./constants.ts";
import { answeredErrno, decodeErrorMessage, netlinkError, type Purpose } from "./error.ts";
import { MessageWriter } from "./message-writer.ts";

/** One received message. `payload` is valid until the next receive: decode or copy. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The socket whose request this belongs to; events carry the port of whoever made the change. */
  readonly port: number;
  readonly payload: Buffer;
}

export interface NetlinkRequest extends Purpose {
  readonly type: number;
  /** NLM_F_ flags beside REQUEST. */
  readonly flags: number;
  readonly body: (writer: MessageWriter) => void;
  /** Answers to {@link NetlinkSocket.get} that say there is none, by the name of their errno. */
  readonly absent?: readonly string[];
}

/** A dump is begun anew this often when the kernel says that it was interrupted or overran. */
const DUMP_ATTEMPTS = 10;
/**
 * Requests a send() of {@link NetlinkSocket.requestMany}. Their answers wait in the receive buffer, 768 bytes of kernel
 * memory each, and the least buffer that a process without privileges has (rmem_default, 208 KiB) must hold them.
 */
const REQUESTS_PER_SEND = 256;
const RECEIVE_TIMEOUT_SECONDS = 10n;
/** Large enough for a dump's skb (the kernel sends up to 32 KiB, more for huge attributes). */
const RECEIVE_BUFFER_BYTES = 256 * 1024;

export interface NetlinkSocketOptions {
  /** Multicast groups to join (numbers of the RTNLGRP_ or NFNLGRP_ enums). */
  readonly groups?: readonly number[];
  readonly nonBlocking?: boolean;
  /** Kernel receive buffer, bytes. Events that overrun it are lost, and the listener is told. */
  readonly receiveBufferBytes?: number;
}

// One receive buffer for all sockets: every receive is consumed before the next call, on one thread.
const receiveBuffer = Buffer.alloc(RECEIVE_BUFFER_BYTES);

function neverTheSame({ operation, object }: Purpose): BreakwaterError {
  return new BreakwaterError(
    "BW_NETLINK_DUMP",
    `Cannot ${operation} ${object}: the table changed during each of ${DUMP_ATTEMPTS} attempts`,
    { operation, object, errno: "EINTR" },
  );
}

export class NetlinkSocket implements Disposable {
  readonly fd: number;
  readonly #protocol: number;
  readonly #writer = new MessageWriter();
  #sequence = 1;
  /** No more than any socket has from the start (wmem_default is 208 KiB unless an admin set it). */
  #sendBufferBytes = 1 << 17;
  #closed = false;

  constructor(protocol: number, options: NetlinkSocketOptions = {}) {
    this.#protocol = protocol;
    const type = c.SOCK_RAW | c.SOCK_CLOEXEC | (options.nonBlocking === true ? c.SOCK_NONBLOCK : 0);
    this.fd = libc.checked(libc.socket(c.AF_NETLINK, type, protocol), "open", this.#name());
    try {
      this.#configure(options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    if (!this.#closed) libc.close(this.fd);
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** This socket's port number, as the kernel names it in events that its requests cause. */
  get port(): number {
    const address = Buffer.alloc(12);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(address.length);
    libc.checked(libc.getsockname(this.fd, address, length), "read the port of", this.#name());
    return address.readUInt32LE(4);
  }

  nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  /** Sends one request and waits for its acknowledgement. @throws BreakwaterError BW_NETLINK */
  request(request: NetlinkRequest): void {
    const sequence = this.#encode(request, c.NLM_F_ACK);
    this.sendBytes(this.#writer.bytes(), request);
    const error = this.#receiveAcks(new Map([[sequence, request]]))[0];
    if (error !== undefined) throw error;
  }

  /**
   * Sends independent requests, many in one send(); each is tried whatever became of the others.
   * @returns one entry a request: undefined, or its error
   */
  requestMany(requests: readonly NetlinkRequest[]): (BreakwaterError | undefined)[] {
    const answers: (BreakwaterError | undefined)[] = [];
    for (let i = 0; i < requests.length; i += REQUESTS_PER_SEND) {
      answers.push(...this.#requestTogether(requests.slice(i, i + REQUESTS_PER_SEND)));
    }
    return answers;
  }

  #requestTogether(requests: readonly NetlinkRequest[]): (BreakwaterError | undefined)[] {
    const purposes = new Map<number, NetlinkRequest>();
    this.#writer.reset();
    // The kernel works in order and always tells of errors: when the last is acknowledged, those without one are done.
    const last = requests.length - 1;
    for (const [i, request] of requests.entries()) {
      purposes.set(this.#append(request, i === last ? c.NLM_F_ACK : 0), request);
    }
    const first = requests[0] as NetlinkRequest;
    this.sendBytes(this.#writer.bytes(), first);
    return this.#receiveAcks(purposes);
  }

  /**
   * The same as {@link request} on a worker thread, for what makes the kernel wait. The socket must not be used for
   * anything else until the promise settles.
   */
  async requestAsync(request: NetlinkRequest): Promise<void> {
    const sequence = this.#encode(request, c.NLM_F_ACK);
    const bytes = Buffer.from(this.#writer.bytes());
    await new Promise<void>((resolve, reject) => {
      libc.sendAsync(this.fd, bytes, bytes.length, 0, (error, result) => {
        if (error !== null) reject(error);
        else if (result < 0) reject(this.#ioError("send to", request));
        else resolve();
      });
    });
    const error = this.#receiveAcks(new Map([[sequence, request]]))[0];
    if (error !== undefined) throw error;
  }

  /**
   * Reads a whole table. A dump that the kernel calls interrupted (NLM_F_DUMP_INTR), or that overran the socket, is
   * begun anew, so that the list is one consistent state.
   */
  dump<T>(request: NetlinkRequest, decode: (message: NetlinkMessage) => T | undefined): T[] {
    return this.#dumpWhole(request, c.NLM_F_DUMP, decode);
  }

  /**
   * The same in pieces: others run between them. The socket must not be used for anything else until the promise
   * settles.
   */
  async dumpInPieces<T>(request: NetlinkRequest, decode: (message: NetlinkMessage) => T | undefined): Promise<T[]> {
    for (let attempt = 1; ; attempt++) {
      const steps = this.#dumpOnce(request, c.NLM_F_DUMP, decode);
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) await nextTurn();
      if (step.value !== undefined) return step.value;
      if (attempt === DUMP_ATTEMPTS) throw neverTheSame(request);
    }
  }

  /** Asks for one object: the first answer, or undefined when the kernel says there is none (`absent`). */
  get<T>(request: NetlinkRequest, decode: (message: NetlinkMessage) => T | undefined): T | undefined {
    return this.#dumpWhole(request, 0, decode)[0];
  }

  #dumpWhole<T>(request: NetlinkRequest, flags: number, decode: (message: NetlinkMessage) => T | undefined): T[] {
    for (let attempt = 1; ; attempt++) {
      const steps = this.#dumpOnce(request, flags, decode);
      let step = steps.next();
      while (step.done !== true) step = steps.next();
      if (step.value !== undefined) return step.value;
      if (attempt === DUMP_ATTEMPTS) throw neverTheSame(request);
    }
  }

  /** Reads what is queued without waiting. @throws BreakwaterError with errno ENOBUFS when events were lost */
  *receiveQueued(): Generator<NetlinkMessage> {
    for (;;) {
      const size = libc.recv(this.fd, receiveBuffer, receiveBuffer.length, c.MSG_DONTWAIT | c.MSG_TRUNC);
      if (size < 0) {
        const errno = errnoName(lastErrno());
        if (errno === "EAGAIN") return;
        if (errno === "EINTR") continue;
        throw this.#ioError("receive from", { operation: "receive events from", object: this.#name() }, errno);
      }
      yield* splitMessages(receiveBuffer.subarray(0, Math.min(size, receiveBuffer.length)));
    }
  }

  /** Sends raw bytes, growing the kernel's send buffer for large batches. */
  sendBytes(bytes: Uint8Array, purpose: Purpose): void {
    if (bytes.length > this.#sendBufferBytes / 2) {
      this.#sendBufferBytes = bytes.length * 2;
      this.#setSendBuffer();
    }
    for (;;) {
      if (libc.send(this.fd, bytes, bytes.length, 0) >= 0) return;
      const errno = errnoName(lastErrno());
      if (errno !== "EINTR") throw this.#ioError("send to", purpose, errno);
    }
  }

  #encode(request: NetlinkRequest, extraFlags: number): number {
    this.#writer.reset();
    return this.#append(request, extraFlags);
  }

  #append(request: NetlinkRequest, extraFlags: number): number {
    const sequence = this.nextSequence();
    this.#writer.beginMessage(request.type, c.NLM_F_REQUEST | request.flags | extraFlags, sequence);
    request.body(this.#writer);
    this.#writer.endMessage();
    return sequence;
  }

  /** Waits until the last sequence number of `purposes` is answered; errors in the order of the requests. */
  #receiveAcks(purposes: ReadonlyMap<number, Purpose>): (BreakwaterError | undefined)[] {
    const answers = new Map<number, BreakwaterError | undefined>();
    const last = this.#sequence;
    while (!answers.has(last)) {
      for (const message of this.#receive("an acknowledgement")) {
        const purpose = purposes.get(message.sequence);
        if (purpose === undefined || message.type !== c.NLMSG_ERROR) continue;
        answers.set(message.sequence, decodeErrorMessage(message.payload, message.flags, purpose));
      }
    }
    return Array.from(purposes.keys(), (sequence) => answers.get(sequence));
  }

  /** Stops behind each part that was received. @returns undefined when the dump has to be begun anew */
  *#dumpOnce<T>(
    request: NetlinkRequest,
    flags: number,
    decode: (message: NetlinkMessage) => T | undefined,
  ): Generator<undefined, T[] | undefined> {
    const sequence = this.#encode(request, flags);
    this.sendBytes(this.#writer.bytes(), request);
    const result: T[] = [];
    let interrupted = false;
    for (;;) {
      const received = this.#receiveDump(request.object);
      // Something that was queued here is lost. The dump itself waits for room, so it goes on, and is then begun anew.
      if (received === undefined) interrupted = true;
      for (const message of received ?? []) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & c.NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === c.NLMSG_DONE) return this.#endOfDump(message, request, interrupted ? undefined : result);
        if (message.type === c.NLMSG_ERROR) {
          // An expected answer, for every free address: no exception with a stack is made of it.
          if (request.absent?.includes(errnoName(answeredErrno(message.payload)))) return [];
          const error = decodeErrorMessage(message.payload, message.flags, request);
          if (error === undefined) return interrupted ? undefined : result;
          if (error.errno === "EINTR") return undefined;
          throw error;
        }
        const value = decode(message);
        if (value !== undefined) result.push(value);
        if ((message.flags & c.NLM_F_MULTI) === 0) return interrupted ? undefined : result;
      }
      yield;
    }
  }

  /** NLMSG_DONE carries the dump's own errno since 4.14. */
  #endOfDump<T>(message: NetlinkMessage, purpose: Purpose, result: T[] | undefined): T[] | undefined {
    const errno = message.payload.length >= 4 ? -message.payload.readInt32LE(0) : 0;
    if (errno > 0 && errnoName(errno) === "EINTR") return undefined;
    if (errno > 0) throw netlinkError(errno, "", purpose);
    return result;
  }

  /** Undefined when the socket overran (ENOBUFS). */
  #receiveDump(object: string): Iterable<NetlinkMessage> | undefined {
    try {
      return this.#receive(object);
    } catch (error) {
      if (isBreakwaterError(error) && error.errno === "ENOBUFS") return undefined;
      throw error;
    }
  }

  #receive(waitingFor: string): Iterable<NetlinkMessage> {
    for (;;) {
      const size = libc.recv(this.fd, receiveBuffer, receiveBuffer.length, c.MSG_TRUNC);
      if (size > receiveBuffer.length) {
        throw new BreakwaterError("BW_NETLINK_TRUNCATED", `A netlink answer of ${size} bytes does not fit the buffer`);
      }
      if (size >= 0) return splitMessages(receiveBuffer.subarray(0, size));
      const errno = errnoName(lastErrno());
      if (errno !== "EINTR") {
        throw this.#ioError("receive from", { operation: `wait for ${waitingFor} from`, object: this.#name() }, errno);
      }
    }
  }

  #configure(options: NetlinkSocketOptions): void {
    const address = Buffer.alloc(12);
    address.writeUInt16LE(c.AF_NETLINK, 0);
    libc.checked(libc.bind(this.fd, address, address.length), "bind", this.#name());
    this.#setOption(c.SOL_NETLINK, c.NETLINK_EXT_ACK, 1);
    this.#setOption(c.SOL_NETLINK, c.NETLINK_CAP_ACK, 1);
    if (this.#protocol === c.NETLINK_ROUTE) this.#setOption(c.SOL_NETLINK, c.NETLINK_GET_STRICT_CHK, 1);
    this.#setReceiveBuffer(options.receiveBufferBytes ?? 1 << 20);
    for (const group of options.groups ?? []) this.#setOption(c.SOL_NETLINK, c.NETLINK_ADD_MEMBERSHIP, group);
    if (options.nonBlocking !== true) {
      const timeout = Buffer.alloc(16);
      timeout.writeBigInt64LE(RECEIVE_TIMEOUT_SECONDS, 0);
      libc.checked(libc.setsockopt(this.fd, c.SOL_SOCKET, c.SO_RCVTIMEO, timeout, 16), "set timeout of", this.#name());
    }
  }

  #setReceiveBuffer(size: number): void {
    // FORCE needs CAP_NET_ADMIN in the initial user namespace; without it the host's limit applies.
    if (!this.#trySetOption(c.SOL_SOCKET, c.SO_RCVBUFFORCE, size)) this.#setOption(c.SOL_SOCKET, c.SO_RCVBUF, size);
  }

  #setSendBuffer(): void {
    if (!this.#trySetOption(c.SOL_SOCKET, c.SO_SNDBUFFORCE, this.#sendBufferBytes)) {
      this.#setOption(c.SOL_SOCKET, c.SO_SNDBUF, this.#sendBufferBytes);
    }
  }

  #trySetOption(level: number, name: number, value: number): boolean {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value, 0);
    return libc.setsockopt(this.fd, level, name, bytes, 4) === 0;
  }

  #setOption(level: number, name: number, value: number): void {
    if (this.#trySetOption(level, name, value)) return;
    throw this.#ioError("configure", { operation: `set option ${level}/${name} of`, object: this.#name() });
  }

  #name(): string {
    return `netlink socket (protocol ${this.#protocol})`;
  }

  #ioError(verb: string, purpose: Purpose, errno = errnoName(lastErrno())): BreakwaterError {
    const message = `Cannot ${purpose.operation} ${purpose.object}: ${verb} the netlink socket: ${errno}`;
    return new BreakwaterError("BW_NETLINK_IO", message, { ...purpose, errno });
  }
}

function* splitMessages(buffer: Buffer): Generator<NetlinkMessage> {
  let offset = 0;
  while (offset + 16 <= buffer.length) {
    const length = buffer.readUInt32LE(offset);
    if (length < 16 || offset + length > buffer.length) return;
    yield {
      type: buffer.readUInt16LE(offset + 4),
      flags: buffer.readUInt16LE(offset + 6),
      sequence: buffer.readUInt32LE(offset + 8),
      port: buffer.readUInt32LE(offset + 12),
      payload: buffer.subarray(offset + 16, offset + length),
    };
    offset += (length + 3) & ~3;
  }
}
