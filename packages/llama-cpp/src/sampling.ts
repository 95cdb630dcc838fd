/** Sampling of the next token: options, llama.cpp's sampler chain for them, and log probabilities. */
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";
import type { Binding, Sampler } from "./binding.js";

/** How tokens are chosen. */
export interface SamplingOptions {
  /** 0 takes the likeliest token. Default: 1. */
  readonly temperature?: number;
  /** Nucleus sampling: only the likeliest tokens, up to this total probability. Default: 1, all. */
  readonly topP?: number;
  /** Only the k likeliest tokens. Default: 0, all. */
  readonly topK?: number;
  /** Only tokens with at least this share of the likeliest token's probability. Default: 0, all. */
  readonly minP?: number;
  /** Divides the logits of tokens in the prompt and the answer. Default: 1. */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens in the answer, once. Default: 0. */
  readonly presencePenalty?: number;
  /** Subtracted for each time a token is in the answer. Default: 0. */
  readonly frequencyPenalty?: number;
  /** The same seed draws the same tokens from the same logits. Default: another one each time. */
  readonly seed?: number;
}

/** Sampling, and where a generation ends. */
export interface GenerationOptions extends SamplingOptions {
  /** Default: as many as the context has room for. */
  readonly maxTokens?: number;
  /** Texts that end the answer and are not part of it. */
  readonly stop?: string | readonly string[];
  /** Log probabilities of this many of the likeliest tokens, besides the drawn one's. Default: none. */
  readonly logprobs?: number;
  /** Cancels the request: it ends with the signal's reason if that is a VitgraphError, else with VG_ABORTED. */
  readonly signal?: AbortSignal;
  /**
   * The caller that the request counts for: a tenant, a connection. Waiting callers share the slots by tokens, and a full
   * queue still accepts a caller within its share. Default: each request is its own caller.
   */
  readonly caller?: string;
}

interface Rule {
  readonly expected: string;
  accepts(value: number): boolean;
}
const between = (low: number, high: number): Rule => ({
  expected: `a number from ${low} to ${high}`,
  accepts: (value) => value >= low && value <= high,
});
const wholeFrom = (low: number, high = Number.MAX_SAFE_INTEGER): Rule => ({
  expected:
    high === Number.MAX_SAFE_INTEGER ? `a whole number from ${low}` : `a whole number from ${low} to ${high}`,
  accepts: (value) => Number.isSafeInteger(value) && value >= low && value <= high,
});
const NUMBERS: { readonly [Name in keyof Omit<GenerationOptions, "stop" | "signal" | "caller">]-?: Rule } = {
  temperature: between(0, 100),
  topP: between(0, 1),
  topK: wholeFrom(0, 2 ** 31 - 1),
  minP: between(0, 1),
  repetitionPenalty: between(0.01, 100),
  presencePenalty: between(-100, 100),
  frequencyPenalty: between(-100, 100),
  seed: wholeFrom(0, 2 ** 32 - 1),
  maxTokens: wholeFrom(1),
  logprobs: wholeFrom(0),
};
export const GENERATION_OPTIONS = [...Object.keys(NUMBERS), "stop", "signal", "caller"];

/** @param own further names that are known @throws VG_ARGUMENT_INVALID */
export function checkGeneration(owner: string, options: GenerationOptions, own: readonly string[]): void {
  checkOptions(owner, options, [...own, ...GENERATION_OPTIONS]);
  for (const [name, { expected, accepts }] of Object.entries(NUMBERS)) {
    const value: unknown = options[name as keyof typeof NUMBERS];
    if (value === undefined || (typeof value === "number" && accepts(value))) continue;
    throw invalid(`${owner}: ${name} is ${describe(value)}`, `give ${expected}`);
  }
  const { signal, caller } = options;
  const stop = [options.stop ?? []].flat();
  if (!stop.every((text) => typeof text === "string" && text !== "")) {
    throw invalid(`${owner}: stop is ${describe(options.stop)}`, "give a text, or a list of texts");
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`${owner}: signal is ${describe(signal)}`, "give an AbortSignal");
  }
  if (caller !== undefined && typeof caller !== "string") {
    throw invalid(
      `${owner}: caller is ${describe(caller)}`,
      "give a string that all requests of one caller share",
    );
  }
}

/**
 * The chain in llama.cpp's order: penalties, top-k, top-p, min-p, temperature, draw. The caller frees it.
 * @param prompt tokens that count for the repetition penalty
 */
export function createChain(
  llama: Binding,
  options: SamplingOptions,
  { vocabSize, contextSize, prompt }: { vocabSize: number; contextSize: number; prompt: readonly number[] },
): Sampler {
  const { temperature = 1, topP = 1, topK = 0, minP = 0 } = options;
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const chain = llama.llama_sampler_chain_init({ no_perf: true });
  const add = (sampler: Sampler) => llama.llama_sampler_chain_add(chain, sampler);
  const penalties = (repetition: number, frequency: number, presence: number) =>
    llama.llama_sampler_init_penalties(vocabSize, contextSize, repetition, frequency, presence);
  if (repetitionPenalty !== 1) {
    // A sampler alone, since only this penalty counts the prompt's tokens, as in vLLM.
    const repetition = penalties(repetitionPenalty, 0, 0);
    for (const token of prompt) llama.llama_sampler_accept(repetition, token);
    add(repetition);
  }
  if (presencePenalty !== 0 || frequencyPenalty !== 0) add(penalties(1, frequencyPenalty, presencePenalty));
  if (temperature === 0) {
    add(llama.llama_sampler_init_greedy());
    return chain;
  }
  if (topK > 0) add(llama.llama_sampler_init_top_k(topK));
  if (topP < 1) add(llama.llama_sampler_init_top_p(topP, 1));
  if (minP > 0) add(llama.llama_sampler_init_min_p(minP, 1));
  if (temperature !== 1) add(llama.llama_sampler_init_temp(temperature));
  add(llama.llama_sampler_init_dist(options.seed ?? Math.floor(Math.random() * 2 ** 32)));
  return chain;
}

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** Log probabilities of the drawn token, and of the likeliest ones in descending order, before any sampling option applies. */
export function logprobsOf(
  logits: Float32Array,
  drawn: number,
  count: number,
): { readonly drawn: TokenLogprob; readonly top: readonly TokenLogprob[] } {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - largest);
  const normalizer = largest + Math.log(total);
  const at = (token: number): TokenLogprob => ({ token, logprob: (logits[token] as number) - normalizer });
  const top = likeliest(logits, count);
  return { drawn: at(drawn), top: top.map(at) };
}

/** The tokens with the largest logits, descending; of equal ones, the first. */
function likeliest(logits: Float32Array, count: number): readonly number[] {
  const logitOf = (token: number) => logits[token] as number;
  // A vocabulary is sorted in 50 ms, and searched for a few tokens in 1 ms: almost no token gets into the list.
  if (count > 50) return [...logits.keys()].sort((a, b) => logitOf(b) - logitOf(a)).slice(0, count);
  const best: number[] = [];
  for (let token = 0; token < logits.length; token++) {
    let at = best.length;
    while (at > 0 && logitOf(token) > logitOf(best[at - 1] as number)) at--;
    if (at === count) continue;
    best.splice(at, 0, token);
    if (best.length > count) best.pop();
  }
  return best;
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
