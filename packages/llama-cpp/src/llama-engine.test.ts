/** The engine's end, with parts that free nothing. Everything else is tested with llama.cpp in test/hosts. */
import { expect, test } from "vitest";
import { LlamaEngine } from "./llama-engine.js";

test("an encoder that fails to close does not keep the context and the model from being freed", async () => {
  const freed: string[] = [];
  const part = (name: string) => ({ [Symbol.asyncDispose]: async () => void freed.push(name) });
  const vision = {
    family: { bidirectional: false },
    [Symbol.asyncDispose]: () => Promise.reject(new Error("the device is gone")),
  };
  const parts = { name: "tiny", model: part("model"), context: part("context"), vision, template: undefined };
  const limits = { contextSize: 8, parallel: 1, batchTokens: 8, maxWaiting: 1 };
  const engine = new LlamaEngine({ ...parts, ...limits } as unknown as ConstructorParameters<
    typeof LlamaEngine
  >[0]);
  await expect(engine.close()).rejects.toThrow("the device is gone");
  expect(freed).toEqual(["context", "model"]);
});
