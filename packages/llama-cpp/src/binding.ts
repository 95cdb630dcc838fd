/**
 * llama.cpp's C functions and structs, as llama.h of the pinned version declares them. No other file knows their layout and
 * names. Pointers are opaque. Each function runs on the caller's thread, or with {@link callAsync} on libuv's pool.
 *
 * Contexts are not thread safe: await each call on a context before the next.
 */

import { toVitgraphError } from "@vitgraph/errors";
import type { KoffiFunc, TypeObject } from "koffi";
import { LLAMA_CPP_VERSION, type LlamaLibrary, PACKAGE_VERSION, unavailable } from "./library.js";

declare const POINTER: unique symbol;
/** An address in native memory. */
export type Pointer<Name extends string> = bigint & { readonly [POINTER]: Name };
export type Model = Pointer<"llama_model">;
export type Context = Pointer<"llama_context">;
export type Vocab = Pointer<"llama_vocab">;
export type Memory = Pointer<"llama_memory">;
export type Sampler = Pointer<"llama_sampler">;

/** `llama_batch`. Either `token` or `embd` is null; `pos` is [4][n_tokens] for rows of M-RoPE models. */
export interface Batch {
  readonly n_tokens: number;
  readonly token: Int32Array | null;
  readonly embd: Float32Array | null;
  readonly pos: Int32Array;
  readonly n_seq_id: Int32Array;
  /** Addresses of a sequence's number, one a row. */
  readonly seq_id: BigUint64Array;
  readonly logits: Int8Array;
}

type Fields = Readonly<Record<string, readonly [type: string, expected?: number | boolean]>>;

/** `llama_model_params`, each field with the default that tells whether the layout is right. */
const MODEL_PARAMS = {
  devices: ["void *", 0],
  tensor_buft_overrides: ["void *", 0],
  n_gpu_layers: ["int32", -1],
  split_mode: ["int32", 1],
  load_mode: ["int32", -1],
  lazy_mode: ["int32", 1],
  main_gpu: ["int32", 0],
  tensor_split: ["void *", 0],
  progress_callback: ["void *", 0],
  progress_callback_user_data: ["void *", 0],
  kv_overrides: ["void *", 0],
  vocab_only: ["bool", false],
  check_tensors: ["bool", false],
  use_extra_bufts: ["bool", true],
  no_host: ["bool", false],
  no_alloc: ["bool", false],
  load_mtp: ["bool", false],
} satisfies Fields;

/** `llama_context_params` */
const CONTEXT_PARAMS = {
  n_ctx: ["uint32", 512],
  n_batch: ["uint32", 2048],
  n_ubatch: ["uint32", 512],
  n_seq_max: ["uint32", 1],
  n_rs_seq: ["uint32", 0],
  n_outputs_max: ["uint32", 0],
  n_outputs_max_per_seq: ["uint32", 1],
  n_threads: ["int32", 4],
  n_threads_batch: ["int32", 4],
  ctx_type: ["int32", 0],
  rope_scaling_type: ["int32", -1],
  pooling_type: ["int32", -1],
  attention_type: ["int32", -1],
  flash_attn_type: ["int32", -1],
  rope_freq_base: ["float", 0],
  rope_freq_scale: ["float", 0],
  yarn_ext_factor: ["float", -1],
  yarn_attn_factor: ["float", -1],
  yarn_beta_fast: ["float", -1],
  yarn_beta_slow: ["float", -1],
  yarn_orig_ctx: ["uint32", 0],
  defrag_thold: ["float", -1],
  cb_eval: ["void *", 0],
  cb_eval_user_data: ["void *", 0],
  type_k: ["int32", 1],
  type_v: ["int32", 1],
  abort_callback: ["void *", 0],
  abort_callback_data: ["void *", 0],
  embeddings: ["bool", false],
  offload_kqv: ["bool", true],
  no_perf: ["bool", true],
  op_offload: ["bool", true],
  swa_full: ["bool", true],
  kv_unified: ["bool", false],
  samplers: ["void *", 0],
  n_samplers: ["size_t", 0],
  ctx_other: ["void *", 0],
} satisfies Fields;

export type ModelParams = Record<keyof typeof MODEL_PARAMS, unknown>;
export type ContextParams = Record<keyof typeof CONTEXT_PARAMS, unknown>;

/** Values of `enum ggml_type` that the KV cache takes here. */
export const CACHE_TYPES = { f32: 0, f16: 1 } as const;
/** `LLAMA_FLASH_ATTN_TYPE_DISABLED` */
export const FLASH_ATTENTION_OFF = 0;
/** `LLAMA_TOKEN_ATTR_CONTROL` */
export const CONTROL_TOKEN = 1 << 3;
/** `LLAMA_ROPE_TYPE_MROPE`, `LLAMA_ROPE_TYPE_IMROPE` */
export const MROPE_TYPES: readonly number[] = [8, 40];

/** The functions that are called, under their names in llama.h. */
export interface Functions {
  llama_version(): string;
  llama_backend_init(): void;
  llama_log_set(callback: bigint | null, data: null): void;
  llama_model_load_from_file(path: string, params: ModelParams): Model | null;
  llama_model_free(model: Model): void;
  llama_init_from_model(model: Model, params: ContextParams): Context | null;
  llama_free(context: Context): void;
  llama_model_get_vocab(model: Model): Vocab;
  llama_model_n_embd_inp(model: Model): number;
  llama_model_n_ctx_train(model: Model): number;
  llama_model_rope_type(model: Model): number;
  llama_model_chat_template(model: Model, name: string | null): string | null;
  /** Bytes of the value, -1 where there is no such key. */
  llama_model_meta_val_str(model: Model, key: string, bytes: Uint8Array, room: number): number;
  llama_get_memory(context: Context): Memory;
  /** False where a part of a sequence cannot be removed. `end` -1: all from `start`. */
  llama_memory_seq_rm(memory: Memory, sequence: number, start: number, end: number): boolean;
  llama_set_causal_attn(context: Context, causal: boolean): void;
  /** 0: done. 1: no room in the cache. Below 0: an error. */
  llama_decode(context: Context, batch: Batch): number;
  /** Waits for the device. f32 [tokens of the vocabulary], for the batch's row of that number. */
  llama_get_logits_ith(context: Context, row: number): bigint;
  llama_vocab_n_tokens(vocab: Vocab): number;
  llama_vocab_get_text(vocab: Vocab, token: number): string;
  llama_vocab_get_attr(vocab: Vocab, token: number): number;
  llama_vocab_is_eog(vocab: Vocab, token: number): boolean;
  llama_vocab_bos(vocab: Vocab): number;
  llama_vocab_eos(vocab: Vocab): number;
  llama_vocab_get_add_bos(vocab: Vocab): boolean;
  /** The count of tokens, or minus the count where `tokens` is too short. */
  llama_tokenize(
    vocab: Vocab,
    text: Uint8Array,
    textBytes: number,
    tokens: Int32Array,
    room: number,
    addSpecial: boolean,
    parseSpecial: boolean,
  ): number;
  /** The count of bytes, or minus the count where `bytes` is too short. */
  llama_token_to_piece(
    vocab: Vocab,
    token: number,
    bytes: Uint8Array,
    room: number,
    leftStrip: number,
    special: boolean,
  ): number;
  llama_sampler_chain_init(params: { readonly no_perf: boolean }): Sampler;
  /** The chain owns the sampler from then on. */
  llama_sampler_chain_add(chain: Sampler, sampler: Sampler): void;
  llama_sampler_free(sampler: Sampler): void;
  llama_sampler_accept(sampler: Sampler, token: number): void;
  /** Waits for the device, draws a token for the batch's row, and accepts it. */
  llama_sampler_sample(chain: Sampler, context: Context, row: number): number;
  llama_sampler_init_greedy(): Sampler;
  llama_sampler_init_dist(seed: number): Sampler;
  llama_sampler_init_top_k(k: number): Sampler;
  llama_sampler_init_top_p(p: number, minKeep: number): Sampler;
  llama_sampler_init_min_p(p: number, minKeep: number): Sampler;
  llama_sampler_init_temp(temperature: number): Sampler;
  llama_sampler_init_penalties(
    vocabSize: number,
    lastTokens: number,
    repetition: number,
    frequency: number,
    presence: number,
  ): Sampler;
}

type Signature = readonly [result: string, ...parameters: string[]];
const SIGNATURES: { readonly [Name in keyof Functions]: Signature } = {
  llama_version: ["str"],
  llama_backend_init: ["void"],
  llama_log_set: ["void", "*", "*"],
  llama_model_load_from_file: ["*", "str", "model_params"],
  llama_model_free: ["void", "*"],
  llama_init_from_model: ["*", "*", "context_params"],
  llama_free: ["void", "*"],
  llama_model_get_vocab: ["*", "*"],
  llama_model_n_embd_inp: ["int32", "*"],
  llama_model_n_ctx_train: ["int32", "*"],
  llama_model_rope_type: ["int32", "*"],
  llama_model_chat_template: ["str", "*", "str"],
  llama_model_meta_val_str: ["int32", "*", "str", "uint8 *", "size_t"],
  llama_get_memory: ["*", "*"],
  llama_memory_seq_rm: ["bool", "*", "int32", "int32", "int32"],
  llama_set_causal_attn: ["void", "*", "bool"],
  llama_decode: ["int32", "*", "batch"],
  llama_get_logits_ith: ["*", "*", "int32"],
  llama_vocab_n_tokens: ["int32", "*"],
  llama_vocab_get_text: ["str", "*", "int32"],
  llama_vocab_get_attr: ["int32", "*", "int32"],
  llama_vocab_is_eog: ["bool", "*", "int32"],
  llama_vocab_bos: ["int32", "*"],
  llama_vocab_eos: ["int32", "*"],
  llama_vocab_get_add_bos: ["bool", "*"],
  llama_tokenize: ["int32", "*", "uint8 *", "int32", "int32 *", "int32", "bool", "bool"],
  llama_token_to_piece: ["int32", "*", "int32", "uint8 *", "int32", "int32", "bool"],
  llama_sampler_chain_init: ["*", "chain_params"],
  llama_sampler_chain_add: ["void", "*", "*"],
  llama_sampler_free: ["void", "*"],
  llama_sampler_accept: ["void", "*", "int32"],
  llama_sampler_sample: ["int32", "*", "*", "int32"],
  llama_sampler_init_greedy: ["*"],
  llama_sampler_init_dist: ["*", "uint32"],
  llama_sampler_init_top_k: ["*", "int32"],
  llama_sampler_init_top_p: ["*", "float", "size_t"],
  llama_sampler_init_min_p: ["*", "float", "size_t"],
  llama_sampler_init_temp: ["*", "float"],
  llama_sampler_init_penalties: ["*", "int32", "int32", "float", "float", "float"],
};

export interface Binding extends Functions {
  /** The structs' defaults, once each field was found where this file has it. @throws VG_BACKEND_UNAVAILABLE */
  readonly modelDefaults: ModelParams;
  readonly contextDefaults: ContextParams;
  /** Finds the CPU variant that fits the machine, and GPUs. */
  loadBackends(): Promise<void>;
  /** A copy of floats in native memory. */
  readFloats(address: bigint, count: number): Float32Array;
  /** Native memory that holds 0, 1, 2, …: a batch points to its rows' sequence numbers. */
  createSequenceNumbers(count: number): SequenceNumbers;
  /** Passes llama.cpp's log to the listener until the returned function is called; then nothing is logged. */
  listenToLog(listener: (level: number, text: string) => void): () => void;
}

export interface SequenceNumbers {
  /** Address of each number. */
  readonly addresses: BigUint64Array;
  free(): void;
}

/** Space for fields that another version may add, so that reading its defaults does not write beyond the buffer. */
const GUARD_BYTES = 512;

/** @throws VG_BACKEND_UNAVAILABLE where the library is another version, or its structs have another layout */
export async function loadBinding(library: LlamaLibrary): Promise<Binding> {
  // Imported here, since the GGUF converter does not need this native addon.
  const { default: koffi } = await import("koffi").catch((cause) => {
    throw toVitgraphError(cause, "VG_BACKEND_UNAVAILABLE", "koffi cannot be loaded", "npm install koffi@3");
  });
  const structOf = (fields: Fields): TypeObject =>
    koffi.struct(Object.fromEntries(Object.entries(fields).map(([name, [type]]) => [name, type])));
  // Backends are libraries too, and find their symbols in these.
  const load = (path: string) => {
    try {
      return koffi.load(path, { global: true, lazy: true });
    } catch (cause) {
      throw toVitgraphError(
        cause,
        "VG_BACKEND_UNAVAILABLE",
        `${path} cannot be loaded`,
        `install version ${PACKAGE_VERSION} of @node-llama-cpp/*, for this platform`,
      );
    }
  };
  load(library.ggmlBase);
  const ggml = load(library.ggml);
  const llama = load(library.llama);
  const structs: Readonly<Record<string, TypeObject>> = {
    model_params: structOf(MODEL_PARAMS),
    context_params: structOf(CONTEXT_PARAMS),
    chain_params: koffi.struct({ no_perf: "bool" }),
    batch: koffi.struct({
      n_tokens: "int32",
      token: "int32 *",
      embd: "float *",
      pos: "int32 *",
      n_seq_id: "int32 *",
      seq_id: "uint64 *",
      logits: "int8 *",
    }),
  };
  const typeOf = (name: string) => (name === "*" ? "void *" : (structs[name] ?? name));
  const functions = Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, [result, ...parameters]]) => [
      name,
      llama.func(name, typeOf(result), parameters.map(typeOf)),
    ]),
  ) as unknown as Functions;

  const version = functions.llama_version();
  if (version !== LLAMA_CPP_VERSION && !version.startsWith(`${LLAMA_CPP_VERSION}-`)) {
    throw unavailable(
      `${library.llama} is llama.cpp ${version}, and this package calls ${LLAMA_CPP_VERSION}`,
      `install version ${PACKAGE_VERSION} of @node-llama-cpp/*`,
    );
  }
  const guarded = koffi.struct({ bytes: koffi.array("uint8", GUARD_BYTES) });
  const defaultsOf = (name: string, struct: string, fields: Fields): Record<string, unknown> => {
    const { bytes } = llama.func(name, guarded, [])() as { bytes: Uint8Array };
    return checkDefaults(name, fields, koffi.decode(bytes, structs[struct] as TypeObject));
  };
  const logCallback = koffi.pointer(koffi.proto("void", ["int", "str", "void *"]));
  const loadBackends = ggml.func("ggml_backend_load_all_from_path", "void", ["str"]);
  return {
    ...functions,
    modelDefaults: defaultsOf("llama_model_default_params", "model_params", MODEL_PARAMS) as ModelParams,
    contextDefaults: defaultsOf(
      "llama_context_default_params",
      "context_params",
      CONTEXT_PARAMS,
    ) as ContextParams,
    loadBackends: () => callAsync(loadBackends, library.directory),
    readFloats: (address, count) => koffi.decode(address, koffi.array("float", count)) as Float32Array,
    createSequenceNumbers: (count) => {
      const numbers = koffi.alloc("int32", count);
      koffi.encode(
        numbers,
        koffi.array("int32", count),
        Int32Array.from({ length: count }, (_, at) => at),
      );
      const base = koffi.address(numbers);
      const addresses = BigUint64Array.from({ length: count }, (_, at) => base + BigInt(4 * at));
      return { addresses, free: () => koffi.free(numbers) };
    },
    listenToLog: (listener) => {
      const callback = koffi.register(listener, logCallback);
      functions.llama_log_set(callback, null);
      return () => {
        // A function of the library that has no effect and reads no arguments.
        functions.llama_log_set(llama.symbol("llama_supports_mmap"), null);
        koffi.unregister(callback);
      };
    },
  };
}

/** Runs a function on a thread of libuv's pool. Its memory must not change until then. */
export function callAsync<Parameters extends readonly unknown[], Result>(
  call: (...args: Parameters) => Result,
  ...args: Parameters
): Promise<Result> {
  return new Promise((resolve, reject) => {
    (call as unknown as KoffiFunc<(...args: unknown[]) => Result>).async(
      ...args,
      (error: unknown, result: Result) => {
        if (error) reject(error);
        else resolve(result);
      },
    );
  });
}

/** The values of a struct, if each default is where `fields` has it. @throws VG_BACKEND_UNAVAILABLE */
export function checkDefaults(
  name: string,
  fields: Fields,
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  for (const [field, [, expected]] of Object.entries(fields)) {
    const value = values[field];
    if (value === expected || (expected === 0 && (value === null || value === 0n))) continue;
    throw unavailable(
      `${name} gives ${String(value)} for ${field} instead of ${String(expected)}: the structs of this llama.cpp have another layout`,
      `install version ${PACKAGE_VERSION} of @node-llama-cpp/*`,
    );
  }
  return { ...values };
}
