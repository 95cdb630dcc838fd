/**
 * Locates the content parts of a chat in its JSON text. The gateway replaces parts and forwards all other bytes
 * unchanged: serialising the parsed body would change numbers, such as a seed above 2⁵³.
 */

export interface ContentPart {
  /** Offset of its first character, and the offset after its last. */
  readonly start: number;
  readonly end: number;
}

/** The parts of all messages that have a list as content, in document order. @param json valid JSON */
export function contentParts(json: string): readonly ContentPart[] {
  const messages = lastMember(json, skipSpace(json, 0), "messages");
  if (messages === undefined) return [];
  return elements(json, messages.start).flatMap(({ start }) => {
    const content = lastMember(json, start, "content");
    return content === undefined ? [] : elements(json, content.start);
  });
}

/** The value of a member. If the name occurs several times, the last one counts, as in JSON.parse. */
function lastMember(json: string, start: number, wanted: string): ContentPart | undefined {
  if (json[start] !== "{") return undefined;
  let found: ContentPart | undefined;
  for (let at = skipSpace(json, start + 1); json[at] !== "}"; ) {
    const nameEnd = endOfValue(json, at);
    const value = skipSpace(json, skipSpace(json, nameEnd) + 1);
    const end = endOfValue(json, value);
    // Names may be written with escapes.
    if (JSON.parse(json.slice(at, nameEnd)) === wanted) found = { start: value, end };
    at = behindComma(json, end);
  }
  return found;
}

function elements(json: string, start: number): readonly ContentPart[] {
  if (json[start] !== "[") return [];
  const found: ContentPart[] = [];
  for (let at = skipSpace(json, start + 1); json[at] !== "]"; ) {
    const end = endOfValue(json, at);
    found.push({ start: at, end });
    at = behindComma(json, end);
  }
  return found;
}

function behindComma(json: string, end: number): number {
  const at = skipSpace(json, end);
  return json[at] === "," ? skipSpace(json, at + 1) : at;
}

/** Regular expressions: a string can be a whole image in base64. */
const SPACE = /[ \t\r\n]*/y;
const STRING_STOP = /["\\]/g;
const NESTING = /["{}[\]]/g;
const SCALAR = /[^,\]}\s]*/y;

function skipSpace(json: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(json);
  return SPACE.lastIndex;
}

function endOfValue(json: string, start: number): number {
  const first = json[start];
  if (first === '"') return endOfString(json, start);
  if (first !== "{" && first !== "[") {
    SCALAR.lastIndex = start;
    SCALAR.test(json);
    return SCALAR.lastIndex;
  }
  let depth = 0;
  for (let at = start; ; ) {
    NESTING.lastIndex = at;
    NESTING.test(json);
    at = NESTING.lastIndex;
    const found = json[at - 1];
    if (found === '"') at = endOfString(json, at - 1);
    else depth += found === "{" || found === "[" ? 1 : -1;
    if (depth === 0) return at;
  }
}

function endOfString(json: string, start: number): number {
  STRING_STOP.lastIndex = start + 1;
  while (STRING_STOP.test(json) && json[STRING_STOP.lastIndex - 1] === "\\") STRING_STOP.lastIndex += 1;
  return STRING_STOP.lastIndex;
}
