/** The programs of the documentation of hosts, run as they stand but for the paths. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { runReadmeExample } from "../../vitest.readme.js";
import { CHECKPOINT, fixtureGguf, imagePath } from "./chat-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-readme-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("the program of the server's README with a chat engine", async () => {
  const gguf = await fixtureGguf();
  const { printed, promised } = await runReadmeExample(
    new URL("../../packages/server/README.md", import.meta.url),
    import.meta.url,
    {
      number: 1,
      edit: (example) =>
        example
          .replace('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(CHECKPOINT))
          .replace('"qwen3-vl-8b.gguf"', JSON.stringify(gguf)),
    },
  );
  expect(printed).toEqual(promised);
  expect(promised).toEqual(["assistant"]);
});

test.each(["../../docs/llama-cpp.md", "../../packages/llama-cpp/README.md"])(
  "the program of %s",
  async (path) => {
    const gguf = await fixtureGguf();
    const converted = join(folder, "model.gguf");
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const { calls } = await runReadmeExample(new URL(path, import.meta.url), import.meta.url, {
      edit: (example) =>
        example
          .replaceAll('"path/to/Qwen3-VL-8B-Instruct"', JSON.stringify(CHECKPOINT))
          .replaceAll('"qwen3-vl-8b.gguf"', JSON.stringify(gguf))
          .replaceAll('"model.gguf"', JSON.stringify(converted))
          .replaceAll('"photo.jpg"', JSON.stringify(imagePath("image0_224x224.png")))
          // The fixture was made for 4096 tokens.
          .replace("contextSize: 8192", "contextSize: 1024"),
    }).finally(() => write.mockRestore());
    expect(calls.flat()).toContain(64);
  },
);
