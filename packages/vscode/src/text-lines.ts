/** Offsets of a text as lines and columns from 1, as findings have them, and back. */
import type { Place } from "@vitgraph/config";

export class TextLines {
  readonly #starts: readonly number[];

  constructor(
    private readonly text: string,
    private readonly source: string,
  ) {
    this.#starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  }

  placeAt(offset: number): Place {
    const after = this.#starts.findIndex((start) => start > offset);
    const line = after < 0 ? this.#starts.length : after;
    return { source: this.source, line, column: offset - this.#starts[line - 1]! + 1 };
  }

  offsetAt(line: number, column: number): number {
    return Math.min((this.#starts[line - 1] ?? this.text.length) + column - 1, this.text.length);
  }
}
