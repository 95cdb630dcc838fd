/**
 * The engine: requests in, streams of tokens out. A request's images are encoded while others are decoded; then it waits for
 * a slot, and the loop decodes all slots together. Only the loop touches the context; decoding and sampling run on libuv's
 * pool, one call at a time, so that JavaScript's thread is never blocked.
 */
import { basename } from "node:path";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { ChatTemplate } from "./chat-template.js";
import { checkEngineOptions, type LlamaEngineOptions, withDefaults } from "./engine-options.js";
import type { Generation } from "./generation.js";
import { type DecoderContext, LanguageModel } from "./language-model.js";
import { type MediaPart, type Message, readMessages } from "./messages.js";
import {
  noVisionModel,
  type PromptPart,
  type PromptPiece,
  placeMedia,
  promptUnits,
  readPrompt,
} from "./prompt.js";
import { Request } from "./request.js";
import { checkGeneration, type GenerationOptions } from "./sampling.js";
import { Scheduler, type Step } from "./scheduler.js";
import { cellsOf, type MediaUnit, sum, type Unit } from "./units.js";
import { promptTooLong, Vision } from "./vision.js";

/** A chat's messages, and options of its generation. */
export interface ChatOptions extends GenerationOptions {
  readonly messages: readonly Message[];
  /** Functions that the model may call, for templates that have `tools`. */
  readonly tools?: readonly unknown[];
  /** Further variables of the chat template: `enable_thinking`, … */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
}

export interface GenerateOptions extends GenerationOptions {
  /** Text alone, or parts. No template is applied. */
  readonly prompt: string | readonly PromptPart[];
}

/** Number of requests in the engine, by state. */
export interface LlamaEngineStats {
  /** Requests that encode their images, wait for a slot, and decode. */
  readonly preparing: number;
  readonly waiting: number;
  readonly running: number;
}

/**
 * Loads both halves of a multimodal model.
 * @throws VG_BACKEND_UNAVAILABLE where llama.cpp is missing or another version; VG_MODEL_INVALID, VG_REGISTRATION_FAILED,
 *   VG_ARGUMENT_INVALID, VG_DEVICE_OUT_OF_MEMORY
 */
export async function createLlamaEngine(options: LlamaEngineOptions): Promise<LlamaEngine> {
  checkEngineOptions(options);
  const { model: path, visionModel, compilationConfig, encoder, gpuLayers = -1, library } = options;
  const model = await LanguageModel.load({ model: path, gpuLayers, library });
  let vision: Vision | undefined;
  try {
    const template = templateOf(model);
    const { threads, maxWaiting = 256, cacheType = "f16" } = options;
    const { parallel, batchTokens } = withDefaults(options);
    const { contextSize = Math.min(4096, model.trainedContext) } = options;
    if (visionModel !== undefined) {
      vision = await Vision.start({
        visionModel,
        embeddingColumns: model.embeddingColumns,
        ...(compilationConfig === undefined ? {} : { compilationConfig }),
        ...(encoder === undefined ? {} : { encoder }),
      });
    }
    if (vision !== undefined && vision.family.mrope !== model.mrope) {
      const positions = (mrope: boolean) => (mrope ? "multimodal positions" : "one position a token");
      throw new VitgraphError(
        "VG_MODEL_INVALID",
        `${path} has ${positions(model.mrope)}, and the family of ${visionModel} ${positions(vision.family.mrope)}`,
        { remedy: "give both halves of one checkpoint" },
      );
    }
    const context = await model.createContext({ contextSize, parallel, batchTokens, threads, cacheType });
    const name = basename(path, ".gguf");
    const limits = { contextSize, parallel, batchTokens, maxWaiting };
    return new LlamaEngine({ name, model, template, vision, context, ...limits });
  } catch (error) {
    // The first error counts.
    await vision?.[Symbol.asyncDispose]().catch(() => {});
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws VG_MODEL_INVALID if the GGUF's chat template cannot be parsed */
function templateOf({ chatTemplate, tokenizer }: LanguageModel): ChatTemplate | undefined {
  return chatTemplate === null ? undefined : new ChatTemplate(chatTemplate, tokenizer.controls.keys());
}

interface EngineParts {
  readonly name: string;
  readonly model: LanguageModel;
  readonly template: ChatTemplate | undefined;
  readonly vision: Vision | undefined;
  readonly context: DecoderContext;
  readonly contextSize: number;
  readonly parallel: number;
  readonly batchTokens: number;
  readonly maxWaiting: number;
}

/** A language model with an optional vision encoder: chats with images, several at once. */
export class LlamaEngine implements AsyncDisposable {
  /** Name of the GGUF's file, without its ending. */
  readonly name: string;
  /** Tokens of a sequence, prompt and answer. */
  readonly contextSize: number;
  readonly #parts: EngineParts;
  readonly #scheduler: Scheduler<Request>;
  readonly #live = new Set<Request>();
  readonly #preparing = new Set<Promise<void>>();
  readonly #loop: Promise<void>;
  #wake = () => {};
  #closing: Promise<void> | undefined;

  /** See {@link createLlamaEngine}. */
  constructor(parts: EngineParts) {
    const { vision, parallel, batchTokens, contextSize } = parts;
    this.#parts = parts;
    this.name = parts.name;
    this.contextSize = contextSize;
    const wholeMedia = vision?.family.bidirectional ?? false;
    this.#scheduler = new Scheduler({ slots: parallel, batchTokens, wholeMedia });
    this.#loop = this.#run();
  }

  /** Answers messages. Nothing is thrown: see {@link Generation.result}. */
  chat(options: ChatOptions): Generation {
    return this.#start(options, () => {
      checkGeneration("chat", options, ["messages", "tools", "templateVariables"]);
      return this.#renderMessages(options);
    });
  }

  /** Continues a prompt. */
  generate(options: GenerateOptions): Generation {
    return this.#start(options, () => {
      checkGeneration("generate", options, ["prompt"]);
      return readPrompt(options.prompt);
    });
  }

  /** A token's text in UTF-8, control tokens included. Characters may be split over several tokens. */
  tokenBytes(token: number): Uint8Array {
    return this.#parts.model.tokenizer.bytesOf(token, true);
  }

  /** The present load. */
  stats(): LlamaEngineStats {
    const { waiting, running } = this.#scheduler;
    const scheduled = waiting + running.length;
    return { preparing: this.#live.size - scheduled, waiting, running: running.length };
  }

  /** Ends all requests with VG_CLOSED, and frees both models. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // Disposed of from the last to the first, also if one of them fails.
    await using _model = this.#parts.model;
    await using _context = this.#parts.context;
    await using _vision = this.#parts.vision;
    for (const request of this.#live) request.cancel(closed());
    this.#wake();
    await Promise.allSettled(this.#preparing);
    await this.#loop;
  }

  #renderMessages({ messages, tools, templateVariables }: ChatOptions) {
    const read = readMessages(messages);
    const { template, vision, model } = this.#parts;
    if (template === undefined) {
      throw new VitgraphError("VG_MODEL_INVALID", "the GGUF has no chat template", {
        remedy: "use generate with a prompt, or convert the checkpoint again",
      });
    }
    const { bosText, eosText } = model.tokenizer;
    const rendered = template.render(
      read.messages,
      { ...(tools === undefined ? {} : { tools }), ...templateVariables },
      { bos_token: bosText, eos_token: eosText, add_generation_prompt: true },
    );
    return { pieces: placeMedia(rendered, vision?.family, read.media), media: read.media };
  }

  #start(
    options: GenerationOptions,
    read: () => { readonly pieces: readonly PromptPiece[]; readonly media: readonly MediaPart[] },
  ): Generation {
    const request = new Request(options ?? {}, () => this.#wake());
    const { stream } = request;
    try {
      if (this.#closing !== undefined) throw closed();
      this.#checkRoom(request);
      const { pieces, media } = read();
      this.#live.add(request);
      const preparing = this.#prepare(request, pieces, media).catch((error) => this.#drop(request, error));
      this.#preparing.add(preparing);
      void preparing.then(() => this.#preparing.delete(preparing));
    } catch (error) {
      request.end();
      stream.fail(error);
    }
    return stream;
  }

  /** A full queue still accepts a caller within its share, the limit divided by the callers: the rule of the encoder's queue. */
  #checkRoom({ caller }: Request): void {
    const { parallel, maxWaiting } = this.#parts;
    const limit = parallel + maxWaiting;
    if (this.#live.size < limit) return;
    const callers = [...this.#live].map((request) => request.caller);
    const own = callers.filter((other) => other === caller).length;
    if (own + 1 <= limit / new Set(callers).add(caller).size) return;
    throw new VitgraphError("VG_QUEUE_FULL", `${this.#live.size} requests are running or waiting`, {
      remedy: "try again later, or raise maxWaiting",
    });
  }

  /** Encodes the images, and puts the request in the queue for a slot. */
  async #prepare(
    request: Request,
    pieces: readonly PromptPiece[],
    media: readonly MediaPart[],
  ): Promise<void> {
    const { model, vision } = this.#parts;
    request.throwIfCancelled();
    if (media.length > 0 && vision === undefined) throw noVisionModel();
    const { signal, encoderCaller: caller } = request;
    const encoded = (await vision?.encode(media, { signal, caller, contextSize: this.contextSize })) ?? [];
    request.encoded(media.length);
    const units = await promptUnits(pieces, encoded, vision?.family, model.tokenizer);
    request.throwIfCancelled();
    this.#checkFit(units);
    request.setPrompt(units, this.contextSize, model);
    this.#scheduler.add(request);
    this.#wake();
  }

  #checkFit(units: readonly Unit[]): void {
    const { batchTokens, vision } = this.#parts;
    if (units.length === 0) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", "the prompt is empty", {
        remedy: "give at least a token",
      });
    }
    const cells = sum(units, cellsOf);
    if (cells >= this.contextSize) throw promptTooLong(cells, this.contextSize);
    const tooLarge = units.find(
      (unit): unit is MediaUnit => typeof unit === "object" && unit.count > batchTokens,
    );
    if (tooLarge === undefined || !vision?.family.bidirectional) return;
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `an image has ${tooLarge.count} tokens, which attend to each other, and a batch has ${batchTokens}`,
      { remedy: "raise batchTokens" },
    );
  }

  async #run(): Promise<void> {
    while (true) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      for (const request of this.#live) {
        if (request.cancelledBy !== undefined) this.#drop(request, request.cancelledBy);
      }
      for (const request of this.#scheduler.admit()) this.#truncate(request);
      const step = this.#scheduler.schedule();
      if (step !== null) await this.#runStep(step);
      else if (this.#closing !== undefined && this.#live.size === 0) return;
      else await woken;
    }
  }

  async #runStep(step: Step<Request>): Promise<void> {
    const { context, vision } = this.#parts;
    try {
      if (vision?.family.bidirectional) context.setBidirectional(step.kind === "rows");
      await context.decode(step);
      this.#scheduler.advance(step);
      let row = -1;
      for (const { sequence, count, output } of step.chunks) {
        row += count;
        if (output && sequence.cancelledBy === undefined) await this.#drawToken(sequence, row);
      }
    } catch (error) {
      for (const { sequence } of step.chunks) {
        // The state of its cache is unknown.
        sequence.cached = 0;
        this.#drop(sequence, toVitgraphError(error, "VG_DEVICE_FAILED", "llama.cpp failed"));
      }
    }
  }

  async #drawToken(request: Request, row: number): Promise<void> {
    const { context, model } = this.#parts;
    const token = await context.sample(request.chain, row);
    const logits = request.wantsLogprobs ? await context.logits(row) : undefined;
    request.take(token, logits, model.tokenizer);
    if (request.finishReason === undefined) return;
    this.#scheduler.remove(request);
    this.#release(request);
    request.finish();
  }

  /** Removes the part of the slot's cache that the request does not share. */
  #truncate(request: Request): void {
    const { context } = this.#parts;
    const slot = request.slot as number;
    if (request.cached > 0 && context.truncate(slot, request.position)) return;
    this.#scheduler.reuse(request, 0);
    context.truncate(slot, 0);
  }

  #drop(request: Request, error: unknown): void {
    this.#scheduler.remove(request);
    this.#release(request);
    request.stream.fail(error);
  }

  #release(request: Request): void {
    this.#live.delete(request);
    request.end();
    this.#wake();
  }
}

function closed(): VitgraphError {
  return new VitgraphError("VG_CLOSED", "the engine is closed", { remedy: "create another one" });
}
