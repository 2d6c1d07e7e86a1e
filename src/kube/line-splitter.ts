/**
 * Cuts a byte stream into lines: a watch is one JSON object a line. Works on bytes, so that a UTF-8 character split
 * between two chunks cannot be damaged, and looks at each byte once, however long a line gets.
 */

/**
 * etcd takes no object above 1.5 MiB by default and kube-apiserver no request above 3 MiB; what is longer is no
 * Kubernetes object and would only fill the memory.
 */
export const MAX_OBJECT_BYTES = 16 * 1024 * 1024;

const NEWLINE = 0x0a;

export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Bytes of a line that has begun and not ended. */
  get pendingBytes(): number {
    return this.#length;
  }

  /** @throws RangeError when a line exceeds {@link MAX_OBJECT_BYTES} */
  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#take(chunk.subarray(start, end));
      this.#emit();
      start = end + 1;
    }
    this.#take(chunk.subarray(start));
  }

  #take(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    if (this.#length > MAX_OBJECT_BYTES) throw new RangeError(`a line is longer than ${MAX_OBJECT_BYTES} bytes`);
    this.#parts.push(bytes);
  }

  #emit(): void {
    const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    if (line !== undefined && line.length > 0) this.#onLine(line.toString("utf8"));
  }
}
