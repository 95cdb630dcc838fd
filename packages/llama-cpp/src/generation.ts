/** A streamed answer: an async iterator of its tokens, and a promise of the result. */
import type { TokenLogprob } from "./sampling.js";

/** A piece of an answer, as it is streamed. */
export interface GenerationChunk {
  /** May be empty: a token can end within a character, or in what could become a stop text. */
  readonly text: string;
  /** Absent for the rest of the text after the last token. */
  readonly token?: number;
  /** The token's log probability. */
  readonly logprob?: number;
  readonly topLogprobs?: readonly TokenLogprob[];
}

/** The tokens of a request and its answer. */
export interface Usage {
  /** Tokens of text and rows of images and videos. */
  readonly promptTokens: number;
  readonly imageTokens: number;
  /** Prompt tokens that were in a KV cache. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** A finished answer. */
export interface GenerationResult {
  readonly text: string;
  /** Includes the token that ended the answer. */
  readonly tokens: readonly number[];
  /** `stop`: an end token or a stop text; `length`: maxTokens or the context. */
  readonly finishReason: "stop" | "length";
  readonly usage: Usage;
  /** Milliseconds from the call. */
  readonly timings: {
    /** Time for reading and encoding images. */
    readonly encodeMs: number;
    readonly firstTokenMs: number;
    readonly totalMs: number;
  };
}

/** Leaving the loop early cancels the request. */
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

  /** @param cancel called when the reader leaves the loop early */
  constructor(cancel: () => void) {
    this.#cancel = cancel;
    this.#settle = { resolve: () => {}, reject: () => {} };
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // The iterator throws the same error.
    this.result.catch(() => {});
  }

  push(chunk: GenerationChunk): void {
    this.#chunks.push(chunk);
    this.#wake();
  }

  finish(result: GenerationResult): void {
    if (this.#state !== "open") return;
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
