/**
 * llama.cpp as a host of vitgraph. Re-exports only.
 *
 * @module @vitgraph/llama-cpp
 */
export type { LlamaEngineOptions } from "./engine-options.js";
export type { Generation, GenerationChunk, GenerationResult, Usage } from "./generation.js";
export {
  type Converted,
  type ConvertOptions,
  convertToGguf,
  OUTTYPE_NAMES,
  type Outtype,
} from "./gguf/convert.js";
export {
  type ChatOptions,
  createLlamaEngine,
  type GenerateOptions,
  type LlamaEngine,
  type LlamaEngineStats,
} from "./llama-engine.js";
export type { ContentPart, FileSource, ImagePart, Message, VideoPart } from "./messages.js";
export type { PromptPart } from "./prompt.js";
export type { GenerationOptions, SamplingOptions, TokenLogprob } from "./sampling.js";
