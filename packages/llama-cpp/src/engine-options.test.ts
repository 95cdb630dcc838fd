import { expect, test } from "vitest";
import { checkEngineOptions } from "./engine-options.js";

test("a batch without a token for each sequence is refused, since llama.cpp would end the process", () => {
  const model = "model.gguf";
  expect(() => checkEngineOptions({ model, batchTokens: 3 })).toThrow(
    "createLlamaEngine: batchTokens is 3, and each of 4 parallel sequences needs one: raise batchTokens, or lower parallel",
  );
  expect(() => checkEngineOptions({ model, parallel: 513 })).toThrow("batchTokens is 512");
  checkEngineOptions({ model, batchTokens: 4 });
});
