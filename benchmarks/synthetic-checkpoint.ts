/** Random checkpoints with the shapes of real vision towers, written to disk a tensor at a time. */
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createVisionModel } from "@vitgraph/core";

export interface TowerSize {
  readonly depth: number;
  readonly hidden_size: number;
  readonly num_heads: number;
  readonly intermediate_size: number;
  readonly out_hidden_size: number;
  readonly deepstack_visual_indexes: readonly number[];
}

/** The tower of Qwen3-VL-8B and larger. */
export const LARGE_TOWER: TowerSize = {
  depth: 27,
  hidden_size: 1152,
  num_heads: 16,
  intermediate_size: 4304,
  out_hidden_size: 4096,
  deepstack_visual_indexes: [8, 16, 24],
};

/** Its shapes in a third of the layers: enough work for a CPU to be measured by. */
export const NINE_LAYERS: TowerSize = { ...LARGE_TOWER, depth: 9, deepstack_visual_indexes: [2, 5, 8] };

/** A Qwen3-VL. Returns the bytes of the vision tower's tensors. */
export async function writeSyntheticCheckpoint(directory: string, size: TowerSize): Promise<number> {
  const config = {
    model_type: "qwen3_vl",
    architectures: ["Qwen3VLForConditionalGeneration"],
    vision_config: size,
  };
  return writeRandomCheckpoint(directory, config, "model.visual.");
}

/**
 * Returns the bytes of the vision tower's tensors. Weights are bf16.
 * @param config the content of config.json
 * @param prefix of the tower's tensors
 */
export async function writeRandomCheckpoint(
  directory: string,
  config: Readonly<Record<string, unknown>>,
  prefix: string,
): Promise<number> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  const graph = createVisionModel(config).buildGraph({ channelScale: new Float32Array(6) });
  const header: Record<string, unknown> = {};
  const counts: number[] = [];
  let end = 0;
  for (const node of graph.nodes) {
    if (node.op !== "weight") continue;
    const count = node.attributes.shape.reduce((product, side) => product * side, 1);
    counts.push(count);
    header[prefix + node.attributes.tensor] = {
      dtype: "BF16",
      shape: node.attributes.shape,
      data_offsets: [end, end + 2 * count],
    };
    end += 2 * count;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = await open(join(directory, "model.safetensors"), "w");
  try {
    await file.write(Buffer.concat([length, json]));
    for (const count of counts) await file.write(randomBf16(count));
  } finally {
    await file.close();
  }
  return end;
}

/** Values around ±0.02, the scale of trained weights: bf16 with random signs, mantissas and nearby exponents. */
function randomBf16(count: number): Buffer {
  const bits = new Uint16Array(count);
  let state = count >>> 0 || 1;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const exponent = 118 + (state & 3);
    bits[i] = ((state >>> 16) & 0x807f) | (exponent << 7);
  }
  return Buffer.from(bits.buffer);
}
