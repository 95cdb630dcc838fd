import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { expect, test } from "vitest";
import { runReadmeExample } from "../../../vitest.readme.js";

test("the README's example prints what it says", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeMiniatureCheckpoint(directory);
    const { printed, promised } = await runReadmeExample(
      new URL("../README.md", import.meta.url),
      import.meta.url,
      {
        edit: (example) =>
          example.replace(
            '"path/to/Qwen3-VL-8B-Instruct",',
            `${JSON.stringify(directory)}, devices: [{ backend: "cpu", threads: 1 }],`,
          ),
      },
    );
    expect(printed).toEqual(promised);
    expect(promised).toEqual(["qwen3-vl"]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
