/** Runs an example of a README as it stands, for the tests that hold READMEs to what they print. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { vi } from "vitest";

export interface ReadmeRun {
  /** What `console.log` was called with. */
  readonly calls: readonly (readonly unknown[])[];
  /** The same as the terminal shows it. */
  readonly printed: readonly string[];
  /** What the example's `// → …` comments say that it prints. */
  readonly promised: readonly string[];
}

export interface ReadmeOptions {
  readonly edit?: (example: string) => string;
  readonly number?: number;
}

/**
 * @param readme where the README is
 * @param beside `import.meta.url` of the test: the example runs beside it, so that its imports resolve as a user's would
 * @param options.edit puts paths that exist in the places of those that a reader would fill in
 * @param options.number which of the examples; 0, the first, if left out
 */
export async function runReadmeExample(
  readme: URL,
  beside: string,
  { edit = (example) => example, number = 0 }: ReadmeOptions = {},
): Promise<ReadmeRun> {
  const examples = [...(await readFile(readme, "utf8")).matchAll(/```[jt]s\n(.*?)```/gs)];
  const example = examples[number]?.[1];
  if (example === undefined) throw new Error(`${readme.pathname} has no example ${number}`);
  // A dot keeps the folder out of what tsc reads, which may be running beside the tests.
  const directory = await mkdtemp(fileURLToPath(new URL(".readme-", beside)));
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    const path = join(directory, "example.ts");
    await writeFile(path, edit(example));
    await import(/* @vite-ignore */ path);
    const calls = log.mock.calls.map((values) => [...values]);
    return {
      calls,
      printed: calls.map((values) => values.map(shown).join(" ")),
      promised: [...example.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text as string),
    };
  } finally {
    log.mockRestore();
    await rm(directory, { recursive: true });
  }
}

const shown = (value: unknown): string => (typeof value === "string" ? value : inspect(value));
