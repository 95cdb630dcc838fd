/** Checkpoints as they come: single and sharded, every dtype and prefix, and damaged in every way. */
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevice, type EncoderItem, loadModel, VisionEncoder } from "@vitgraph/core";
import { MINIATURE_CONFIG, type MiniatureOptions, writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { joinEmbeddings } from "./fixtures.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

const item: EncoderItem = {
  format: "normalized",
  grid: { t: 1, h: 4, w: 6 },
  pixelValues: Float32Array.from({ length: 24 * 24 }, (_, index) => Math.sin(index)),
};

async function encodeWith(options: MiniatureOptions): Promise<Float32Array> {
  await writeMiniatureCheckpoint(directory, options);
  await using model = await loadModel(directory);
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({ model, device });
  return joinEmbeddings(await encoder.encode([item]));
}

const expected = await (async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const values = await encodeWith({});
  await rm(directory, { recursive: true });
  return values;
})();

describe("the same weights give the same embeddings", () => {
  test.each<[string, MiniatureOptions]>([
    ["in three shards", { shards: 3 }],
    ["under the older prefix", { prefix: "visual." }],
    ["as float32", { dtype: "F32" }],
    ["as float16", { dtype: "F16" }],
  ])("%s", async (_, options) => {
    const values = await encodeWith(options);
    expect(values).toHaveLength(expected.length);
    for (const [index, value] of values.entries()) expect(value).toBeCloseTo(expected[index]!, 5);
  });
});

test("a shard without a tensor of the tower is never opened", async () => {
  await writeMiniatureCheckpoint(directory, { shards: 2 });
  const index = JSON.parse(await readFile(join(directory, "model.safetensors.index.json"), "utf8"));
  index.weight_map["model.language_model.layers.0.weight"] = "model-of-the-language-part.safetensors";
  await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify(index));
  await using model = await loadModel(directory);
  expect(model.weights.size).toBeGreaterThan(0);
});

describe("a damaged checkpoint is answered with what is wrong", () => {
  async function failure(prepare: () => Promise<unknown>): Promise<{ code: string; message: string }> {
    await writeMiniatureCheckpoint(directory);
    await prepare();
    try {
      await using model = await loadModel(directory);
      using device = createDevice({ backend: "cpu" });
      using _encoder = await VisionEncoder.create({ model, device });
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return { code, message: message.replaceAll(directory, "DIR") };
    }
    throw new Error("it loaded");
  }
  const rewrite = (options: MiniatureOptions) => () => writeMiniatureCheckpoint(directory, options);
  const config = (value: unknown) => () => writeFile(join(directory, "config.json"), JSON.stringify(value));

  test("a directory that does not exist", async () => {
    expect(await failure(() => rm(join(directory, "config.json")))).toEqual({
      code: "VG_FILE_UNREADABLE",
      message: expect.stringMatching(
        /^cannot read DIR\/config.json \(ENOENT.*\): --model wants the directory of a checkpoint$/,
      ),
    });
  });

  test("an architecture that is not supported", async () => {
    expect(
      await failure(config({ model_type: "llava", architectures: ["LlavaForConditionalGeneration"] })),
    ).toEqual({
      code: "VG_MODEL_UNSUPPORTED",
      message:
        'model_type "llava" (architectures: LlavaForConditionalGeneration) is not supported: ' +
        "supported model types: qwen3_vl, qwen3_vl_moe, qwen3_5, qwen3_5_moe",
    });
  });

  test("a config that contradicts itself", async () => {
    const { vision_config } = MINIATURE_CONFIG;
    const change = (change: object) =>
      config({ ...MINIATURE_CONFIG, vision_config: { ...vision_config, ...change } });
    expect((await failure(change({ num_heads: 3 }))).message).toBe(
      "vision_config.num_heads is 3: expected a divisor of hidden_size 16; check the checkpoint's config.json",
    );
    expect((await failure(change({ deepstack_visual_indexes: [7] }))).message).toBe(
      "vision_config.deepstack_visual_indexes is 7: expected layers below depth 2; check the checkpoint's config.json",
    );
    expect((await failure(change({ depth: "two" }))).message).toBe(
      'vision_config.depth is "two": expected a positive integer; check the checkpoint\'s config.json',
    );
  });

  test("a missing tensor", async () => {
    const missing = "model.visual.blocks.1.mlp.linear_fc1.weight";
    expect(await failure(rewrite({ edit: (list) => list.filter(({ name }) => name !== missing) }))).toEqual({
      code: "VG_WEIGHTS_INVALID",
      message:
        "DIR has no tensor model.visual.blocks.1.mlp.linear_fc1.weight or visual.blocks.1.mlp.linear_fc1.weight: " +
        "the checkpoint is incomplete, or config.json belongs to another",
    });
  });

  test("a tensor of another shape", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) =>
        tensor.name.endsWith("0.attn.qkv.weight") ? { ...tensor, shape: [24, 32] } : tensor,
      );
    expect((await failure(rewrite({ edit }))).message).toBe(
      "tensor model.visual.blocks.0.attn.qkv.weight has shape [24, 32], but config.json makes it [48, 16]: " +
        "config.json and the weights belong to different checkpoints",
    );
  });

  test("a dtype that no kernel reads", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) =>
        tensor.name.endsWith("0.attn.qkv.weight")
          ? { ...tensor, dtype: "F8_E4M3", bytes: tensor.bytes.subarray(0, tensor.bytes.length / 2) }
          : tensor,
      );
    expect((await failure(rewrite({ edit }))).message).toMatch(
      /the vision tower of .* is quantised: it keeps model.visual.blocks.0.attn.qkv.weight as F8_E4M3: use a/,
    );
  });

  test("a file that was cut off", async () => {
    const { code, message } = await failure(() => truncate(join(directory, "model.safetensors"), 5000));
    expect(code).toBe("VG_WEIGHTS_INVALID");
    expect(message).toMatch(/the file is damaged: copy or download it again|is cut off/);
  });

  test("an index that names a shard that is not there", async () => {
    const { code, message } = await failure(async () => {
      await writeMiniatureCheckpoint(directory, { shards: 2 });
      await rm(join(directory, "model-00002-of-00002.safetensors"));
    });
    expect(code).toBe("VG_FILE_UNREADABLE");
    expect(message).toMatch(/^cannot open DIR\/model-00002-of-00002.safetensors/);
  });
});
