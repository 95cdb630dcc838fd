/** Runs the README's example: its output must be as in the comments. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { runReadmeExample } from "../../../vitest.readme.js";

test("the example prints what it says", async () => {
  const { printed, promised } = await runReadmeExample(
    new URL("../README.md", import.meta.url),
    import.meta.url,
  );
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
});

test("the table of lint rules is complete", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const source = await readFile(new URL("../src/lint.ts", import.meta.url), "utf8");
  const [, union = ""] = /export type LintRule =([^;]*);/.exec(source) ?? [];
  const rules = [...union.matchAll(/"([a-z-]+)"/g)].map(([, rule]) => rule);
  expect(rules.length).toBeGreaterThan(10);
  for (const rule of rules) expect(readme).toContain(`\`${rule}\``);
});
