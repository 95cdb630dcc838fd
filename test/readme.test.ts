/** The examples of README.md and of docs/, run as they stand but for the paths. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { fixture, TINY } from "./fixtures.js";

/** Runs the first TypeScript example of a page, and returns what it printed. */
async function runExample(page: string): Promise<readonly unknown[][]> {
  const text = await readFile(new URL(`../${page}`, import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(text)?.[1];
  if (example === undefined) throw new Error(`${page} has no TypeScript example`);
  const code = example
    .replace('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(TINY))
    .replace('"photo.jpg"', JSON.stringify(fixture("images/image0_224x224.png")));
  // Beside this file, so that its imports resolve as a user's would.
  const directory = await mkdtemp(fileURLToPath(new URL(".readme-", import.meta.url)));
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    const path = join(directory, "example.ts");
    await writeFile(path, code);
    await import(/* @vite-ignore */ path);
    return [...log.mock.calls];
  } finally {
    log.mockRestore();
    await rm(directory, { recursive: true });
  }
}

test("the library example runs and prints the photo's tokens", async () => {
  expect(await runExample("README.md")).toEqual([[64, expect.any(Float32Array)]]);
});

test("the host in twenty lines gets an encoder, and a photo's embedding from it", async () => {
  // The small checkpoint has 64 columns, and as many for each of two deepstack levels.
  expect(await runExample("docs/plugging-into-a-host.md")).toEqual([[64, 192]]);
});
