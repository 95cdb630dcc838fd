/** Offsets of lines and columns from 1, as findings have them. */
export class TextLines {
  readonly #starts: readonly number[];

  constructor(private readonly text: string) {
    this.#starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  }

  offsetAt(line: number, column: number): number {
    return Math.min((this.#starts[line - 1] ?? this.text.length) + column - 1, this.text.length);
  }
}
