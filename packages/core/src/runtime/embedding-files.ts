/** Embeddings as files: safetensors and NumPy's `.npy`, in memory. The caller writes them to disk. */
import { bytesOf, f32ToBf16 } from "../numerics.js";
import { encodeSafetensors } from "../weights/safetensors.js";
import type { Embedding } from "./embedding.js";

export interface NamedEmbedding {
  /** Of the tensor. */
  readonly name: string;
  readonly embedding: Embedding;
  /** Of a video: seconds of each temporal patch. */
  readonly timestamps?: readonly number[] | undefined;
}

/**
 * A safetensors file with one tensor [tokens, columns] for each embedding. Its metadata has `NAME.grid_thw`, the patches as
 * `[frames, height, width]`, and for videos `NAME.timestamps`.
 * @param dtype default: each embedding's own
 * @throws VG_ARGUMENT_INVALID for names that {@link encodeSafetensors} refuses
 */
export function encodeEmbeddings(
  embeddings: readonly NamedEmbedding[],
  dtype?: Embedding["dtype"],
): Uint8Array {
  const metadata: Record<string, string> = {};
  const tensors = embeddings.map(({ name, embedding, timestamps }) => {
    const { tokens, columns, grid } = embedding;
    metadata[`${name}.grid_thw`] = JSON.stringify([grid.t, grid.h, grid.w]);
    if (timestamps !== undefined) metadata[`${name}.timestamps`] = JSON.stringify(timestamps);
    return {
      name,
      dtype: (dtype ?? embedding.dtype) === "bf16" ? ("BF16" as const) : ("F32" as const),
      shape: [tokens, columns],
      bytes: embeddingBytes(embedding, dtype),
    };
  });
  return encodeSafetensors(tensors, metadata);
}

/** The rows in a dtype: a converted copy, or `bytes` itself if the dtype is their own. */
export function embeddingBytes(embedding: Embedding, dtype = embedding.dtype): Uint8Array {
  if (embedding.dtype === dtype) return embedding.bytes;
  return bytesOf(dtype === "bf16" ? f32ToBf16(embedding.data) : embedding.data);
}

/** NumPy's format 1.0: f32 [tokens, columns]. NumPy has no bf16. */
export function encodeNpy({
  tokens,
  columns,
  data,
}: Pick<Embedding, "tokens" | "columns" | "data">): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${tokens}, ${columns}), }`;
  const magicBytes = 10;
  // Data begins at a multiple of 64 bytes; the header ends with a line feed.
  const start = Math.ceil((magicBytes + text.length + 1) / 64) * 64;
  const file = Buffer.alloc(start + data.byteLength, " ");
  file.write("\x93NUMPY\x01\x00", "latin1");
  file.writeUInt16LE(start - magicBytes, 8);
  file.write(`${text.padEnd(start - magicBytes - 1)}\n`, magicBytes, "latin1");
  file.set(bytesOf(data), start);
  return file;
}
