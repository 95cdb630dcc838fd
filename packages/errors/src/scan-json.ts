/**
 * Bounds for JSON that others wrote, counted before it is parsed: a caught stack overflow is no answer, since V8 can abort
 * the process on a stack that is nearly full.
 */

export interface JsonOutline {
  /** Whether objects and lists are nested deeper than the limit. The count then ended there. */
  readonly isTooDeep: boolean;
  /** Commas between the members of the outermost value. */
  readonly topLevelCommas: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BRACE = 0x7b;

/** One pass over JSON text, valid or not. Its depth is never less than what a parser finds. */
export function scanJson(text: string, mostDepth: number): JsonOutline {
  /** The brackets that are to close. Another closing one does not count: tolerant parsers skip it. */
  const open: number[] = [];
  let topLevelCommas = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = endOfString(text, at);
    else if (character === BRACKET || character === BRACE) {
      if (open.length === mostDepth) return { isTooDeep: true, topLevelCommas };
      // In ASCII, a closing bracket stands two places behind its opening one.
      open.push(character + 2);
    } else if (character === open[open.length - 1]) open.pop();
    else if (character === COMMA && open.length === 1) topLevelCommas++;
  }
  return { isTooDeep: false, topLevelCommas };
}

/** A regular expression is five times as fast as a loop over characters: a string can be a whole image in base64. */
const STRING_STOP = /["\\\n\r]/g;

/** Offset of the closing quote, or of the line's end: no string of JSON goes on behind it. */
function endOfString(text: string, start: number): number {
  STRING_STOP.lastIndex = start + 1;
  while (STRING_STOP.test(text)) {
    const at = STRING_STOP.lastIndex - 1;
    if (text.charCodeAt(at) !== BACKSLASH) return at;
    STRING_STOP.lastIndex = at + 2;
  }
  return text.length;
}
