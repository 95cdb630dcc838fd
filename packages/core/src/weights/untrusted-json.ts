/** Bounds for JSON that others wrote: its depth and its members are counted before it is parsed. */

export interface JsonOutline {
  /** Objects and lists that lie within each other. */
  readonly depth: number;
  /** Commas between the members of the outermost value. */
  readonly topLevelCommas: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/** One pass over UTF-8 JSON, whether valid or not. It needs no stack. */
export function scanJson(bytes: Uint8Array): JsonOutline {
  let depth = 0;
  let deepest = 0;
  let topLevelCommas = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === COMMA && depth === 1) topLevelCommas++;
    // The bits apart from 0x20 are those of "[" and "]": this takes brackets and braces.
    else if ((byte | 0x20) === 0x7b) deepest = Math.max(deepest, ++depth);
    else if ((byte | 0x20) === 0x7d) depth--;
  }
  return { depth: deepest, topLevelCommas };
}
