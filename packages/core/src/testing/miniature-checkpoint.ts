/** Writes a very small random Qwen3-VL checkpoint, with variations that tests need. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createVisionModel } from "../models/index.js";
import { bf16ToF32, f32ToBf16 } from "../numerics.js";
import { encodeSafetensors, type TensorData } from "../weights/safetensors.js";

/** The smallest tower with all parts of the real one. */
export const MINIATURE_CONFIG = {
  architectures: ["Qwen3VLForConditionalGeneration"],
  model_type: "qwen3_vl",
  vision_config: {
    depth: 2,
    hidden_size: 16,
    num_heads: 2,
    intermediate_size: 24,
    patch_size: 2,
    out_hidden_size: 8,
    num_position_embeddings: 9,
    deepstack_visual_indexes: [0],
  },
};

/** Options of the miniature checkpoint: the prefix of its tensor names, its dtype and its files. */
export interface MiniatureOptions {
  readonly prefix?: string;
  readonly dtype?: "F32" | "BF16" | "F16";
  /** Number of files that the tensors are distributed over, with an index. */
  readonly shards?: number;
  /** Changes the tensors before they are written. Removing one simulates a missing tensor. */
  readonly edit?: (tensors: TensorData[]) => TensorData[];
}

/** Writes a checkpoint of a tiny Qwen3-VL tower, with weights from a fixed seed. */
export async function writeMiniatureCheckpoint(
  directory: string,
  options: MiniatureOptions = {},
): Promise<void> {
  const { prefix = "model.visual.", dtype = "BF16", shards = 1, edit = (tensors) => tensors } = options;
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "config.json"), JSON.stringify(MINIATURE_CONFIG));
  const graph = createVisionModel(MINIATURE_CONFIG).buildGraph({ channelScale: new Float32Array(6) });
  let seed = 1;
  const tensors = graph.nodes.flatMap((node): TensorData[] => {
    if (node.op !== "weight") return [];
    const { tensor, shape } = node.attributes;
    const count = shape.reduce((product, side) => product * side, 1);
    const values = Float32Array.from({ length: count }, () => {
      seed = (seed * 48271) % 2147483647;
      return (seed / 2147483647 - 0.5) * 0.5;
    });
    return [{ name: prefix + tensor, dtype, shape, bytes: encode(values, dtype) }];
  });
  // A tensor of the language model, which must never be read.
  tensors.push({
    name: "model.language_model.norm.weight",
    dtype: "F32",
    shape: [4],
    bytes: new Uint8Array(16),
  });
  await writeShards(directory, edit(tensors), shards);
}

async function writeShards(directory: string, tensors: readonly TensorData[], shards: number): Promise<void> {
  if (shards === 1) {
    await writeFile(join(directory, "model.safetensors"), encodeSafetensors(tensors));
    return;
  }
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const name = `model-${String(shard + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
    const part = tensors.filter((_, index) => index % shards === shard);
    for (const tensor of part) weightMap[tensor.name] = name;
    await writeFile(join(directory, name), encodeSafetensors(part));
  }
  await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
}

/** All values are exact in bf16, so that checkpoints of every dtype have the same values. */
function encode(values: Float32Array, dtype: "F32" | "BF16" | "F16"): Uint8Array {
  const bits = f32ToBf16(values);
  if (dtype === "BF16") return new Uint8Array(bits.buffer);
  if (dtype === "F32") return new Uint8Array(bf16ToF32(bits).buffer);
  return new Uint8Array(Uint16Array.from(bits, halfOfBf16).buffer);
}

/** Exact except for values below 2⁻¹⁴, which become zero: bf16 has fewer mantissa bits than f16. */
function halfOfBf16(bits: number): number {
  const sign = bits & 0x8000;
  const exponent = ((bits >>> 7) & 0xff) - 127 + 15;
  if (exponent <= 0) return sign;
  return sign | (exponent << 10) | ((bits & 0x7f) << 3);
}
