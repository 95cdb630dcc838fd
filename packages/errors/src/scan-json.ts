/**
 * Bounds for JSON that others wrote, counted before it is parsed. Depth: a caught stack overflow is no answer, since V8 can
 * abort the process on a stack that is nearly full. Values: `[],[],[],` takes some fifteen times its length when parsed.
 */

export interface JsonOutline {
  /** Whether objects and lists are nested deeper than the limit. The count then ended there. */
  readonly isTooDeep: boolean;
  /** Whether there are more values than the limit. The count then ended there. */
  readonly hasTooManyValues: boolean;
  /** Commas between the members of the outermost value. */
  readonly topLevelCommas: number;
}

const COMMA = 0x2c;
const BRACKET = 0x5b;
const BRACE = 0x7b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A regular expression is ten times as fast as a loop over characters: text may be spaces for megabytes. */
const STRUCTURE = /["[\]{},]/g;

/**
 * One pass over JSON text, valid or not. Its depth and its count of values are never less than a parser's: commas and
 * opening brackets count as values.
 */
export function scanJson(
  text: string,
  mostDepth: number,
  mostValues: number = Number.POSITIVE_INFINITY,
): JsonOutline {
  /** The brackets that are to close. Another closing one does not count: tolerant parsers skip it. */
  const open: number[] = [];
  let topLevelCommas = 0;
  let values = 1;
  const outline = (isTooDeep: boolean, hasTooManyValues: boolean): JsonOutline => ({
    isTooDeep,
    hasTooManyValues,
    topLevelCommas,
  });
  let at = 0;
  while (at < text.length) {
    STRUCTURE.lastIndex = at;
    if (!STRUCTURE.test(text)) break;
    at = STRUCTURE.lastIndex;
    const character = text.charCodeAt(at - 1);
    if (character === QUOTE) at = endOfString(text, at);
    else if (character === COMMA) {
      values++;
      if (open.length === 1) topLevelCommas++;
    } else if (character === BRACKET || character === BRACE) {
      if (open.length === mostDepth) return outline(true, false);
      values++;
      // In ASCII, a closing bracket stands two places behind its opening one.
      open.push(character + 2);
    } else if (character === open[open.length - 1]) open.pop();
    if (values > mostValues) return outline(false, true);
  }
  return outline(false, false);
}

/** An end, or a run of escapes with what is between them: one match for each escape would take seconds for megabytes. */
const STRING_STOP = /["\n\r]|(?:\\[\s\S][^"\\\n\r]{0,16}){1,1000}/g;

/**
 * Offset behind the closing quote, or of the line's end: no string of JSON goes on behind it.
 * @param start offset behind the opening quote
 */
function endOfString(text: string, start: number): number {
  STRING_STOP.lastIndex = start;
  for (;;) {
    const stop = STRING_STOP.exec(text);
    if (stop === null) return text.length;
    if (text.charCodeAt(stop.index) !== BACKSLASH) return stop.index + 1;
  }
}
