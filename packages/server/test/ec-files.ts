/** Files of vLLM's shared storage, read as its consumer does, and embeddings to write to them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Embedding } from "@vitgraph/core";
import type { EcStorageOptions } from "../src/index.js";

export const EC_OPTIONS = {
  identity: "a-model",
  vision: { modelType: "qwen3_vl", outputColumns: [64, 64] },
} as const satisfies Omit<EcStorageOptions, "path">;

/** bf16 [tokens, 128] of one repeated byte, on a grid of 2 × 2 patches a token. */
export function patterned(byte = 7, tokens = 4096): Embedding {
  const columns = 128;
  return new Embedding({
    grid: { t: 1, h: 2, w: 2 * tokens },
    tokens,
    columns,
    dtype: "bf16",
    bytes: new Uint8Array(tokens * columns * 2).fill(byte),
    batch: { index: 0, items: 1, tokens, budget: null, padding: 0, durationMs: 0 },
  });
}

export interface EcFile {
  readonly shape: readonly number[];
  readonly rows: Uint8Array;
}

/**
 * By the format's text alone: `ec_cache`, bf16, over all of the data.
 * @throws ENOENT; Error for a file that is not whole
 */
export async function readEcFile(directory: string, key: string): Promise<EcFile> {
  const file = await readFile(join(directory, key, "encoder_cache.safetensors"));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const { ec_cache: tensor } = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as {
    ec_cache: { dtype: string; shape: number[]; data_offsets: [number, number] };
  };
  const rows = file.subarray(8 + headerBytes);
  const sizeBytes = tensor.shape.reduce((product, side) => product * side, 2);
  if (tensor.dtype !== "BF16" || tensor.data_offsets[0] !== 0 || tensor.data_offsets[1] !== sizeBytes)
    throw new Error(`the tensor is ${JSON.stringify(tensor)}`);
  if (rows.length !== sizeBytes) throw new Error(`the file has ${rows.length} bytes of ${sizeBytes}`);
  return { shape: tensor.shape, rows };
}
