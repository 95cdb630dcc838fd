/**
 * Tool calls in the text of a model, in the format of Hermes, which many chat templates ask for:
 *
 *     <tool_call>
 *     {"name": "weather", "arguments": {"city": "Oslo"}}
 *     </tool_call>
 *
 * Text arrives in pieces; text that may begin a call is held back. A block that is not a call of an offered tool stays text.
 */

export interface ToolCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

export type AnswerPiece =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "call"; readonly call: ToolCall };

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";

export class ToolCallParser {
  readonly #names: ReadonlySet<string>;
  /** Text held back: a block, or the beginning of its opening tag. */
  #held = "";
  /** White space after a call separates it from the next one. */
  #followsCall = false;

  /** @param names of the offered tools; none: all text is text */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  push(text: string): readonly AnswerPiece[] {
    if (this.#names.size === 0) return text === "" ? [] : [{ type: "text", text }];
    this.#held += text;
    const pieces: AnswerPiece[] = [];
    for (;;) {
      const start = this.#held.indexOf(OPEN);
      if (start < 0) {
        const end = this.#held.length - openingLength(this.#held);
        this.#addText(this.#held.slice(0, end), pieces);
        this.#held = this.#held.slice(end);
        return pieces;
      }
      this.#addText(this.#held.slice(0, start), pieces);
      this.#held = this.#held.slice(start);
      const end = this.#held.indexOf(CLOSE);
      if (end < 0) return pieces;
      this.#addBlock(this.#held.slice(0, end + CLOSE.length), pieces);
      this.#held = this.#held.slice(end + CLOSE.length);
    }
  }

  /** The rest. A block without its closing tag is a call if its JSON is complete. */
  end(): readonly AnswerPiece[] {
    const pieces: AnswerPiece[] = [];
    this.#addBlock(this.#held, pieces);
    this.#held = "";
    return pieces;
  }

  #addBlock(block: string, pieces: AnswerPiece[]): void {
    const call = block.startsWith(OPEN) ? this.#readCall(block) : undefined;
    if (call === undefined) {
      this.#addText(block, pieces);
      return;
    }
    pieces.push({ type: "call", call });
    this.#followsCall = true;
  }

  #addText(text: string, pieces: AnswerPiece[]): void {
    const rest = this.#followsCall ? text.trimStart() : text;
    if (rest === "") return;
    pieces.push({ type: "text", text: rest });
    this.#followsCall = false;
  }

  #readCall(block: string): ToolCall | undefined {
    const json = block.slice(OPEN.length, block.endsWith(CLOSE) ? -CLOSE.length : undefined);
    let call: { readonly name?: unknown; readonly arguments?: unknown } | null;
    try {
      call = JSON.parse(json);
    } catch {
      return undefined;
    }
    const { name, arguments: given = {} } = call ?? {};
    if (typeof name !== "string" || !this.#names.has(name)) return undefined;
    return { name, arguments: typeof given === "string" ? given : JSON.stringify(given) };
  }
}

/** Length of the longest end of the text that begins an opening tag. */
function openingLength(text: string): number {
  for (let length = Math.min(text.length, OPEN.length - 1); length > 0; length--) {
    if (text.endsWith(OPEN.slice(0, length))) return length;
  }
  return 0;
}
