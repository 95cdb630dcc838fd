/**
 * An item's embedding: its rows of a batch's result, in the device's compute dtype.
 *
 * The caller owns the memory: nothing else reads or writes it, and it may be transferred.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { Grid } from "../item.js";
import { bf16ToF32 } from "../numerics.js";

/** Facts of one run. */
export interface BatchReport {
  /** Counts up from 0 over the encoder's life. */
  readonly index: number;
  readonly items: number;
  /** Taken of a budget: rows, or more for items with more patches than those stand for. */
  readonly tokens: number;
  /** The budget whose program ran; null where it ran eagerly. */
  readonly budget: number | null;
  /** Padding as a share of the budget; 0 for eager. */
  readonly padding: number;
  /** The device's own measure of the run. */
  readonly durationMs: number;
}

export interface EmbeddingFields {
  readonly grid: Grid;
  readonly tokens: number;
  readonly columns: number;
  readonly dtype: "f32" | "bf16";
  readonly bytes: Uint8Array;
  readonly batch: BatchReport;
}

/**
 * The main embedding and the deepstack levels of an embedding, each [tokens, width] in its dtype and its own memory.
 * @param widths `outputColumns` of the model: the main embedding's columns first
 * @throws VG_ARGUMENT_INVALID if the widths do not match the embedding
 */
export function splitLevels(
  { tokens, columns, bytes }: Pick<EmbeddingFields, "tokens" | "columns" | "bytes">,
  widths: readonly number[],
): readonly Uint8Array[] {
  const expected = widths.reduce((sum, width) => sum + width, 0);
  if (expected !== columns) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `the embedding has ${columns} columns, and the widths make ${expected}`,
      { remedy: "pass outputColumns of the model that made it" },
    );
  }
  const elementBytes = bytes.length / (tokens * columns);
  let start = 0;
  return widths.map((width) => {
    const level = new Uint8Array(tokens * width * elementBytes);
    const size = width * elementBytes;
    for (let row = 0; row < tokens; row++) {
      const from = row * columns * elementBytes + start;
      level.set(bytes.subarray(from, from + size), row * size);
    }
    start += size;
    return level;
  });
}

/** An item's rows for the language model, [tokens, columns] row by row, in memory that belongs to the caller. */
export class Embedding {
  readonly grid: Grid;
  readonly tokens: number;
  /** The merged embedding's columns first, then those of each deepstack level. */
  readonly columns: number;
  /** f32 from the CPU, bf16 from a GPU. */
  readonly dtype: "f32" | "bf16";
  /** [tokens, columns] in `dtype`, in the order of the language model's placeholder tokens. */
  readonly bytes: Uint8Array;
  readonly batch: BatchReport;
  #data: Float32Array | undefined;

  constructor({ grid, tokens, columns, dtype, bytes, batch }: EmbeddingFields) {
    this.grid = grid;
    this.tokens = tokens;
    this.columns = columns;
    this.dtype = dtype;
    this.bytes = bytes;
    this.batch = batch;
  }

  /** f32 [tokens, columns]. The memory of `bytes`, or widened from bf16 on first use. */
  get data(): Float32Array {
    const { buffer, byteOffset, byteLength } = this.bytes;
    this.#data ??=
      this.dtype === "f32"
        ? new Float32Array(buffer, byteOffset, byteLength / 4)
        : bf16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
    return this.#data;
  }

  /** For `JSON.stringify`: `data` as numbers instead of `bytes`. */
  toJSON(): Omit<EmbeddingFields, "bytes"> & { readonly data: readonly number[] } {
    const { grid, tokens, columns, dtype, batch, data } = this;
    return { grid, tokens, columns, dtype, batch, data: [...data] };
  }
}
