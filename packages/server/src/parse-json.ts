/**
 * Parses a JSON body in steps of at most a few milliseconds: a body can hold 64 MiB of images in base64, and one pass
 * over it would block the event loop for a quarter of a second.
 *
 * The body is decoded and checked in parts, one per turn. Parts inside a string, like most of an image, bypass
 * JSON.parse: a marker replaces them, and the string is joined afterwards.
 */
import { isAscii, isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import { JsonScanner } from "@vitgraph/errors";
import { StatusError } from "./http-errors.js";

/** Deeper than any schema of a tool. */
const MAX_DEPTH = 64;
/** 64 MiB of `[],[],` take a gigabyte once parsed. A request has a few hundred values. */
const MAX_VALUES = 100_000;
/** A part is decoded and scanned in about 1 ms, or 3 ms if it is not ASCII. */
const PART_BYTES = 2 ** 18;

/** Bytes of a body's text in V8, which takes two for each character of a text that has one beyond Latin-1. */
export function textBytes(body: Buffer): number {
  return isAscii(body) ? body.length : 2 * body.length;
}

/**
 * @param turn the caller's next turn on the event loop
 * @throws StatusError 400
 */
export async function parseJson(body: Buffer, turn: () => Promise<void>): Promise<unknown> {
  const scanner = new JsonScanner(MAX_DEPTH, MAX_VALUES);
  const marks = new Marks();
  let text = "";
  for (let at = 0; at < body.length; ) {
    if (at > 0) await turn();
    const end = characterStart(body, at + PART_BYTES);
    const wasInString = scanner.isInString;
    const part = decode(body.subarray(at, end));
    scanner.add(part);
    checkOutline(scanner);
    text += wasInString && scanner.isInString && IN_STRING.test(part) ? marks.of(part) : part;
    at = end;
  }
  if (body.length > PART_BYTES) await turn();
  const value = parse(text);
  return marks.count === 0 ? value : marks.restore(value, turn);
}

/** Offset of a character's first byte, at most 3 before `at`. */
function characterStart(body: Buffer, at: number): number {
  let start = at;
  // Continuation bytes of UTF-8 are 10xxxxxx.
  while (start > at - 3 && ((body[start] ?? 0) & 0xc0) === 0x80) start--;
  return Math.min(start, body.length);
}

function decode(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new StatusError(400, "the body is not UTF-8", "encode it as UTF-8");
  // Images in base64 are ASCII, and V8 copies that ten times as fast as it decodes UTF-8.
  return bytes.toString(isAscii(bytes) ? "latin1" : "utf8");
}

function checkOutline({ isTooDeep, hasTooManyValues }: JsonScanner): void {
  if (isTooDeep)
    throw new StatusError(400, `the body is nested deeper than ${MAX_DEPTH} levels`, "flatten it");
  if (hasTooManyValues)
    throw new StatusError(400, `the body has more than ${MAX_VALUES} values`, "send fewer of them");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // V8's message quotes the body.
    throw new StatusError(400, "the body is not JSON", "check it with a JSON parser");
  }
}

/** Text that needs no escapes in a JSON string: no quote, no escape, and no control character, which JSON.parse rejects. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const IN_STRING = /^[^"\\\u0000-\u001f]*$/;

interface MarkedString {
  readonly owner: Record<string, unknown>;
  readonly name: string;
  readonly text: string;
}

/** Parts of strings that are set aside while the rest is parsed. */
class Marks {
  /** Random, so that no client can write a marker. */
  readonly #name = randomUUID();
  readonly #parts: string[] = [];

  get count(): number {
    return this.#parts.length;
  }

  /** The marker that replaces the part. */
  of(part: string): string {
    this.#parts.push(part);
    return `<${this.#name}:${this.#parts.length - 1}>`;
  }

  /** Replaces the markers by their parts, one string per turn. @throws StatusError 400 for a member's name as long as a part */
  async restore(value: unknown, turn: () => Promise<void>): Promise<unknown> {
    const root = { value };
    for (const { owner, name, text } of this.#marked(root)) {
      await turn();
      owner[name] = this.#whole(text);
    }
    return root.value;
  }

  #marked(root: object): readonly MarkedString[] {
    const found: MarkedString[] = [];
    const walk = (owner: Record<string, unknown>) => {
      for (const [name, value] of Object.entries(owner)) {
        if (name.includes(this.#name))
          throw new StatusError(
            400,
            `a member's name has more than ${PART_BYTES} characters`,
            "check the client",
          );
        if (typeof value === "object" && value !== null) walk(value as Record<string, unknown>);
        else if (typeof value === "string" && value.includes(this.#name))
          found.push({ owner, name, text: value });
      }
    };
    walk(root as Record<string, unknown>);
    return found;
  }

  #whole(text: string): string {
    const [first = "", ...rest] = text.split(`<${this.#name}:`);
    return [
      first,
      ...rest.flatMap((marked) => {
        const end = marked.indexOf(">");
        const index = Number(marked.slice(0, end));
        const part = this.#parts[index] as string;
        // Free as soon as its string is whole.
        this.#parts[index] = "";
        return [part, marked.slice(end + 1)];
      }),
    ].join("");
  }
}
