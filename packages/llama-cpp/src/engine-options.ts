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

const OPTIONS: Readonly<Record<keyof LlamaEngineOptions, string>> = {
  model: "string",
  visionModel: "string",
  compilationConfig: "any",
  contextSize: "count",
  parallel: "count",
  gpuLayers: "layers",
  maxWaiting: "count",
  batchTokens: "count",
  cacheType: "cache",
  threads: "count",
  encoder: "any",
  library: "string",
};

const EXPECTED: Readonly<Record<string, string>> = {
  string: "a path",
  count: "a positive whole number",
  cache: "f16 or f32",
  layers: "a count, or -1 for all",
};

export function withDefaults({ parallel = 4, batchTokens = 512 }: LlamaEngineOptions) {
  return { parallel, batchTokens };
}

/** @throws VG_ARGUMENT_INVALID */
export function checkEngineOptions(options: LlamaEngineOptions): void {
  checkOptions("createLlamaEngine", options, Object.keys(OPTIONS));
  for (const [name, kind] of Object.entries(OPTIONS)) {
    const value: unknown = options[name as keyof LlamaEngineOptions];
    if (value === undefined && name !== "model") continue;
    const isWhole = Number.isSafeInteger(value);
    const accepted =
      kind === "any" ||
      (kind === "string" && typeof value === "string" && value !== "") ||
      (kind === "count" && isWhole && (value as number) > 0) ||
      (kind === "cache" && (value === "f16" || value === "f32")) ||
      (kind === "layers" && isWhole && (value as number) >= -1);
    if (accepted) continue;
    const expected = EXPECTED[kind];
    throw new VitgraphError("VG_ARGUMENT_INVALID", `createLlamaEngine: ${name} is ${describe(value)}`, {
      remedy: `give ${expected}`,
    });
  }
  const { parallel, batchTokens } = withDefaults(options);
  if (batchTokens >= parallel) return;
  // llama.cpp ends the process.
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `createLlamaEngine: batchTokens is ${batchTokens}, and each of ${parallel} parallel sequences needs one`,
    { remedy: "raise batchTokens, or lower parallel" },
  );
}
