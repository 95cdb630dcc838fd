/**
 * llama.cpp as a host of vitgraph. A barrel, and nothing else.
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
export { LLAMA_CPP_VERSION, PACKAGE_VERSION } from "./library.js";
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
