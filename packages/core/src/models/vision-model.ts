/**
 * What a model family answers: its graph, its tensors and its layout tables. Families live in folders of their own
 * and import `graph/` alone; nothing in them knows of devices, budgets or batches.
 */
import { type ItemSpec, itemSpecOfGrid } from "@vitgraph/scheduler";
import type { Graph } from "../graph/graph.js";
import type { DimCounts } from "../graph/ops.js";
import type { ImageProcessor } from "../images/image-processor.js";
import { type Grid, tokenCount } from "../item.js";
import type { PatchTables } from "./patch-tables.js";

/** The tables that depend on an item's grid alone. */
export interface GridLayout {
  /** Made anew at each call: `LayoutCache` keeps them. */
  patchTables(): PatchTables;
  /** Rows of each segment that attends within itself, for each segment list of the graph: patches, or rows of merged ones. */
  readonly segments: Readonly<Partial<Record<SegmentList, readonly number[]>>>;
  /** i32 [patches]: which of the item's patches each row of the tower is. Absent where both have the same order. */
  readonly patchOrder?: Int32Array;
  /** i32 [tokens]: which of the tower's tokens each row of the answer is. For graphs with the input `token_order`. */
  readonly tokenOrder?: Int32Array;
  /**
   * i32 [rows]: which of the patches each row of the tower is, where it has more rows than patches: a negative value names a
   * learned row, −1 the first.
   */
  readonly rowSources?: Int32Array;
  /** i32 [rows, 2]: `positions` of the tower's rows, where learned ones turn, too. Beside `rowSources`. */
  readonly rowPositions?: Int32Array;
  /** i32 [patches]: the tower's row of each patch. Beside `rowSources`. */
  readonly patchRows?: Int32Array;
  /** i32 [tokens]: which row of merged patches each row of the answer is, or a learned row, as in `rowSources`. */
  readonly tokenSources?: Int32Array;
  /** Which rows of merged patches each row of the answer is a weighted sum of: [tokens, {@link TOKEN_TAPS}]. */
  readonly tokenTaps?: { readonly rows: Int32Array; readonly weights: Float32Array };
}

/** Taps of an answer whose rows are resized bilinearly. */
export const TOKEN_TAPS = 4;

/** How checkpoints name a tower's tensors. */
export interface TensorNames {
  /** What stands before the names, the usual one first. */
  readonly prefixes: readonly string[];
  /** Patterns of the graph's names, each with the replacement that gives the checkpoint's. */
  readonly renamed?: readonly (readonly [pattern: RegExp, replacement: string])[];
}

export interface VisionModel {
  /** transformers' `model_type`. */
  readonly modelType: string;
  /** What config.json's `vision_config` says, under transformers' names and with its defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly patchSize: number;
  /** The processor file's, where it is another one: its class joins several of them. */
  readonly processorPatchSize?: number;
  readonly temporalPatchSize: number;
  readonly channels: number;
  readonly spatialMergeSize: number;
  /** For each dim of the graph, the most of it that one token brings: a program for n tokens has room for n times as much. */
  readonly dims: DimCounts;
  /** Columns of the result: the merged embedding first, then the deepstack levels. */
  readonly outputColumns: readonly number[];
  /** The smallest budget that vLLM infers for this model, in tokens. */
  readonly minTokenBudget: number;
  /** The largest grid side, in patches. */
  readonly maxGridSide: number;
  /** The most frames of an item. Default: no limit. */
  readonly maxFrames?: number;
  /** The only grid of a frame that the model takes; absent where it takes any. */
  readonly fixedGrid?: Grid;
  /** The frames of an item are tiles of one image, which count as one frame of a batch. */
  readonly tiled?: boolean;
  /** Items may have a second grid: a thumbnail of another size than the tiles. */
  readonly twoGrids?: boolean;
  /**
   * Tiles of an image of this size, for models whose answer depends on it: their items of several tiles have
   * `grid.imageSize`.
   */
  tilesOf?(imageSize: NonNullable<Grid["imageSize"]>): number;
  /** Rows of the answer for a grid. Default: patches / merge². */
  tokensOf?(grid: Grid): number;
  readonly names: TensorNames;
  /** Settings of the image processor that are in config.json. */
  readonly imageSettings?: Partial<ImageProcessor>;
  /** `channelScale` f32 [channels, 2]: how the image processor normalises uint8 pixels, y = u8 · scale + shift. */
  buildGraph(options: { channelScale: Float32Array }): Graph;
  layout(grid: Grid): GridLayout;
}

/** The segment lists that graphs read, by the names of their inputs, each with the dim that counts its segments. */
export const SEGMENT_LISTS = {
  cu_seqlens: "segments",
  cu_window_seqlens: "windows",
  cu_merged_seqlens: "merged_segments",
} as const;
export type SegmentList = keyof typeof SEGMENT_LISTS;

/** Names of the other buffers that the host fills before each run. A graph has those that its model needs. */
export const MODEL_INPUTS = {
  /** u8: the patches, in the formats of `PIXEL_FORMATS`. */
  pixels: "pixels",
  patchSources: "patch_sources",
  tokenOrder: "token_order",
  rowSources: "row_sources",
  rowPositions: "row_positions",
  patchRows: "patch_rows",
  tokenSources: "token_sources",
  tokenTapRows: "token_tap_rows",
  tokenTapWeights: "token_tap_weights",
} as const;

/** The rows of the answer for a grid. */
export function answerTokens(model: Pick<VisionModel, "tokensOf" | "spatialMergeSize">, grid: Grid): number {
  return model.tokensOf?.(grid) ?? tokenCount(grid, model.spatialMergeSize);
}

/**
 * The grids of items, of those of their tiles one after the other.
 * @param imageSizes of the images, for a model whose answer depends on them
 */
export function joinTiles(
  tiles: readonly Grid[],
  imageSizes: readonly NonNullable<Grid["imageSize"]>[],
  { tilesOf }: Pick<VisionModel, "tilesOf">,
): readonly Grid[] {
  if (tilesOf === undefined) return tiles;
  let start = 0;
  return imageSizes.map((imageSize) => {
    const t = tilesOf(imageSize);
    const grid = { ...(tiles[start] as Grid), t, imageSize };
    start += t;
    return grid;
  });
}

/** Columns of an embedding: the merged embedding's and those of each deepstack level. */
export function embeddingColumns({ outputColumns }: Pick<VisionModel, "outputColumns">): number {
  return outputColumns.reduce((sum, width) => sum + width, 0);
}

/** An item's size, by which it is packed. @throws VG_ITEM_INVALID for a grid that can't be merged */
export function itemSpec(
  model: Pick<VisionModel, "tokensOf" | "spatialMergeSize" | "tiled">,
  grid: Grid,
): ItemSpec {
  const { inputSize } = itemSpecOfGrid(grid, model.spatialMergeSize);
  return { inputSize, outputTokens: answerTokens(model, grid), frames: model.tiled ? 1 : grid.t };
}

/** Rows of a program for so many tokens. */
export function capacityFor({ dims }: Pick<VisionModel, "dims">, tokens: number): DimCounts {
  const scaled = Object.entries(dims).map(([dim, each]) => [dim, Math.ceil(each * tokens)] as const);
  return Object.fromEntries(scaled) as unknown as DimCounts;
}
