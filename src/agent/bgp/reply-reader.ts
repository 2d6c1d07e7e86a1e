/**
 * Reads what BIRD says on its control socket (nest/cli.c of BIRD 2): lines that begin with a number of four digits, then "-"
 * where more of the reply follows, or " " on its last line. A line that begins with " " goes on under the number before it;
 * one that begins with "+" is a message that was not asked for.
 */

export interface BirdLine {
  readonly code: number;
  readonly text: string;
}

export interface BirdReply {
  /** Of the last line: 0 to 1999 success, 8000 to 8999 refused, 9000 to 9999 not understood. */
  readonly code: number;
  readonly text: string;
  /** All lines, the last one among them. */
  readonly lines: readonly BirdLine[];
}

/** A reply with all routes of a large node is some megabytes. */
const LARGEST_REPLY_BYTES = 64 << 20;
const CODED = /^(\d{4})([ -])(.*)$/;

export class ReplyReader {
  #rest = "";
  #lines: BirdLine[] = [];
  #size = 0;

  /**
   * @returns the replies that are complete with this text
   * @throws SyntaxError when it is not what BIRD says; the connection is of no more use
   */
  read(text: string): BirdReply[] {
    const replies: BirdReply[] = [];
    this.#size += text.length;
    if (this.#size > LARGEST_REPLY_BYTES) throw new SyntaxError("BIRD's reply has no end");
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const reply = this.#line(line);
      if (reply !== undefined) replies.push(reply);
    }
    return replies;
  }

  #line(line: string): BirdReply | undefined {
    if (line.startsWith("+")) return undefined;
    const coded = CODED.exec(line);
    if (coded === null) {
      const before = this.#lines.at(-1);
      if (before === undefined || !line.startsWith(" ")) throw new SyntaxError(`BIRD says ${JSON.stringify(line)}`);
      this.#lines.push({ code: before.code, text: line.slice(1) });
      return undefined;
    }
    const [, number = "", more, text = ""] = coded;
    const code = Number(number);
    this.#lines.push({ code, text });
    if (more === "-") return undefined;
    const lines = this.#lines;
    this.#lines = [];
    this.#size = this.#rest.length;
    return { code, text, lines };
  }
}

/** Refused, or not understood. */
export function isRefusal({ code }: BirdReply): boolean {
  return code >= 8000;
}
