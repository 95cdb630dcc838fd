import { describe, expect, test } from "vitest";
import { checkGeneration, logprobsOf } from "./sampling.js";

describe("log probabilities", () => {
  const logits = Float32Array.from([0, Math.log(3), Number.NEGATIVE_INFINITY, 0]);

  test("are those of the softmax, the likeliest first", () => {
    const { drawn, top } = logprobsOf(logits, 3, 2);
    expect(drawn.token).toBe(3);
    expect(Math.exp(drawn.logprob)).toBeCloseTo(0.2, 6);
    expect(top.map(({ token }) => token)).toEqual([1, 0]);
    expect(Math.exp(top[0]?.logprob as number)).toBeCloseTo(0.6, 6);
  });

  test("of more tokens than there are, all; of many, the same order as of few", () => {
    expect(logprobsOf(logits, 0, 9).top).toHaveLength(4);
    const many = Float32Array.from({ length: 200 }, (_, index) => Math.sin(index));
    const few = logprobsOf(many, 0, 50).top.map(({ token }) => token);
    expect(
      logprobsOf(many, 0, 51)
        .top.slice(0, 50)
        .map(({ token }) => token),
    ).toEqual(few);
  });

  test("of large logits do not overflow", () => {
    expect(logprobsOf(Float32Array.of(1e4, 1e4), 0, 0).drawn.logprob).toBeCloseTo(-Math.LN2, 6);
  });
});

test.each([
  [{ temperature: -1 }, "chat: temperature is -1: give a number from 0 to 100"],
  [{ topK: 1.5 }, "chat: topK is 1.5: give a whole number from 0 to 2147483647"],
  [{ seed: "7" }, 'chat: seed is "7": give a whole number from 0 to 4294967295'],
  [{ maxTokens: 0 }, "chat: maxTokens is 0: give a whole number from 1"],
  [{ stop: [""] }, "chat: stop is a list of 1: give a text, or a list of texts"],
  [{ caller: 3 }, "chat: caller is 3: give a string that all requests of one caller share"],
  [{ signal: {} }, "chat: signal is {}: give an AbortSignal"],
  [{ top_p: 1 }, 'chat has no option "top_p": did you mean "topP"?'],
])("%j is refused", (options, message) => {
  expect(() => checkGeneration("chat", options as never, ["messages"])).toThrow(message);
});
