/** llama.cpp's language model with vitgraph's vision tower: logits and tokens against transformers' whole model. */
import { readFile } from "node:fs/promises";
import { EncoderEngine } from "@vitgraph/core";
import type { LlamaEngine, PromptPart } from "@vitgraph/llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CHECKPOINT,
  type Conversation,
  conversations,
  fixtureEngine,
  imagePath,
  promptOf,
  referenceLogits,
} from "./chat-fixture.js";
import { loadReference, type ReferenceUnit } from "./reference.js";

/** float32 on both sides. */
const TOLERANCE = 1e-5;
/** llama.cpp's own difference from transformers on this fixture, up to 426 positions: see reference.ts. */
const ROPE_DIFFERENCE = 1e-2;
/** What that difference moves a logit by, of logits of some 2.5: smaller margins may go either way. */
const LOGIT_NOISE = 0.03;

let engine: LlamaEngine;
let reference: Awaited<ReturnType<typeof loadReference>>;
beforeAll(async () => {
  engine = await fixtureEngine({ cacheType: "f32" });
  reference = await loadReference(CHECKPOINT);
});
afterAll(() => engine.close());

/** Relative L2 distance of two sets of logits, each without its mean, which no probability depends on. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const centred = (values: ArrayLike<number>) => {
    const all = Array.from(values);
    const mean = all.reduce((total, value) => total + value, 0) / all.length;
    return all.map((value) => value - mean);
  };
  const [a, b] = [centred(actual), centred(expected)];
  return Math.hypot(...a.map((value, index) => value - (b[index] as number))) / Math.hypot(...b);
}

async function firstLogits(prompt: readonly PromptPart[]): Promise<Float32Array> {
  const logits = new Float32Array(320);
  const generation = engine.generate({ prompt, temperature: 0, maxTokens: 1, logprobs: 320 });
  for await (const { topLogprobs = [] } of generation) {
    for (const { token, logprob } of topLogprobs) logits[token] = logprob;
  }
  return logits;
}

/** The conversation with the rows of vitgraph's own engine, without a host between. */
async function referenceUnits({ input_ids, images }: Conversation): Promise<readonly ReferenceUnit[]> {
  await using encoder = await EncoderEngine.create({ model: CHECKPOINT, devices: [{ backend: "cpu" }] });
  const items = await Promise.all(images.map(async (name) => ({ image: await readFile(imagePath(name)) })));
  const outcomes = items.length === 0 ? [] : await encoder.encode(items);
  const encoded = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    const { grid, data } = outcome.value;
    return { h: grid.h / 2, w: grid.w / 2, rows: data };
  });
  return input_ids.flatMap((token, index): readonly ReferenceUnit[] => {
    if (token !== 300) return [token];
    return input_ids[index - 1] === 300 ? [] : [encoded.shift() as ReferenceUnit];
  });
}

const cases = conversations.map((conversation, index) => ({ index, conversation }));
describe.each(cases)("conversation $index", ({ index, conversation }) => {
  test("the rows of vitgraph give transformers' logits", async () => {
    const actual = reference(await referenceUnits(conversation), "transformers");
    expect(distance(actual, await referenceLogits(index))).toBeLessThan(1e-4);
  });

  test("llama.cpp computes with them what it should", async () => {
    const expected = reference(await referenceUnits(conversation), "llama.cpp");
    const actual = await firstLogits(promptOf(conversation));
    expect(distance(actual, expected)).toBeLessThan(TOLERANCE);
    expect(distance(actual, await referenceLogits(index))).toBeLessThan(ROPE_DIFFERENCE);
  });

  test("greedy tokens are transformers' up to a choice that rounding can turn", async () => {
    const { greedy, margin } = conversation;
    const maxTokens = greedy.length;
    const { tokens } = await engine.generate({ prompt: promptOf(conversation), temperature: 0, maxTokens })
      .result;
    const close = margin.findIndex((difference) => difference < LOGIT_NOISE);
    const certain = close < 0 ? greedy.length : close;
    expect(tokens.slice(0, certain)).toEqual(greedy.slice(0, certain));
  });
});
