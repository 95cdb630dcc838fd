import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { CHECKPOINT, fixtureGguf, imagePath } from "./chat-fixture.js";

test("the example of llama.cpp answers about each image", async () => {
  const images = ["image0_224x224.png", "image3_57x301.png"].map(imagePath);
  const args = ["--llm", await fixtureGguf(), "--model", CHECKPOINT, ...images, "What is this?"];
  vi.spyOn(process, "argv", "get").mockReturnValue([process.execPath, "llama-cpp.ts", ...args]);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  // A variable, so that its types stay those of the package that it is in.
  const example = fileURLToPath(new URL("../../examples/llama-cpp.ts", import.meta.url));
  await import(example);
  const lines = log.mock.calls.map(([line]) => String(line));
  expect(lines.filter((line) => images.some((image) => line.startsWith(`${image}: `)))).toHaveLength(2);
  expect(lines.some((line) => line.startsWith("  64 image tokens, first token after"))).toBe(true);
});
