/** llama.cpp's language model with vitgraph's vision tower: logits and tokens against transformers' whole model. */
import { readFile } from "node:fs/promises";
import { type CreateEngine, EncoderEngine } from "@vitgraph/core";
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
  silent,
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
  engine = await fixtureEngine();
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

async function firstLogits(prompt: readonly PromptPart[], from = engine): Promise<Float32Array> {
  const logits = new Float32Array(320);
  const generation = from.generate({ prompt, temperature: 0, maxTokens: 1, logprobs: 320 });
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

/** The encoder, with each embedding changed before the host gets it. */
function mutated(mutate: (rows: Float32Array, columns: number) => void): CreateEngine {
  return async (options) => {
    const encoder = await EncoderEngine.create(options);
    return {
      model: encoder.model,
      getItemSpecs: (items, given) => encoder.getItemSpecs(items, given),
      budgetRange: () => encoder.budgetRange(),
      stats: () => encoder.stats(),
      close: () => encoder.close(),
      encode: async (items, given) => {
        const outcomes = await encoder.encode(items, given);
        for (const outcome of outcomes) {
          if (outcome.status === "fulfilled") mutate(outcome.value.data, outcome.value.columns);
        }
        return outcomes;
      },
    };
  };
}

describe("what is lost on the way shows in the logits", () => {
  const [, , conversation] = conversations as [unknown, unknown, Conversation];
  const shiftOf = async (prompt: readonly PromptPart[], from?: LlamaEngine) =>
    distance(await firstLogits(prompt, from), await referenceLogits(2));
  /** Ten times what passes. */
  const SHIFT = 10 * ROPE_DIFFERENCE;

  test("the deepstack columns", async () => {
    const createEngine = mutated((rows, columns) => {
      for (let index = 0; index < rows.length; index++) if (index % columns >= 64) rows[index] = 0;
    });
    await using without = await fixtureEngine({ encoder: { createEngine, backend: "cpu", logger: silent } });
    expect(await shiftOf(promptOf(conversation), without)).toBeGreaterThan(SHIFT);
  });

  test("the order of rows", async () => {
    const createEngine = mutated((rows, columns) => {
      const last = rows.length / columns - 1;
      const right = rows.slice();
      for (let row = 0; row <= last; row++) {
        rows.set(right.subarray((last - row) * columns, (last - row + 1) * columns), row * columns);
      }
    });
    await using shifted = await fixtureEngine({ encoder: { createEngine, backend: "cpu", logger: silent } });
    expect(await shiftOf(promptOf(conversation), shifted)).toBeGreaterThan(SHIFT);
  });

  test("the order of images", async () => {
    const swapped = promptOf(conversation, conversation.images.toReversed());
    expect(await shiftOf(swapped)).toBeGreaterThan(SHIFT);
  });
});
