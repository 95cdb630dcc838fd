/**
 * Replays each captured program on several batches, with everything that it may write poisoned first, and compares every
 * row with the eager run. This finds stale rows, unwritten rows, rows of another item, and metadata frozen at capture.
 *
 * The limit is on the worst row and not on the batch: one wrong row among thousands hardly moves an average, and it can
 * be another caller's row.
 */
import type { DType } from "@vitgraph/cuda-kernels";
import { type EncoderItem, patchCount, rowElements } from "../item.js";
import { stillGrids } from "../models/still-grids.js";
import type { VisionModel } from "../models/vision-model.js";
import { patchShapeOf } from "./check-item.js";
import type { EncoderPrograms, ItemRows } from "./encoder-programs.js";
import { stageBatch } from "./stage-batch.js";

/** The result of checking one graph. */
export interface GraphCheck {
  readonly budget: number;
  /** Relative L2 of the worst row of the batches that were compared; NaN if a replay had NaN or infinity in it. */
  readonly relativeL2: number;
  /** The worst row: its batch, its item in it, and its token in that. */
  readonly worst: { readonly batch: Composition; readonly item: number; readonly token: number };
  readonly passed: boolean;
}

/** A check that failed. */
export type GraphFailure = Pick<GraphCheck, "budget" | "relativeL2">;

/**
 * `large`: one item as large as the budget. `small`: many items, and one token of padding. `full`: items of unlike sizes;
 * the last one has one token, the budget's last.
 */
export type Composition = "large" | "small" | "full";

/**
 * Largest relative L2 of a row and a level of its columns. Replay and eager run may take kernels of different tile shapes
 * and so round differently.
 *
 * f32: on the CPU a program of any capacity gives the same bits as the eager one (measured with the fixture checkpoint,
 * budgets of 7 to 1024 tokens); other backends get room for the order of sums. bf16: three times the largest row error
 * of the 27-layer tower on an H100, 1.83e-2 in budgets of 64 to 13 824 tokens (`vitgraph bench` prints it).
 */
const ROW_LIMITS: Partial<Record<DType, number>> = { f32: 1e-5, bf16: 0.055 };

/** Approximate number of compared elements of a result: some of every row, others of its neighbours. */
const SAMPLES = 2 ** 22;
/** Items of the batch of small items. */
const MOST_SMALL_ITEMS = 64;

/** One check for each budget, in their order. */
export async function checkGraphs(
  model: VisionModel,
  programs: EncoderPrograms,
  budgets: readonly number[],
  activationDType: DType,
): Promise<readonly GraphCheck[]> {
  const checks: GraphCheck[] = [];
  // Shared by all batches: generating pixels for each of them would take most of the time.
  const pixels = randomPixels(model, Math.max(0, ...budgets));
  for (const budget of budgets) {
    checks.push(await checkGraph(model, programs, budget, pixels, activationDType));
  }
  return checks;
}

async function checkGraph(
  model: VisionModel,
  programs: EncoderPrograms,
  budget: number,
  pixels: Uint8Array,
  dtype: DType,
): Promise<GraphCheck> {
  const limit = ROW_LIMITS[dtype] ?? 0;
  let relativeL2 = 0;
  let worst: GraphCheck["worst"] = { batch: "small", item: 0, token: 0 };
  for (const [batch, sizes] of batchesOf(programs.classesOf(budget))) {
    const items = stillsOf(model, sizes, pixels);
    // A class of rows that is smaller than the model's one grid is never replayed.
    if (items.length === 0) continue;
    const staged = stageBatch(model, items);
    const eager = await programs.run(staged, null);
    await programs.poison();
    const replayed = await programs.run(staged, budget);
    for (const [item, rows] of replayed.items.entries()) {
      const found = worstRow(
        rows,
        eager.items[item] as ItemRows,
        model.outputColumns,
        dtype,
        staged.work.dims.tokens,
      );
      // NaN is the worst of all.
      if (found.relativeL2 > relativeL2 || (Number.isNaN(found.relativeL2) && !Number.isNaN(relativeL2))) {
        relativeL2 = found.relativeL2;
        worst = { batch, item, token: found.token };
      }
    }
    if (!(relativeL2 <= limit)) break;
  }
  return { budget, relativeL2, worst, passed: relativeL2 <= limit };
}

/** The batches of each of a budget's programs. Its own program, the last, replays all three compositions. */
function batchesOf(classes: readonly number[]): readonly [Composition, readonly number[]][] {
  return classes.flatMap((tokens, index): [Composition, readonly number[]][] => {
    const third = Math.floor(tokens / 3);
    const last = Math.min(1, third);
    const small: [Composition, readonly number[]] = ["small", unlikeSizes(Math.max(1, tokens - 1))];
    if (index < classes.length - 1) return [small];
    const full = [third, tokens - third - last, last].filter((size) => size > 0);
    return [["large", [tokens]], small, ["full", full]];
  });
}

/** Sizes of many items, of at least two tokens, in pairs of a larger and a smaller one. */
function unlikeSizes(tokens: number): readonly number[] {
  const pairs = Math.max(1, Math.min(MOST_SMALL_ITEMS, Math.floor(tokens / 3)) >> 1);
  return Array.from({ length: pairs }, (_, pair) => {
    const both = Math.floor(((pair + 1) * tokens) / pairs) - Math.floor((pair * tokens) / pairs);
    const smaller = Math.floor(both / 3);
    return [both - smaller, smaller];
  })
    .flat()
    .filter((size) => size > 0);
}

/** Stills of these sizes over consecutive parts of `pixels`. For a model with one grid, as many as fit the sum of the sizes. */
function stillsOf(model: VisionModel, sizes: readonly number[], pixels: Uint8Array): readonly EncoderItem[] {
  const row = rowElements("u8_still", patchShapeOf(model));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const grids = (model.fixedGrid === undefined ? sizes : [total]).flatMap((size) => stillGrids(model, size));
  let start = 0;
  return grids.map((grid): EncoderItem => {
    const end = start + patchCount(grid) * row;
    const item = { format: "u8_still", grid, pixels: pixels.subarray(start, end) } as const;
    start = end;
    return item;
  });
}

/** Each patch has a brightness and a contrast of its own, so that no two rows of the result are nearly the same. */
function randomPixels(model: VisionModel, tokens: number): Uint8Array {
  const row = rowElements("u8_still", patchShapeOf(model));
  const pixels = new Uint8Array(tokens * model.spatialMergeSize ** 2 * row);
  let state = tokens;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  for (let start = 0; start < pixels.length; start += row) {
    const base = next();
    const contrast = next() / 255;
    for (let i = start; i < start + row; i++) pixels[i] = base + contrast * (next() - base);
  }
  return pixels;
}

/** Compares an item's rows level by level. @param tokens of the whole batch */
function worstRow(
  replayed: ItemRows,
  eager: ItemRows,
  levels: readonly number[],
  dtype: DType,
  tokens: number,
): { readonly relativeL2: number; readonly token: number } {
  const columns = levels.reduce((sum, width) => sum + width, 0);
  if (replayed.firstNonFinite >= 0) {
    return { relativeL2: Number.NaN, token: Math.floor(replayed.firstNonFinite / columns) };
  }
  const [value, reference] = [readerOf(replayed, dtype), readerOf(eager, dtype)];
  const stride = Math.max(1, Math.ceil((tokens * columns) / SAMPLES));
  let worst = { relativeL2: 0, token: 0 };
  for (let token = 0; token * columns < reference.length; token++) {
    let start = token * columns;
    for (const width of levels) {
      let difference = 0;
      let norm = 0;
      for (let at = start + (token % Math.min(stride, width)); at < start + width; at += stride) {
        const expected = reference.at(at);
        const error = value.at(at) - expected;
        difference += error * error;
        norm += expected * expected;
      }
      start += width;
      const relativeL2 = difference === 0 ? 0 : Math.sqrt(difference / norm);
      if (Number.isNaN(relativeL2)) return { relativeL2, token };
      if (relativeL2 > worst.relativeL2) worst = { relativeL2, token };
    }
  }
  return worst;
}

/** Elements as numbers, without widening the whole array. */
function readerOf({ bytes }: ItemRows, dtype: DType): { readonly length: number; at(index: number): number } {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === "f32") {
    const values = new Float32Array(buffer, byteOffset, byteLength / 4);
    return { length: values.length, at: (index) => values[index] as number };
  }
  const bits = new Uint16Array(buffer, byteOffset, byteLength / 2);
  const word = new Uint32Array(1);
  const value = new Float32Array(word.buffer);
  return {
    length: bits.length,
    at: (index) => {
      word[0] = (bits[index] as number) << 16;
      return value[0] as number;
    },
  };
}
