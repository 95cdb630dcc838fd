import { readFile } from "node:fs/promises";
import { hostConformance } from "@vitgraph/core/testing";
import { describe, test } from "vitest";
import { LlamaHost } from "./llama-host.js";

const config = JSON.parse(
  await readFile(new URL("../../../test/fixtures/qwen3-vl-chat-tiny/config.json", import.meta.url), "utf8"),
);

describe("llama.cpp keeps a host's part of the contract", () => {
  const checks = hostConformance(() => {
    const host = new LlamaHost({ config, path: "checkpoint" }, { cudagraph_mm_encoder: true });
    return {
      host,
      serve: (modality, items, options) =>
        host.encode(
          items.map((item) => ({ modality, item })),
          options ?? {},
        ),
      close: () => host.close(),
    };
  });
  for (const { name, run } of checks) test(name, run);
});
