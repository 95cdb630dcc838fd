/** Runs the README's example: its output must be as in the comments. */
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
