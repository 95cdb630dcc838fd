/** A request from its call to its end: a sequence with its options, its sampler chain and its stream of text. */
import { VitgraphError } from "@vitgraph/errors";
import type { Sampler } from "./binding.js";
import { GenerationStream } from "./generation.js";
import type { LanguageModel } from "./language-model.js";
import { createChain, type GenerationOptions, logprobsOf } from "./sampling.js";
import { Sequence } from "./scheduler.js";
import { TextStream } from "./text-stream.js";
import type { Tokenizer } from "./tokenizer.js";
import { cellsOf, sum, type Unit } from "./units.js";

export class Request extends Sequence {
  readonly stream: GenerationStream;
  /** The error that ends it early. */
  cancelledBy: unknown;
  finishReason: "stop" | "length" | undefined;
  readonly #options: GenerationOptions;
  readonly #wake: () => void;
  override readonly caller: unknown;
  readonly #startedAt = performance.now();
  readonly #abort = new AbortController();
  readonly #text: TextStream;
  readonly #tokens: number[] = [];
  readonly #onAbort: () => void;
  #answer = "";
  #promptUnits = 0;
  #maxTokens = 0;
  #encodeMs = 0;
  #firstTokenMs = 0;
  #model: LanguageModel | undefined;
  #chain: Sampler | undefined;

  /** @param wake called when it is cancelled */
  constructor(options: GenerationOptions, wake: () => void) {
    super([]);
    this.#options = options;
    this.#wake = wake;
    this.caller = options.caller ?? this;
    this.#text = new TextStream([options.stop ?? []].flat());
    const { signal } = options;
    this.#onAbort = () => this.cancel(aborted(signal?.reason));
    this.stream = new GenerationStream(() => this.cancel(aborted(undefined)));
    if (signal?.aborted) this.cancel(aborted(signal.reason));
    else signal?.addEventListener?.("abort", this.#onAbort, { once: true });
  }

  /** The caller in the encoder's queue. */
  get encoderCaller(): string | undefined {
    return this.#options.caller;
  }

  /** Cells of the KV cache that it may fill. */
  override get cost(): number {
    return super.cost + this.#maxTokens;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get chain(): Sampler {
    return this.#chain as Sampler;
  }

  get wantsLogprobs(): boolean {
    return this.#options.logprobs !== undefined;
  }

  /** Fails the stream at once. The slot is free after the running step. */
  cancel(error: unknown): void {
    if (this.cancelledBy !== undefined) return;
    this.cancelledBy = error;
    this.#abort.abort(error);
    this.stream?.fail(error);
    this.#wake();
  }

  throwIfCancelled(): void {
    if (this.cancelledBy !== undefined) throw this.cancelledBy;
  }

  encoded(media: number): void {
    if (media > 0) this.#encodeMs = performance.now() - this.#startedAt;
  }

  setPrompt(units: readonly Unit[], contextSize: number, model: LanguageModel): void {
    for (const unit of units) this.units.push(unit);
    this.#promptUnits = units.length;
    const room = contextSize - sum(units, cellsOf);
    this.#maxTokens = Math.min(this.#options.maxTokens ?? room, room);
    this.#model = model;
    const prompt = units.filter((unit) => typeof unit === "number");
    const vocabSize = model.tokenizer.size;
    this.#chain = model.createChain((llama) =>
      createChain(llama, this.#options, { vocabSize, contextSize, prompt }),
    );
  }

  /** Adds a sampled token: emits its text, and appends it to the sequence unless it ends the answer. */
  take(token: number, logits: Float32Array | undefined, tokenizer: Tokenizer): void {
    if (this.#tokens.length === 0) this.#firstTokenMs = performance.now() - this.#startedAt;
    this.#tokens.push(token);
    const ends = tokenizer.endsGeneration(token);
    const text = ends ? "" : this.#text.push(tokenizer.bytesOf(token));
    this.#answer += text;
    if (logits === undefined) this.stream.push({ text, token });
    else {
      const { drawn, top } = logprobsOf(logits, token, this.#options.logprobs ?? 0);
      this.stream.push({ text, token, logprob: drawn.logprob, topLogprobs: top });
    }
    if (ends || this.#text.isStopped) this.finishReason = "stop";
    else if (this.#tokens.length >= this.#maxTokens) this.finishReason = "length";
    else this.units.push(token);
  }

  finish(): void {
    const rest = this.#text.end();
    if (rest !== "") {
      this.#answer += rest;
      this.stream.push({ text: rest });
    }
    const prompt = this.units.slice(0, this.#promptUnits);
    this.stream.finish({
      text: this.#answer,
      tokens: this.#tokens,
      finishReason: this.finishReason ?? "stop",
      usage: {
        promptTokens: sum(prompt, cellsOf),
        imageTokens: sum(prompt, (unit) => (typeof unit === "number" ? 0 : unit.count)),
        cachedTokens: sum(prompt.slice(0, this.reused), cellsOf),
        completionTokens: this.#tokens.length,
      },
      timings: {
        encodeMs: this.#encodeMs,
        firstTokenMs: this.#firstTokenMs,
        totalMs: performance.now() - this.#startedAt,
      },
    });
  }

  /** Frees the sampler chain and the abort listener; called when the scheduler has removed it. */
  end(): void {
    this.#options.signal?.removeEventListener?.("abort", this.#onAbort);
    if (this.#chain !== undefined) this.#model?.freeChain(this.#chain);
    this.#chain = undefined;
  }
}

function aborted(reason: unknown): VitgraphError {
  // The reason may be a caller's deadline.
  if (VitgraphError.is(reason)) return reason;
  return new VitgraphError("VG_ABORTED", "the request was cancelled", { cause: reason });
}
