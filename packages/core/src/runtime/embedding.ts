/**
 * An item's answer: its rows of a batch's result, in the dtype in which the device computes.
 *
 * The memory belongs to whoever asked for it: nobody else reads or writes it, and it may be transferred.
 */
import type { Grid } from "../item.js";
import { bf16ToF32 } from "../numerics.js";

/** Facts of one run. */
export interface BatchReport {
  /** Counts up from 0 over the encoder's life. */
  readonly index: number;
  readonly items: number;
  readonly tokens: number;
  /** The budget whose program ran; null where it ran eagerly. */
  readonly budget: number | null;
  /** Share of the budget that no item filled; 0 for eager. */
  readonly waste: number;
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

  /** For `JSON.stringify`: `data` as numbers, in the place of `bytes`. */
  toJSON(): Omit<EmbeddingFields, "bytes"> & { readonly data: readonly number[] } {
    const { grid, tokens, columns, dtype, batch, data } = this;
    return { grid, tokens, columns, dtype, batch, data: [...data] };
  }
}
