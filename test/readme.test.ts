/** The README's library example, run as it stands but for the paths. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { fixture, TINY } from "./fixtures.js";

test("the library example runs and prints the photo's tokens", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1];
  if (example === undefined) throw new Error("README.md has no TypeScript example");
  const code = example
    .replace('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(TINY))
    .replace('"photo.jpg"', JSON.stringify(fixture("images/image0_224x224.png")));
  // Beside this file, so that its imports resolve as a user's would.
  const directory = fileURLToPath(new URL(".readme/", import.meta.url));
  await mkdir(directory, { recursive: true });
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await writeFile(`${directory}example.ts`, code);
    await import(/* @vite-ignore */ `${directory}example.ts`);
    expect(log).toHaveBeenCalledWith(64, expect.any(Float32Array));
  } finally {
    log.mockRestore();
    await rm(directory, { recursive: true });
  }
});
