/** A GGUF in memory and its context: decodes the scheduler's steps. One call at a time; nothing here runs by itself. */
import { availableParallelism } from "node:os";
import { LONGEST_PATH, shorten, VitgraphError } from "@vitgraph/errors";
import {
  type Batch,
  type Binding,
  CACHE_TYPES,
  type Context,
  callAsync,
  FLASH_ATTENTION_OFF,
  loadBinding,
  type Memory,
  type Model,
  MROPE_TYPES,
  type Sampler,
  type SequenceNumbers,
} from "./binding.js";
import { findLibrary } from "./library.js";
import type { Sequence, Step } from "./scheduler.js";
import { Tokenizer } from "./tokenizer.js";
import type { MediaUnit } from "./units.js";

export interface LanguageModelOptions {
  /** The GGUF's path. */
  readonly model: string;
  /** Layers on the GPU; -1: all. */
  readonly gpuLayers: number;
  /** A folder with llama.cpp's libraries, in the place of the installed package. */
  readonly library: string | undefined;
}

export interface ContextOptions {
  /** Tokens of one sequence. */
  readonly contextSize: number;
  readonly parallel: number;
  readonly batchTokens: number;
  readonly threads: number | undefined;
  readonly cacheType: keyof typeof CACHE_TYPES;
}

export class LanguageModel implements AsyncDisposable {
  readonly tokenizer: Tokenizer;
  /** Columns of an embedding row, one row per token. */
  readonly embeddingColumns: number;
  readonly trainedContext: number;
  /** True if rows have positions by time, row and column. */
  readonly mrope: boolean;
  readonly chatTemplate: string | null;
  readonly #llama: Binding;
  readonly #model: Model;

  /** @throws VG_BACKEND_UNAVAILABLE, VG_MODEL_INVALID */
  static load(options: LanguageModelOptions): Promise<LanguageModel> {
    // Models load one after the other, since the library's log does not name the model.
    const loading = lastLoad.then(() => load(options));
    lastLoad = loading.catch(() => {});
    return loading;
  }

  constructor(llama: Binding, model: Model) {
    this.#llama = llama;
    this.#model = model;
    const pretokenizer = metadata(llama, model, "tokenizer.ggml.pre");
    this.tokenizer = new Tokenizer(llama, llama.llama_model_get_vocab(model), pretokenizer);
    this.embeddingColumns = llama.llama_model_n_embd_inp(model);
    this.trainedContext = llama.llama_model_n_ctx_train(model);
    this.mrope = MROPE_TYPES.includes(llama.llama_model_rope_type(model));
    this.chatTemplate = llama.llama_model_chat_template(model, null);
  }

  /** @throws VG_DEVICE_OUT_OF_MEMORY */
  async createContext(options: ContextOptions): Promise<DecoderContext> {
    const { contextSize, parallel, batchTokens, threads = DEFAULT_THREADS, cacheType } = options;
    const context = await callAsync(this.#llama.llama_init_from_model, this.#model, {
      ...this.#llama.contextDefaults,
      // Each sequence has its own KV cache of contextSize.
      n_ctx: contextSize * parallel,
      n_seq_max: parallel,
      n_batch: batchTokens,
      n_ubatch: batchTokens,
      n_threads: threads,
      n_threads_batch: threads,
      type_k: CACHE_TYPES[cacheType],
      type_v: CACHE_TYPES[cacheType],
      // FlashAttention's kernels round keys and values to float16.
      ...(cacheType === "f32" ? { flash_attn_type: FLASH_ATTENTION_OFF } : {}),
    });
    if (context === null) {
      throw new VitgraphError(
        "VG_DEVICE_OUT_OF_MEMORY",
        `llama.cpp has no memory for ${parallel} sequences of ${contextSize} tokens`,
        { remedy: "lower contextSize, parallel or gpuLayers" },
      );
    }
    return new DecoderContext(this.#llama, context, this, options);
  }

  createChain(create: (llama: Binding) => Sampler): Sampler {
    return create(this.#llama);
  }

  freeChain(chain: Sampler): void {
    this.#llama.llama_sampler_free(chain);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await callAsync(this.#llama.llama_model_free, this.#model);
  }
}

/** The KV caches of the sequences, and the logits of the last batch. */
export class DecoderContext implements AsyncDisposable {
  readonly #llama: Binding;
  readonly #context: Context;
  readonly #memory: Memory;
  readonly #model: LanguageModel;
  readonly #sequences: SequenceNumbers;

  constructor(llama: Binding, context: Context, model: LanguageModel, { parallel }: ContextOptions) {
    this.#llama = llama;
    this.#context = context;
    this.#memory = llama.llama_get_memory(context);
    this.#model = model;
    this.#sequences = llama.createSequenceNumbers(parallel);
  }

  /** Turns bidirectional attention among an image's rows on or off, from the next step on. */
  setBidirectional(isBidirectional: boolean): void {
    this.#llama.llama_set_causal_attn(this.#context, !isBidirectional);
  }

  /** Removes a slot's cache from a position on. False if the model can only remove all of it. */
  truncate(slot: number, position: number): boolean {
    return this.#llama.llama_memory_seq_rm(this.#memory, slot, position, -1);
  }

  /** @throws VG_DEVICE_FAILED */
  async decode(step: Step<Sequence>): Promise<void> {
    const batch = this.#batchOf(step);
    const code = await callAsync(this.#llama.llama_decode, this.#context, batch);
    if (code === 0) return;
    const cause = code === 1 ? "its KV cache has no room" : `llama_decode returned ${code}`;
    throw new VitgraphError(
      "VG_DEVICE_FAILED",
      `llama.cpp could not decode ${batch.n_tokens} tokens: ${cause}`,
    );
  }

  /** Samples a token from the logits of a row of the last step; the chain records it. */
  sample(chain: Sampler, row: number): Promise<number> {
    return callAsync(this.#llama.llama_sampler_sample, chain, this.#context, row);
  }

  /** f32 [tokens of the vocabulary], a copy. */
  async logits(row: number): Promise<Float32Array> {
    const address = await callAsync(this.#llama.llama_get_logits_ith, this.#context, row);
    return this.#llama.readFloats(address, this.#model.tokenizer.size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await callAsync(this.#llama.llama_free, this.#context);
    this.#sequences.free();
  }

  #batchOf({ kind, chunks }: Step<Sequence>): Batch {
    const count = chunks.reduce((total, chunk) => total + chunk.count, 0);
    const columns = this.#model.embeddingColumns;
    const isRows = kind === "rows";
    const token = isRows ? null : new Int32Array(count);
    // M-RoPE has four blocks: time, row, column, and one that only vision towers use.
    const pos = new Int32Array(isRows && this.#model.mrope ? 4 * count : count);
    const seq_id = new BigUint64Array(count);
    const logits = new Int8Array(count);
    const embd = isRows ? rowsOf(chunks, count, columns) : null;
    let at = 0;
    for (const { sequence, count: rows, output } of chunks) {
      seq_id.fill(this.#sequences.addresses[sequence.slot as number] as bigint, at, at + rows);
      if (output) logits[at + rows - 1] = 1;
      for (let row = 0; row < rows; row++) {
        if (token !== null) token[at + row] = sequence.units[sequence.cached + row] as number;
        if (!isRows) pos[at + row] = sequence.position + row;
      }
      if (isRows) writePositions(pos, at, count, sequence, rows);
      at += rows;
    }
    return { n_tokens: count, token, embd, pos, n_seq_id: new Int32Array(count).fill(1), seq_id, logits };
  }
}

function writePositions(pos: Int32Array, at: number, stride: number, sequence: Sequence, rows: number): void {
  const unit = sequence.units[sequence.cached] as MediaUnit;
  for (let row = 0; row < rows; row++) {
    const index = sequence.rows + row;
    if (unit.positions === undefined) {
      pos[at + row] = sequence.position + index;
      continue;
    }
    for (let axis = 0; axis < 3; axis++) {
      pos[axis * stride + at + row] =
        sequence.position + (unit.positions[axis * unit.count + index] as number);
    }
  }
}

function rowsOf(chunks: Step<Sequence>["chunks"], count: number, columns: number): Float32Array {
  const parts = chunks.map(({ sequence, count: rows }) => {
    const unit = sequence.units[sequence.cached] as MediaUnit;
    return unit.rows.subarray(sequence.rows * columns, (sequence.rows + rows) * columns);
  });
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const all = new Float32Array(count * columns);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function metadata(llama: Binding, model: Model, key: string): string {
  const bytes = new Uint8Array(256);
  const count = llama.llama_model_meta_val_str(model, key, bytes, bytes.length);
  return Buffer.from(bytes.subarray(0, Math.max(0, count))).toString();
}

/** llama.cpp's threads spin at barriers, so a thread without a core delays all others. One core is left for JavaScript and the encoder. */
const DEFAULT_THREADS = Math.max(1, availableParallelism() - 1);

let lastLoad: Promise<unknown> = Promise.resolve();
/** Bindings by the library's path: backends register themselves once in a process. */
const bindings = new Map<string, Binding>();
/** `GGML_LOG_LEVEL_ERROR` */
const ERROR_LEVEL = 4;

async function load({ model: path, gpuLayers, library }: LanguageModelOptions): Promise<LanguageModel> {
  const found = findLibrary(library);
  const known = bindings.get(found.llama);
  const llama = known ?? (await loadBinding(found));
  const errors: string[] = [];
  const endLog = llama.listenToLog((level, text) => {
    if (level === ERROR_LEVEL) errors.push(text.trim());
  });
  try {
    if (known === undefined) {
      await llama.loadBackends();
      llama.llama_backend_init();
      bindings.set(found.llama, llama);
    }
    const model = await callAsync(llama.llama_model_load_from_file, path, {
      ...llama.modelDefaults,
      n_gpu_layers: gpuLayers,
    });
    if (model === null) {
      const [reason = "llama.cpp gave no reason"] = errors;
      throw new VitgraphError(
        "VG_MODEL_INVALID",
        `llama.cpp cannot load ${shorten(path, LONGEST_PATH)} (${reason})`,
        {
          remedy: "check that it is a GGUF of a supported model",
          details: { errors },
        },
      );
    }
    return new LanguageModel(llama, model);
  } finally {
    endLog();
  }
}
