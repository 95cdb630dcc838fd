/** Embeddings → a safetensors file: a tensor each, its grid in the metadata. */
import { bytesOf, f32ToBf16 } from "./numerics.js";
import type { Embedding } from "./runtime/embedding.js";
import { encodeSafetensors } from "./weights/safetensors.js";

export interface EncodeEmbeddingsOptions {
  /** Default: each embedding's own. */
  readonly dtype?: "f32" | "bf16";
  /** Besides the grids. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * One tensor [tokens, columns] an embedding, under its key; `KEY.grid_thw` in the metadata is its grid, `[t, h, w]` as JSON.
 * @throws VG_ARGUMENT_INVALID for the key `__metadata__`, which the format reserves
 */
export function encodeEmbeddings(
  embeddings: ReadonlyMap<string, Embedding>,
  { dtype, metadata = {} }: EncodeEmbeddingsOptions = {},
): Uint8Array {
  const grids: Record<string, string> = {};
  const tensors = [...embeddings].map(([name, embedding]) => {
    const { tokens, columns, grid } = embedding;
    grids[`${name}.grid_thw`] = JSON.stringify([grid.t, grid.h, grid.w]);
    const wanted = dtype ?? embedding.dtype;
    return {
      name,
      dtype: wanted === "f32" ? ("F32" as const) : ("BF16" as const),
      shape: [tokens, columns],
      bytes: bytesAs(embedding, wanted),
    };
  });
  return encodeSafetensors(tensors, { ...grids, ...metadata });
}

function bytesAs(embedding: Embedding, dtype: "f32" | "bf16"): Uint8Array {
  if (embedding.dtype === dtype) return embedding.bytes;
  return bytesOf(dtype === "bf16" ? f32ToBf16(embedding.data) : embedding.data);
}
