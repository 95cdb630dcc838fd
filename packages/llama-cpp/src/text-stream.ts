/** Decodes bytes of tokens to text. Characters and stop texts may be split over tokens. */

export class TextStream {
  readonly #decoder = new TextDecoder();
  readonly #stops: readonly string[];
  /** Text that could be the beginning of a stop text. */
  #held = "";
  #isStopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** True once a stop text was found; the text before it was returned. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Adds a token's bytes, and returns the text that cannot be part of a stop text. */
  push(bytes: Uint8Array): string {
    return this.#add(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Returns the rest. An unfinished character becomes U+FFFD. */
  end(): string {
    const text = this.#add(this.#decoder.decode()) + this.#held;
    this.#held = "";
    return text;
  }

  #add(text: string): string {
    if (this.#isStopped) return "";
    const all = this.#held + text;
    const found = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#isStopped = true;
      this.#held = "";
      return all.slice(0, Math.min(...found));
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - held);
    return all.slice(0, all.length - held);
  }
}

/** Length of the longest end of the text that is a beginning of the stop text. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
