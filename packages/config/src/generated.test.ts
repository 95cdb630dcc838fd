import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
// @ts-expect-error a script without types
import { generate } from "../scripts/generate.mjs";

const root = new URL("../", import.meta.url);

describe("generated files", () => {
  test("are what the schema generates: if not, run `pnpm generate`", async () => {
    const files: ReadonlyMap<string, string> = await generate();
    expect([...files.keys()]).toHaveLength(5);
    for (const [path, text] of files) {
      const committed = await readFile(new URL(path, root), "utf8");
      expect(committed === text, `${path} is stale: run \`pnpm generate\``).toBe(true);
    }
  });
});
