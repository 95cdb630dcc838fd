/** An answer while it comes: an async iterator of its tokens, and a promise of the whole. */
import type { TokenLogprob } from "./sampling.js";

export interface GenerationChunk {
  /** May be empty: a token can end within a character, or in what could become a stop text. */
  readonly text: string;
  /** Absent for the rest of the text after the last token. */
  readonly token?: number;
  /** Of the token. */
  readonly logprob?: number;
  readonly topLogprobs?: readonly TokenLogprob[];
}

/** The tokens of a request and its answer. */
export interface Usage {
  /** Tokens of text and rows of images and videos. */
  readonly promptTokens: number;
  readonly imageTokens: number;
  /** Of the prompt's, those that were in a cache. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface GenerationResult {
  readonly text: string;
  /** The one that ended the answer included. */
  readonly tokens: readonly number[];
  /** `stop`: an end token or a stop text; `length`: maxTokens or the context. */
  readonly finishReason: "stop" | "length";
  readonly usage: Usage;
  /** Milliseconds from the call. */
  readonly timings: {
    /** How long reading and encoding images took. */
    readonly encodeMs: number;
    readonly firstTokenMs: number;
    readonly totalMs: number;
  };
}

/** Leaving the loop early takes the request back. */
export interface Generation extends AsyncIterable<GenerationChunk> {
  /** Rejects with VG_QUEUE_FULL, VG_ARGUMENT_INVALID, VG_ABORTED, VG_CLOSED, VG_DEVICE_FAILED, or an image's error. */
  readonly result: Promise<GenerationResult>;
}

export class GenerationStream implements Generation {
  readonly result: Promise<GenerationResult>;
  readonly #chunks: GenerationChunk[] = [];
  readonly #cancel: () => void;
  #settle: { resolve(result: GenerationResult): void; reject(error: unknown): void };
  #state: "open" | "done" | { readonly error: unknown } = "open";
  #wake = () => {};

  /** @param cancel called when nobody wants the rest */
  constructor(cancel: () => void) {
    this.#cancel = cancel;
    this.#settle = { resolve: () => {}, reject: () => {} };
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever iterates gets the error there.
    this.result.catch(() => {});
  }

  push(chunk: GenerationChunk): void {
    this.#chunks.push(chunk);
    this.#wake();
  }

  finish(result: GenerationResult): void {
    this.#state = "done";
    this.#settle.resolve(result);
    this.#wake();
  }

  fail(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = { error };
    this.#settle.reject(error);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationChunk> {
    try {
      while (true) {
        yield* this.#chunks.splice(0);
        if (this.#chunks.length > 0) continue;
        if (this.#state === "done") return;
        if (this.#state !== "open") throw this.#state.error;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      if (this.#state === "open") this.#cancel();
    }
  }
}
