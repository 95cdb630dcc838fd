/** The README's example, run as it stands: what it prints is what its comments say. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";

test("the example prints what it says", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1];
  if (example === undefined) return expect.unreachable("README.md has no TypeScript example");
  // Beside this file, so that its import resolves as a user's would.
  const directory = await mkdtemp(fileURLToPath(new URL("readme-", import.meta.url)));
  const printed: unknown[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((value: unknown) => printed.push(value));
  try {
    const path = join(directory, "example.ts");
    await writeFile(path, example);
    await import(/* @vite-ignore */ path);
  } finally {
    log.mockRestore();
    await rm(directory, { recursive: true });
  }
  const promised = [...example.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
});
