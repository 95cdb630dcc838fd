/**
 * Measures untrusted JSON before it is parsed. Depth: catching a stack overflow is not enough, since V8 can abort the process
 * on a stack that is nearly full. Values: `[],[],[],` takes some fifteen times its length when parsed.
 */

export interface JsonOutline {
  /** Objects and lists are nested deeper than the limit. The scan ended there. */
  readonly isTooDeep: boolean;
  /** There are more values than the limit. The scan ended there. */
  readonly hasTooManyValues: boolean;
  /** Commas between the members of the outermost value. */
  readonly topLevelCommas: number;
}

const COMMA = 0x2c;
const BRACKET = 0x5b;
const BRACE = 0x7b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A regular expression is ten times as fast as a loop over characters: text may contain megabytes of spaces. */
const STRUCTURE = /["[\]{},]/g;

/** A string's end, or a run of escapes with the text between them: one match per escape would take seconds for megabytes. */
const STRING_STOP = /["\n\r]|(?:\\[\s\S][^"\\\n\r]{0,16}){1,1000}/g;

/**
 * One pass over JSON text, valid or not. Its depth and its count of values are never less than a parser's: commas and
 * opening brackets count as values.
 */
export function scanJson(text: string, mostDepth: number, mostValues?: number): JsonOutline {
  const scanner = new JsonScanner(mostDepth, mostValues);
  scanner.add(text);
  const { isTooDeep, hasTooManyValues, topLevelCommas } = scanner;
  return { isTooDeep, hasTooManyValues, topLevelCommas };
}

/** The pass of {@link scanJson} over text that comes in parts. */
export class JsonScanner implements JsonOutline {
  readonly #mostDepth: number;
  readonly #mostValues: number;
  /** The expected closing brackets. Others are ignored, since tolerant parsers skip them. */
  readonly #open: number[] = [];
  #values = 1;
  #isInString = false;
  /** The last part ended between a backslash and the escaped character. */
  #isInEscape = false;
  topLevelCommas = 0;
  isTooDeep = false;

  constructor(mostDepth: number, mostValues: number = Number.POSITIVE_INFINITY) {
    this.#mostDepth = mostDepth;
    this.#mostValues = mostValues;
  }

  get hasTooManyValues(): boolean {
    return this.#values > this.#mostValues;
  }

  /** Whether the text so far ends within a string, and not within an escape of it. */
  get isInString(): boolean {
    return this.#isInString && !this.#isInEscape;
  }

  /** Does nothing once a limit is passed. */
  add(text: string): void {
    let at = 0;
    if (this.#isInEscape && text !== "") {
      this.#isInEscape = false;
      at = 1;
    }
    while (at < text.length && !this.isTooDeep && !this.hasTooManyValues) {
      if (this.#isInString) {
        at = this.#leaveString(text, at);
        continue;
      }
      STRUCTURE.lastIndex = at;
      if (!STRUCTURE.test(text)) break;
      at = STRUCTURE.lastIndex;
      this.#count(text.charCodeAt(at - 1));
    }
  }

  #count(character: number): void {
    const open = this.#open;
    if (character === QUOTE) this.#isInString = true;
    else if (character === COMMA) {
      this.#values++;
      if (open.length === 1) this.topLevelCommas++;
    } else if (character === BRACKET || character === BRACE) {
      this.isTooDeep = open.length === this.#mostDepth;
      if (this.isTooDeep) return;
      this.#values++;
      // In ASCII, the code of a closing bracket is that of its opening one plus two.
      open.push(character + 2);
    } else if (character === open[open.length - 1]) open.pop();
  }

  /**
   * The offset after the closing quote or the line's end, where every JSON string ends; the text's length if the string
   * continues in the next part.
   */
  #leaveString(text: string, start: number): number {
    STRING_STOP.lastIndex = start;
    for (;;) {
      const from = STRING_STOP.lastIndex;
      const stop = STRING_STOP.exec(text);
      if (stop === null) {
        // A backslash followed by a character would have matched.
        this.#isInEscape = from < text.length && text.charCodeAt(text.length - 1) === BACKSLASH;
        return text.length;
      }
      if (text.charCodeAt(stop.index) === BACKSLASH) continue;
      this.#isInString = false;
      return stop.index + 1;
    }
  }
}
