/** Options of an engine. */
import type { EncoderPluginOptions, HostEngine } from "@vitgraph/core";
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";

/** Options of `createLlamaEngine`. */
export interface LlamaEngineOptions {
  /** The language model's GGUF. */
  readonly model: string;
  /** Checkpoint of the vision tower: a directory, or an id in the hub's local cache. Default: text only. */
  readonly visionModel?: string;
  /** vLLM's compilation config, for the vision tower. */
  readonly compilationConfig?: HostEngine["compilationConfig"];
  /** Tokens of a sequence, prompt and answer. Default: 4096, or the model's training context if that is shorter. */
  readonly contextSize?: number;
  /** Sequences that are decoded together. Default: 4. Each has memory for `contextSize` tokens. */
  readonly parallel?: number;
  /** Layers of the language model on the GPU. Default: -1, all. */
  readonly gpuLayers?: number;
  /** Requests that wait for a slot or for their images; one more is refused. Default: 256. */
  readonly maxWaiting?: number;
  /** Tokens in a batch: longer prompts are decoded in pieces. Default: 512. */
  readonly batchTokens?: number;
  /**
   * Dtype of the KV cache. Default: f16. With f32, attention is computed in float32 too, for comparison with a reference, and
   * the cache takes twice the memory.
   */
  readonly cacheType?: "f16" | "f32";
  /** CPU threads of the language model. Default: one less than the cores. */
  readonly threads?: number;
  /** Options of vitgraph's encoder: `backend`, `device`, `limits`, … */
  readonly encoder?: EncoderPluginOptions;
  /** A folder with a build of llama.cpp. Default: the installed package of `@node-llama-cpp`. */
  readonly library?: string;
}

type Kind = "any" | "path" | "cache" | Range;

interface Range {
  readonly least: number;
  readonly most: number;
  /** Ends of the remedy: "give …". */
  readonly expected: string;
}

/** The largest number of llama.cpp's 32-bit fields. A larger one would wrap, and llama.cpp end the process. */
const MOST_INT32 = 2 ** 31 - 1;

const countTo = (most: number): Range => ({
  least: 1,
  most,
  expected: `a whole number from 1 to ${most}`,
});

const OPTIONS: Readonly<Record<keyof LlamaEngineOptions, Kind>> = {
  model: "path",
  visionModel: "path",
  compilationConfig: "any",
  contextSize: countTo(MOST_INT32),
  // LLAMA_MAX_SEQ
  parallel: countTo(256),
  gpuLayers: { least: -1, most: MOST_INT32, expected: "a count, or -1 for all" },
  maxWaiting: countTo(MOST_INT32),
  batchTokens: countTo(MOST_INT32),
  cacheType: "cache",
  // GGML_MAX_N_THREADS
  threads: countTo(512),
  encoder: "any",
  library: "path",
};

export function withDefaults({ parallel = 4, batchTokens = 512 }: LlamaEngineOptions) {
  return { parallel, batchTokens };
}

/** @throws VG_ARGUMENT_INVALID */
export function checkEngineOptions(options: LlamaEngineOptions): void {
  checkOptions("createLlamaEngine", options, Object.keys(OPTIONS));
  for (const [name, kind] of Object.entries(OPTIONS)) {
    const value: unknown = options[name as keyof LlamaEngineOptions];
    if ((value === undefined && name !== "model") || isAccepted(value, kind)) continue;
    const expected = kind === "cache" ? "f16 or f32" : typeof kind === "string" ? "a path" : kind.expected;
    throw invalid(`${name} is ${describe(value)}`, `give ${expected}`);
  }
  const { contextSize = 1 } = options;
  const { parallel, batchTokens } = withDefaults(options);
  // In both cases llama.cpp would end the process.
  if (contextSize * parallel > MOST_INT32) {
    throw invalid(
      `${parallel} sequences of ${contextSize} tokens are more than the ${MOST_INT32} that llama.cpp counts`,
      "lower contextSize or parallel",
    );
  }
  if (batchTokens < parallel) {
    throw invalid(
      `batchTokens is ${batchTokens}, and each of ${parallel} parallel sequences needs one`,
      "raise batchTokens, or lower parallel",
    );
  }
}

function isAccepted(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case "any":
      return true;
    case "path":
      return typeof value === "string" && value !== "";
    case "cache":
      return value === "f16" || value === "f32";
    default:
      return Number.isSafeInteger(value) && (value as number) >= kind.least && (value as number) <= kind.most;
  }
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
