/**
 * Splits a command line into words as a POSIX shell does, with the place of each character: compose files and `sh -c`
 * scripts have a whole command in one string. Variables, globs and substitutions are not expanded.
 */
import type { TextEdit } from "./fix.js";

type Quote = "none" | "single" | "double";

export interface ShellWord {
  readonly text: string;
  /** Offset in the line of each character of `text`, its escape included; one more for the end. */
  readonly starts: readonly number[];
  /** Offset after each character. */
  readonly ends: readonly number[];
  /** Quoting of each character; one more for the end. */
  readonly quotes: readonly Quote[];
}

export function shellWords(line: string): readonly ShellWord[] {
  const words: ShellWord[] = [];
  const gap = /(?:\s|\\\n)+/y;
  let at = 0;
  while (at < line.length) {
    gap.lastIndex = at;
    if (gap.test(line)) {
      at = gap.lastIndex;
      continue;
    }
    const word = readWord(line, at);
    words.push(word.word);
    at = word.next;
  }
  return words;
}

function readWord(line: string, from: number): { word: ShellWord; next: number } {
  let text = "";
  const starts: number[] = [];
  const ends: number[] = [];
  const quotes: Quote[] = [];
  let quote: Quote = "none";
  let at = from;
  const take = (character: string, length: number) => {
    text += character;
    starts.push(at);
    ends.push(at + length);
    quotes.push(quote);
    at += length;
  };
  let close = from;
  for (; at < line.length; close = at) {
    const character = line[at]!;
    const after = line[at + 1];
    if (quote === "single") {
      if (character === "'") quote = step("none");
      else take(character, 1);
    } else if (quote === "double") {
      if (character === '"') quote = step("none");
      else if (character === "\\" && after !== undefined && /["\\$`]/.test(after)) take(after, 2);
      else take(character, 1);
    } else if (/\s/.test(character)) {
      break;
    } else if (character === "'" || character === '"') {
      quote = step(character === "'" ? "single" : "double");
    } else if (character === "\\" && after !== undefined) {
      // A backslash before a line break continues the line.
      if (after === "\n") at += 2;
      else take(after, 2);
    } else {
      take(character, 1);
    }
  }
  function step(next: Quote): Quote {
    at++;
    return next;
  }
  // The end of a quoted word is before its closing quote.
  const end = ends.at(-1) ?? close;
  return {
    word: { text, starts: [...starts, end], ends, quotes: [...quotes, quotes.at(-1) ?? "none"] },
    next: at,
  };
}

/** An edit of a word as an edit of the line; undefined if the new characters would need other quotes. */
export function editWord({ starts, ends, quotes }: ShellWord, edit: TextEdit): TextEdit | undefined {
  const start = starts[edit.start]!;
  const end = edit.end === edit.start ? start : ends[edit.end - 1]!;
  const text = quoted(edit.text, quotes[edit.start] ?? "none");
  return text === undefined ? undefined : { start, end, text };
}

function quoted(text: string, quote: Quote): string | undefined {
  switch (quote) {
    case "single":
      return text.includes("'") ? undefined : text;
    case "double":
      return text.replaceAll(/["\\$`]/g, "\\$&");
    case "none":
      return /^[\w.,:+=/-]*$/.test(text) ? text : undefined;
  }
}
