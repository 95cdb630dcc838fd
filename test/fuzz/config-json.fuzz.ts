/**
 * A checkpoint's config.json and processor files with any values, and as damaged text. Loading ends in a coded error of
 * bounded length, or in a model whose layout and graph are consistent.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";

const EDGES = [-1, 0, 0.5, 257, 2 ** 31, 2 ** 53, 1e300, null, "4", "x".repeat(5000), [], [4], {}, true];

/** Usually one of the values that work; else an edge, or any JSON. */
function mostly<T>(...values: readonly T[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 16, arbitrary: fc.constantFrom(...values) },
    { weight: 1, arbitrary: fc.constantFrom(...EDGES) },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
}

const visionConfig = fc.record(
  {
    depth: mostly(1, 2, 3),
    hidden_size: mostly(16, 32),
    hidden_act: mostly("gelu_pytorch_tanh", "silu"),
    intermediate_size: mostly(24),
    num_heads: mostly(1, 2, 4),
    in_channels: mostly(3),
    patch_size: mostly(2, 4),
    spatial_merge_size: mostly(1, 2),
    temporal_patch_size: mostly(1, 2),
    out_hidden_size: mostly(8),
    num_position_embeddings: mostly(9, 16),
    deepstack_visual_indexes: mostly<unknown>([0], [], [1, 0]),
    rope_parameters: mostly<unknown>({ rope_theta: 10_000 }, { rope_theta: "x" }, {}),
  },
  { requiredKeys: ["depth", "hidden_size", "intermediate_size", "num_heads", "deepstack_visual_indexes"] },
);
const processor = fc.record(
  {
    patch_size: mostly(2, 4),
    merge_size: mostly(1, 2),
    size: mostly<unknown>({ shortest_edge: 16, longest_edge: 64 }, { min_pixels: 4, max_pixels: 9 }),
    min_pixels: mostly(16, null),
    image_mean: mostly<unknown>(0.5, [0, 0, 0]),
    image_std: mostly<unknown>(0.5, [1, 1, 1]),
    resample: mostly(3),
    fps: mostly(2),
    max_pixel: fc.constant(4),
  },
  { requiredKeys: [] },
);
/** A place and what stands there instead; null three times out of four. */
const damage = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(), fc.string({ maxLength: 3 })) },
);
const text = (value: fc.Arbitrary<unknown>) =>
  fc.tuple(value, damage).map(([content, change]) => {
    const json = JSON.stringify(content) as string;
    if (change === null) return json;
    const at = change[0] % json.length;
    return json.slice(0, at) + change[1] + json.slice(at + 1);
  });
const config = fc
  .tuple(mostly("qwen3_vl", "qwen3_5_moe", "qwen3_omni_moe"), visionConfig)
  .map(([model_type, vision_config]) => ({
    ...{ model_type, vision_config, architectures: ["A"] },
    ...(model_type === "qwen3_omni_moe" ? { thinker_config: { vision_config } } : {}),
  }));

const folder = mkdtempSync(join(tmpdir(), "vitgraph-fuzz-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

export default {
  name: "config-json",
  property: fc.asyncProperty(
    text(config),
    fc.option(text(processor), { freq: 2 }),
    fc.option(text(processor), { freq: 2 }),
    async (configText, image, video) => {
      const files = {
        "config.json": configText,
        "preprocessor_config.json": image,
        "video_preprocessor_config.json": video,
      };
      for (const [name, content] of Object.entries(files) as [string, string | null][]) {
        if (content === null) await rm(join(folder, name), { force: true });
        else await writeFile(join(folder, name), content);
      }
      try {
        await using model = await loadModel(folder, { loadFormat: "dummy" });
        const { vision, graph, processor: images } = model;
        if (images.patchSize !== vision.patchSize) throw new Error("patches of two sizes");
        if (graph.outputs.length !== vision.outputColumns.length) throw new Error("outputs of two counts");
        const side = vision.spatialMergeSize;
        const tables = Object.values(vision.layout({ t: 1, h: side, w: side }).patchTables());
        const uneven = tables.find((table) => table.length === 0 || table.length % (side * side) !== 0);
        if (uneven !== undefined) throw new Error(`a patch table of ${uneven.length} elements`);
      } catch (error) {
        if (!VitgraphError.is(error) || !/^VG_MODEL_/.test(error.code)) throw error;
        // The longest is the list of all model types; none grows with the input.
        if (error.message.length > 1000) throw new Error(`a message of ${error.message.length} characters`);
      }
    },
  ),
} satisfies FuzzTarget;
