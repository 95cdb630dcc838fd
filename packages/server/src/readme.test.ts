import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { expect, test } from "vitest";
import { runReadmeExample } from "../../../vitest.readme.js";

test.each([
  [0, ["qwen3-vl"]],
  [1, ["text/html; charset=utf-8"]],
])("example %i of the README prints what it says", async (number, expected) => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeMiniatureCheckpoint(directory);
    const { printed, promised } = await runReadmeExample(
      new URL("../README.md", import.meta.url),
      import.meta.url,
      {
        number,
        edit: (example) =>
          example.replace(
            '"path/to/Qwen3-VL-8B-Instruct",',
            `${JSON.stringify(directory)}, devices: [{ backend: "cpu", threads: 1 }],`,
          ),
      },
    );
    expect(printed).toEqual(promised);
    expect(promised).toEqual(expected);
  } finally {
    await rm(directory, { recursive: true });
  }
});
