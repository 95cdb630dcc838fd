/** The README's library example, run as it stands but for the paths. */
import { expect, test } from "vitest";
import { runReadmeExample } from "../vitest.readme.js";
import { fixture, TINY } from "./fixtures.js";

test("the library example runs and prints the photo's tokens", async () => {
  const { calls } = await runReadmeExample(
    new URL("../README.md", import.meta.url),
    import.meta.url,
    (example) =>
      example
        .replace('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(TINY))
        .replace('"photo.jpg"', JSON.stringify(fixture("images/image0_224x224.png"))),
  );
  expect(calls).toEqual([[64, expect.any(Float32Array)]]);
});
