import { describe, expect, test } from "vitest";
import { ARCHITECTURES } from "../models/architectures.js";
import { createVisionModel } from "../models/index.js";
import { bf16ToF32 } from "../numerics.js";
import { MINIATURE_CONFIG } from "../testing/miniature-checkpoint.js";
import { dummyWeights } from "./dummy-weights.js";
import type { TensorSource } from "./tensor-source.js";

const graph = createVisionModel(MINIATURE_CONFIG).buildGraph({ channelScale: new Float32Array(6) });
const large = createVisionModel({
  ...MINIATURE_CONFIG,
  vision_config: {
    ...MINIATURE_CONFIG.vision_config,
    hidden_size: 1024,
    num_heads: 16,
    intermediate_size: 4096,
  },
}).buildGraph({ channelScale: new Float32Array(6) });

async function read(source: TensorSource | undefined, start = 0, sizeBytes = source!.sizeBytes - start) {
  const bytes = new Uint8Array(sizeBytes);
  await source!.readSlice(start, bytes);
  return bytes;
}

async function valuesOf(source: TensorSource | undefined): Promise<Float32Array> {
  return bf16ToF32(new Uint16Array((await read(source)).buffer));
}

function momentsOf(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

test("every tensor of the graph has a source of its shape", () => {
  const weights = dummyWeights(graph);
  for (const node of graph.nodes) {
    if (node.op !== "weight") continue;
    const source = weights.get(node.attributes.tensor)!;
    expect(source.shape).toEqual(node.attributes.shape);
    expect(source.sizeBytes).toBe(2 * source.shape.reduce((product, side) => product * side, 1));
  }
});

test("the rows for learned angles are random; the cosines and sines before them are not", async () => {
  const { model_type, vision_config } = ARCHITECTURES["llava-onevision-1.5-4b"];
  const tower = createVisionModel({ model_type, vision_config: { ...vision_config, depth: 1 } });
  const weights = dummyWeights(tower.buildGraph({ channelScale: new Float32Array(6) }));
  const angles = new Float32Array((await read(weights.get("class_pos_emb"))).buffer);
  // Row 0, and the first row of the learned angles.
  expect(angles.subarray(0, 32)).toEqual(Float32Array.from({ length: 32 }, (_, at) => (at < 16 ? 1 : 0)));
  const learned = angles.subarray(angles.length - 64, angles.length - 32);
  const squares = learned
    .subarray(0, 16)
    .map((cosine, at) => cosine ** 2 + (learned[16 + at] as number) ** 2);
  for (const square of squares) expect(square).toBeCloseTo(1, 6);
  expect(new Set(learned.subarray(16)).size).toBeGreaterThan(8);
});

test("the sinusoids of clips follow a random table", async () => {
  const { vision_config, ...config } = ARCHITECTURES["kimi-k2.5"];
  const tower = createVisionModel({ ...config, vision_config: { ...vision_config, num_hidden_layers: 1 } });
  const weights = dummyWeights(tower.buildGraph({ channelScale: new Float32Array(6) }));
  const table = new Float32Array((await read(weights.get("vision_tower.patch_embed.pos_emb.weight"))).buffer);
  expect(table).toHaveLength((64 ** 2 + 4) * 1152);
  expect(momentsOf(table.subarray(0, 64 ** 2 * 1152)).deviation).toBeCloseTo(0.02, 4);
  // The second frame: sine and cosine of 1.
  const second = table.subarray((64 ** 2 + 1) * 1152);
  expect([second[0], second[576]]).toEqual([Math.fround(Math.sin(1)), Math.fround(Math.cos(1))]);
});

describe("values", () => {
  test("of a matrix are normal with mean 0 and transformers' standard deviation", async () => {
    const { mean, deviation } = momentsOf(
      await valuesOf(dummyWeights(large).get("blocks.0.mlp.linear_fc1.weight")),
    );
    // Four million values: the standard deviation of their mean is 0.02 / 2000.
    expect(mean).toBeCloseTo(0, 4);
    expect(deviation).toBeCloseTo(0.02, 4);
  });

  test("of a norm have mean 1 for its scale and 0 for its bias", async () => {
    const weights = dummyWeights(large);
    expect(momentsOf(await valuesOf(weights.get("blocks.0.norm1.weight"))).mean).toBeCloseTo(1, 2);
    expect(momentsOf(await valuesOf(weights.get("blocks.0.norm1.bias"))).mean).toBeCloseTo(0, 2);
  });

  test("are the same each time, and differ with another seed", async () => {
    const name = "blocks.1.attn.qkv.weight";
    expect(await read(dummyWeights(graph).get(name))).toEqual(await read(dummyWeights(graph).get(name)));
    expect(await read(dummyWeights(graph, 1).get(name))).not.toEqual(
      await read(dummyWeights(graph).get(name)),
    );
  });

  test("differ from tensor to tensor and from row to row", async () => {
    const weights = dummyWeights(large);
    const starts = new Set<string>();
    for (const source of weights.values()) starts.add((await read(source, 0, 16)).toString());
    expect(starts.size).toBe(weights.size);
    const matrix = await read(weights.get("blocks.0.mlp.linear_fc1.weight"));
    const rows = Array.from({ length: 4096 }, (_, row) =>
      matrix.subarray(2048 * row, 2048 * row + 64).toString(),
    );
    expect(new Set(rows).size).toBe(4096);
  });
});

test("slices of any offset and size are consistent with the whole tensor", async () => {
  const source = dummyWeights(large).get("blocks.0.mlp.linear_fc2.weight");
  const whole = await read(source);
  for (const [start, sizeBytes] of [
    [0, 1],
    [1, 3],
    [2_097_143, 17],
    [5, 6_000_001],
    [whole.length - 2, 2],
  ] as const) {
    expect(
      Buffer.compare(await read(source, start, sizeBytes), whole.subarray(start, start + sizeBytes)),
    ).toBe(0);
  }
});
