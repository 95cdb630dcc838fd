/**
 * Stages the inputs of one run: the items' rows, and the tables that map rows to items.
 *
 * Row counts come from the grids, and are checked here against the size of the rows' memory, at the time of use: if a
 * buffer was transferred since the item was checked, its rows would otherwise hold the previous batch's data.
 */
import { PIXEL_FORMATS } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import { budgetTokensOf, type ItemSpec } from "@vitgraph/scheduler";
import type { WorkCounts } from "../graph/ops.js";
import { checkRows, type EncoderItem, type Grid, type PatchShape, patchCount, tokenCount } from "../item.js";
import { PATCH_TABLES, type PatchTables } from "../models/patch-tables.js";
import {
  type ConvolutionInput,
  type GridLayout,
  itemSpec,
  KERNEL_ROWS,
  MODEL_INPUTS,
  SEGMENT_LISTS,
  type SegmentList,
  TOKEN_TAPS,
  type VisionModel,
} from "../models/vision-model.js";
import { bytesOf, concatenate } from "../numerics.js";
import { patchShapeOf } from "./check-item.js";

/** A batch's inputs as bytes, in the order of its items. */
export interface StagedBatch {
  readonly work: WorkCounts;
  /** Tokens of a budget. */
  readonly tokens: number;
  /** Rows of the result that belong to each item, one item after the other. */
  readonly itemTokens: readonly number[];
  /** Only the real rows: later rows on the device are never read. Programs without an input skip it. */
  readonly inputs: readonly StagedInput[];
  readonly grids: readonly Grid[];
  /**
   * The patch tables of the layout, which `inputs` lacks. Computed on demand: programs that use the grid cache do not
   * need them.
   */
  patchTables(): readonly StagedInput[];
}

export interface StagedInput {
  /** Of the input in the model's graph. */
  readonly name: string;
  readonly offsetBytes: number;
  /** An item's rows are not copied here: the device copies them when the batch is submitted. */
  readonly bytes: Uint8Array;
}

/** The properties of a model that staging needs. */
export type BatchLayout = Pick<
  VisionModel,
  | "layout"
  | "dims"
  | "tokensOf"
  | "spatialMergeSize"
  | "channels"
  | "framesFirst"
  | "temporalPatchSize"
  | "patchSize"
>;

/**
 * A batch as a program reads it: pixels, position tables and segment lists of all items, one after the other.
 *
 * @throws VG_ITEM_INVALID where an item's memory does not hold the rows of its grid; VG_ARGUMENT_INVALID for more than
 *   4 GiB of pixels
 */
export function stageBatch(model: BatchLayout, items: readonly EncoderItem[]): StagedBatch {
  const grids = items.map(({ grid }) => grid);
  const layouts = grids.map((grid) => model.layout(grid));
  const specs = grids.map((grid) => itemSpec(model, grid));
  const lists = segmentLists(layouts);
  const counts = countRows(model, grids, layouts, specs);
  const { pixels, patchSources } = stagePixels(model, items, layouts, sum(counts.patches));
  return {
    tokens: sum(specs.map(budgetTokensOf)),
    work: workOf(counts, lists),
    itemTokens: counts.tokens,
    inputs: [
      ...pixels,
      stagedTable(MODEL_INPUTS.patchSources, patchSources),
      ...lists.map(({ name, rows }) => stagedTable(name, cumulative(rows))),
      ...stagedOrder("tokenOrder", layouts, counts.tokens),
      ...stagedOrder("rowSources", layouts, counts.patches),
      ...stagedRowPositions(layouts),
      ...stagedOrder("patchRows", layouts, counts.rows ?? []),
      ...stagedOrder("tokenSources", layouts, counts.merged ?? []),
      ...stagedTokenTaps(layouts, counts.patches),
      ...stagedConvolution("patches", layouts, counts.patches),
      ...stagedConvolution("merged", layouts, counts.merged ?? []),
    ],
    grids,
    patchTables: () => joinTables(layouts.map((layout) => layout.patchTables())),
  };
}

/** The row counts and attention sizes of a run of one item with this grid. */
export function workOfGrid(model: BatchLayout, grid: Grid): WorkCounts {
  const layouts = [model.layout(grid)];
  return workOf(countRows(model, [grid], layouts, [itemSpec(model, grid)]), segmentLists(layouts));
}

/** Rows of each item, in batch order, for each dim that the model has besides those of segment lists. */
interface RowCounts {
  readonly patches: readonly number[];
  readonly tokens: readonly number[];
  readonly rows?: readonly number[];
  readonly merged?: readonly number[];
  readonly [MODEL_INPUTS.patchKernelRows]?: readonly number[];
  readonly [MODEL_INPUTS.mergedKernelRows]?: readonly number[];
}

function countRows(
  model: BatchLayout,
  grids: readonly Grid[],
  layouts: readonly GridLayout[],
  specs: readonly ItemSpec[],
): RowCounts {
  const [first] = layouts;
  const merged = mergedRows(model, grids, layouts);
  return {
    patches: specs.map(({ inputSize }) => inputSize),
    tokens: specs.map(({ outputTokens }) => outputTokens),
    ...(first?.rowSources && { rows: layouts.map(({ rowSources }) => rowSources?.length ?? 0) }),
    ...(merged && { merged }),
    ...(first?.convolutionRows && {
      [MODEL_INPUTS.patchKernelRows]: convolutionRows("patches", layouts),
      [MODEL_INPUTS.mergedKernelRows]: convolutionRows("merged", layouts),
    }),
  };
}

function convolutionRows(reads: ConvolutionInput, layouts: readonly GridLayout[]): readonly number[] {
  return layouts.map(({ convolutionRows }) => convolutionRows?.[reads].length ?? 0);
}

/** Rows of each item after its merge, for models whose tokens are gathered or computed from them. */
function mergedRows(
  model: BatchLayout,
  grids: readonly Grid[],
  layouts: readonly GridLayout[],
): readonly number[] | undefined {
  const [first] = layouts;
  if (first?.tokenTaps) return layouts.map(({ tokenTaps }) => (tokenTaps?.rows.length ?? 0) / TOKEN_TAPS);
  if (first?.convolutionRows) return convolutionRows("patches", layouts).map((rows) => rows / KERNEL_ROWS);
  if (first?.segments.cu_merged_seqlens)
    return layouts.map(({ segments }) => sum(segments.cu_merged_seqlens ?? []));
  if (first?.tokenSources) return grids.map((grid) => tokenCount(grid, model.spatialMergeSize));
  return undefined;
}

function workOf(counts: RowCounts, lists: ReturnType<typeof segmentLists>): WorkCounts {
  const { patches, tokens, ...others } = counts;
  return {
    dims: {
      patches: sum(patches),
      tokens: sum(tokens),
      ...Object.fromEntries(Object.entries(others).map(([dim, rows]) => [dim, sum(rows)])),
      ...Object.fromEntries(lists.map(({ dim, rows }) => [dim, rows.length])),
    },
    attentionPairs: Object.fromEntries(lists.map(({ dim, rows }) => [dim, sumOfSquares(rows)])),
  };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** The segments of all items, for each list that the model has. */
function segmentLists(layouts: readonly GridLayout[]) {
  return Object.entries(SEGMENT_LISTS).flatMap(([name, dim]) => {
    if (layouts[0]?.segments[name as SegmentList] === undefined) return [];
    return [{ name, dim, rows: layouts.flatMap(({ segments }) => segments[name as SegmentList] ?? []) }];
  });
}

function sumOfSquares(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length * length, 0);
}

/**
 * Orders of items, each from 0, as one of the whole batch, for layouts that have it.
 * @param counts of the rows that the order of each item leads into; negative values lead elsewhere
 */
function stagedOrder(
  name: "tokenOrder" | "rowSources" | "patchRows" | "tokenSources",
  layouts: readonly GridLayout[],
  counts: readonly number[],
): readonly StagedInput[] {
  const orders = layouts.flatMap(({ [name]: order }) => (order === undefined ? [] : [order]));
  return orders.length === 0 ? [] : [stagedTable(MODEL_INPUTS[name], joinOrders(orders, counts))];
}

function stagedRowPositions(layouts: readonly GridLayout[]): readonly StagedInput[] {
  const positions = layouts.flatMap(({ rowPositions }) => rowPositions ?? []);
  return positions.length === 0 ? [] : [stagedTable(MODEL_INPUTS.rowPositions, concatenate(positions))];
}

function stagedTokenTaps(layouts: readonly GridLayout[], counts: readonly number[]): readonly StagedInput[] {
  const taps = layouts.flatMap(({ tokenTaps }) => tokenTaps ?? []);
  if (taps.length === 0) return [];
  const rows = joinOrders(
    taps.map(({ rows }) => rows),
    counts,
  );
  return [
    stagedTable(MODEL_INPUTS.tokenTapRows, rows),
    stagedTable(MODEL_INPUTS.tokenTapWeights, concatenate(taps.map(({ weights }) => weights))),
  ];
}

/** @param counts of the rows that the convolution reads, per item */
function stagedConvolution(
  reads: ConvolutionInput,
  layouts: readonly GridLayout[],
  counts: readonly number[],
): readonly StagedInput[] {
  const rows = layouts.flatMap(({ convolutionRows }) => convolutionRows?.[reads] ?? []);
  if (rows.length === 0) return [];
  const name = reads === "patches" ? MODEL_INPUTS.patchKernelRows : MODEL_INPUTS.mergedKernelRows;
  return [stagedTable(name, joinOrders(rows, counts))];
}

/** Each order leads into the rows behind those of the orders before it. */
function joinOrders(orders: readonly Int32Array[], counts: readonly number[]): Int32Array {
  const joined = concatenate(orders);
  let at = 0;
  let start = 0;
  for (const [item, { length }] of orders.entries()) {
    for (const end = at + length; at < end; at++) {
      const row = joined[at] as number;
      if (row >= 0) joined[at] = row + start;
    }
    start += counts[item] as number;
  }
  return joined;
}

/** The tables of several items as those of the whole batch. */
function joinTables(tables: readonly PatchTables[]): readonly StagedInput[] {
  return PATCH_TABLES.flatMap((name) => {
    const parts = tables.flatMap(({ [name]: table }) => (table === undefined ? [] : [table]));
    return parts.length === 0 ? [] : [stagedTable(name, concatenate(parts))];
  });
}

/** A whole input, from its start. */
export function stagedTable(name: string, values: Int32Array | Float32Array): StagedInput {
  return { name, offsetBytes: 0, bytes: bytesOf(values) };
}

/** A patch source is 32 bits: kernels read a larger offset modulo 2³², as the pixels of another patch. */
const MAX_STAGED_BYTES = 2 ** 32;

/** The items' rows as they are, each item on a word boundary, and for each patch its word and format. */
function stagePixels(
  model: BatchLayout,
  items: readonly EncoderItem[],
  layouts: readonly GridLayout[],
  patches: number,
) {
  const shape = patchShapeOf(model);
  const pixels: StagedInput[] = [];
  const patchSources = new Int32Array(patches);
  let patch = 0;
  let start = 0;
  for (const [index, item] of items.entries()) {
    checkRows(item, shape);
    const order = layouts[index]?.patchOrder;
    const bytes =
      model.framesFirst && item.format === "normalized"
        ? bytesOf(withChannelsFirst(item.pixelValues, shape))
        : rowsOf(item);
    if (start + bytes.length > MAX_STAGED_BYTES) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", "the pixels of a batch have more than 4 GiB", {
        remedy: "lower maxBatchTokens, or pass images instead of pixel_values",
        details: { items: items.length, patches },
      });
    }
    pixels.push({ name: MODEL_INPUTS.pixels, offsetBytes: start, bytes });
    const count = patchCount(item.grid);
    const rowBytes = bytes.length / count;
    for (let row = 0; row < count; row++) {
      // Rows start on words, so the two low bits of a byte offset are free for the format.
      patchSources[patch++] = (start + (order?.[row] ?? row) * rowBytes) | PIXEL_FORMATS[item.format];
    }
    start += Math.ceil(bytes.length / 4) * 4;
  }
  return { pixels, patchSources };
}

/** A copy of rows of [temporal, channels, patch, patch] as rows of [channels, temporal, patch, patch]. */
function withChannelsFirst(rows: Float32Array, { channels, temporal, patch }: PatchShape): Float32Array {
  const area = patch ** 2;
  const copy = new Float32Array(rows.length);
  let at = 0;
  for (let row = 0; row < rows.length; row += channels * temporal * area) {
    for (let channel = 0; channel < channels; channel++) {
      for (let frame = 0; frame < temporal; frame++, at += area) {
        const from = row + (frame * channels + channel) * area;
        copy.set(rows.subarray(from, from + area), at);
      }
    }
  }
  return copy;
}

/** The bytes of an item's rows, in the item's own memory. */
export function rowsOf(item: EncoderItem): Uint8Array {
  return item.format === "normalized" ? bytesOf(item.pixelValues) : item.pixels;
}

function cumulative(lengths: readonly number[]): Int32Array {
  const sums = new Int32Array(lengths.length + 1);
  for (const [index, length] of lengths.entries()) sums[index + 1] = (sums[index] as number) + length;
  return sums;
}
