import { expect, test } from "vitest";
import { checkEngineOptions } from "./engine-options.js";

test("a batch without a token for each sequence is refused, since llama.cpp would end the process", () => {
  const model = "model.gguf";
  expect(() => checkEngineOptions({ model, batchTokens: 3 })).toThrow(
    "batchTokens is 3, and each of 4 parallel sequences needs one: raise batchTokens, or lower parallel",
  );
  expect(() => checkEngineOptions({ model, parallel: 200, batchTokens: 100 })).toThrow("batchTokens is 100");
  checkEngineOptions({ model, batchTokens: 4 });
});

test.each([
  [{ parallel: 257 }, "parallel is 257: give a whole number from 1 to 256"],
  [{ threads: 513 }, "threads is 513: give a whole number from 1 to 512"],
  [{ contextSize: 2 ** 32 + 1 }, "contextSize is 4294967297: give a whole number from 1 to 2147483647"],
  [{ batchTokens: 2 ** 32 }, "batchTokens is 4294967296: give a whole number from 1 to 2147483647"],
  [
    { contextSize: 2 ** 29 },
    "4 sequences of 536870912 tokens are more than the 2147483647 that llama.cpp counts: lower contextSize or parallel",
  ],
  [{ gpuLayers: 2 ** 31 }, "gpuLayers is 2147483648: give a count, or -1 for all"],
  [{ contextSize: 0.5 }, "contextSize is 0.5"],
])("numbers that llama.cpp would wrap or end the process for are refused: %o", (options, message) => {
  expect(() => checkEngineOptions({ model: "model.gguf", ...options })).toThrow(message);
});

test("the largest numbers of llama.cpp are accepted", () => {
  checkEngineOptions({
    model: "model.gguf",
    parallel: 256,
    threads: 512,
    gpuLayers: -1,
    contextSize: 2 ** 22,
  });
});
