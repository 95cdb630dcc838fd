/** The examples of the READMEs and of docs/, run as they stand but for the paths. */
import { expect, test } from "vitest";
import { runReadmeExample } from "../vitest.readme.js";
import { fixture, TINY } from "./fixtures.js";

/** Runs the example of that number, and returns what it printed, call by call. */
async function runExample(readme: string, number: number) {
  const { calls } = await runReadmeExample(new URL(readme, import.meta.url), import.meta.url, {
    number,
    edit: (example) =>
      example
        .replace('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(TINY))
        .replace('"photo.jpg"', JSON.stringify(fixture("images/image0_224x224.png"))),
  });
  return calls;
}

test("the library example runs and prints the photo's tokens", async () => {
  expect(await runExample("../README.md", 0)).toEqual([[64, expect.any(Float32Array)]]);
});

test("core's first example is the library's", async () => {
  expect(await runExample("../packages/core/README.md", 0)).toEqual([[64, expect.any(Float32Array)]]);
});

test("core's example of one encoder runs", async () => {
  expect(await runExample("../packages/core/README.md", 2)).toEqual([[64]]);
});

test("core's example of an engine runs, answers both items, and closes", async () => {
  const answer = [64, expect.any(Float32Array)];
  expect(await runExample("../packages/core/README.md", 1)).toEqual([
    answer,
    answer,
    ["draining"],
    ["closed"],
  ]);
});

test("the host in twenty lines gets an encoder, and a photo's embedding from it", async () => {
  // The small checkpoint has 64 columns, and as many for each of two deepstack levels.
  expect(await runExample("../docs/plugging-into-a-host.md", 0)).toEqual([[64, 192]]);
});

test("the example of multimodal positions prints what it says", async () => {
  const { printed, promised } = await runReadmeExample(
    new URL("../docs/plugging-into-a-host.md", import.meta.url),
    import.meta.url,
    { number: 1 },
  );
  expect(printed).toEqual(promised);
  expect(promised).toHaveLength(1);
});

test("the example of observers makes a plugin that has them", async () => {
  expect(await runExample("../docs/plugging-into-a-host.md", 2)).toEqual([]);
});
