import { expect, test } from "vitest";
import { answerMemory, type OutputFormat, outputFormat } from "./embedding-formats.js";

test.each<[string, number]>([
  // bf16, and f32 made of it.
  ["application/json", 6 * 30],
  // As the engine returns them, at most f32: the file shares their memory.
  ["application/vnd.safetensors", 4 * 30],
  ["application/x-npy", 10 * 30],
  ["multipart/mixed", 4 * 30],
  ["multipart/mixed; type=application/x-npy", 4 * 30 + 6 * 20],
])("an answer as %s holds %i bytes for 30 numbers", (accept, bytes) => {
  const format: OutputFormat = outputFormat(accept);
  expect(answerMemory(format, [10, 20])).toBe(bytes);
});
