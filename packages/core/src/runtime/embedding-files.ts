/** Embeddings as files: safetensors and NumPy's `.npy`, in memory. The caller writes them to disk. */
import { bf16ToF32, bytesOf, f32ToBf16 } from "../numerics.js";
import { encodeSafetensors, type LazyTensor, safetensorsPieces } from "../weights/safetensors.js";
import type { Embedding } from "./embedding.js";

/** An embedding and its name in a file. */
export interface NamedEmbedding {
  /** Of the tensor. */
  readonly name: string;
  readonly embedding: Embedding;
  /** Of a video: seconds of each temporal patch. */
  readonly timestamps?: readonly number[] | undefined;
}

/**
 * A safetensors file with one tensor [tokens, columns] for each embedding. Its metadata has `NAME.grid_thw`, the patches as
 * `[frames, height, width]`, and for videos `NAME.timestamps`. In one array, which Node 20 limits to 4 GiB.
 * @param dtype default: each embedding's own
 * @throws VG_ARGUMENT_INVALID for names that {@link encodeSafetensors} refuses
 */
export function encodeEmbeddings(
  embeddings: readonly NamedEmbedding[],
  dtype?: Embedding["dtype"],
): Uint8Array {
  const { tensors, metadata } = describeTensors(embeddings, dtype);
  return encodeSafetensors(
    tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes() })),
    metadata,
  );
}

/**
 * As {@link encodeEmbeddings}, piece by piece: `writeFile(path, embeddingPieces(embeddings))` writes a file of any size,
 * with one embedding converted at a time.
 */
export function embeddingPieces(
  embeddings: readonly NamedEmbedding[],
  dtype?: Embedding["dtype"],
): Iterable<Uint8Array> {
  const { tensors, metadata } = describeTensors(embeddings, dtype);
  return safetensorsPieces(tensors, metadata);
}

function describeTensors(embeddings: readonly NamedEmbedding[], dtype: Embedding["dtype"] | undefined) {
  const metadata: Record<string, string> = {};
  const tensors = embeddings.map(({ name, embedding, timestamps }): LazyTensor => {
    const { tokens, columns, grid } = embedding;
    metadata[`${name}.grid_thw`] = JSON.stringify([grid.t, grid.h, grid.w]);
    if (timestamps !== undefined) metadata[`${name}.timestamps`] = JSON.stringify(timestamps);
    const isBf16 = (dtype ?? embedding.dtype) === "bf16";
    return {
      name,
      dtype: isBf16 ? "BF16" : "F32",
      shape: [tokens, columns],
      sizeBytes: tokens * columns * (isBf16 ? 2 : 4),
      bytes: () => embeddingBytes(embedding, dtype),
    };
  });
  return { tensors, metadata };
}

/** The rows in a dtype: a converted copy, which the embedding does not keep, or `bytes` itself if the dtype is their own. */
export function embeddingBytes({ dtype: own, bytes }: Embedding, dtype = own): Uint8Array {
  if (own === dtype) return bytes;
  const { buffer, byteOffset, byteLength } = bytes;
  return bytesOf(
    dtype === "bf16"
      ? f32ToBf16(new Float32Array(buffer, byteOffset, byteLength / 4))
      : bf16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2)),
  );
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
