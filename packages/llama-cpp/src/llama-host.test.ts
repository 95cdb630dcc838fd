import { readFile } from "node:fs/promises";
import { hostConformance } from "@vitgraph/core/testing";
import { describe, expect, test } from "vitest";
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

test("a listener that fails when the host closes does not keep the others from closing", async () => {
  const host = new LlamaHost({ config, path: "checkpoint" });
  const closed: string[] = [];
  host.onClose(() => Promise.reject(new Error("the device is gone")));
  host.onClose(async () => void closed.push("second"));
  await expect(host.close()).rejects.toThrow("the device is gone");
  expect(closed).toEqual(["second"]);
});
