/**
 * The interface of a model family: its graph, tensors and layout tables. Each family has its own folder and imports
 * only `graph/`; families do not depend on devices, budgets or batches.
 */
import { type ItemSpec, itemSpecOfGrid } from "@vitgraph/scheduler";
import type { Graph } from "../graph/graph.js";
import type { DimCounts } from "../graph/ops.js";
import type { ImageProcessor } from "../images/image-processor.js";
import { type Grid, type GridPart, tokenCount } from "../item.js";
import type { PatchTables } from "./patch-tables.js";

/** The tables that depend only on an item's grid. */
export interface GridLayout {
  /** Computed on each call: `LayoutCache` caches them. */
  patchTables(): PatchTables;
  /** Rows per attention segment, for each segment list of the graph: patches, or rows of merged ones. */
  readonly segments: Readonly<Partial<Record<SegmentList, readonly number[]>>>;
  /** i32 [patches]: the item's patch of each tower row. Absent if both have the same order. */
  readonly patchOrder?: Int32Array;
  /** i32 [tokens]: the tower's token of each output row. For graphs with the input `token_order`. */
  readonly tokenOrder?: Int32Array;
  /**
   * i32 [rows]: the patch of each tower row, for towers with more rows than patches: a negative value is a learned row,
   * −1 the first.
   */
  readonly rowSources?: Int32Array;
  /** i32 [rows, 2]: `positions` of the tower's rows, if learned ones are rotated too. With `rowSources`. */
  readonly rowPositions?: Int32Array;
  /** i32 [patches]: the tower row of each patch. With `rowSources`. */
  readonly patchRows?: Int32Array;
  /** i32 [tokens]: the row of merged patches of each output row, or a learned row, as in `rowSources`. */
  readonly tokenSources?: Int32Array;
  /**
   * Weighted sums of the tower's rows, four each: an output row, or a row of those that the last merge joins to one (the
   * dim `merged`).
   */
  readonly tokenTaps?: { readonly rows: Int32Array; readonly weights: Float32Array };
}

/** Taps of an output resized bilinearly, and of the mean of a chunk's frames. */
export const TOKEN_TAPS = 4;

/** The names of a tower's tensors in checkpoints. */
export interface TensorNames {
  /** Prefixes of the names, the usual one first. */
  readonly prefixes: readonly string[];
  /** Patterns of graph names, each with the replacement that yields the checkpoint's name. */
  readonly renamed?: readonly (readonly [pattern: RegExp, replacement: string])[];
}

/** A vision tower: its dims, its graph, and how a grid becomes rows, tokens and tables. */
export interface VisionModel {
  /** transformers' `model_type`. */
  readonly modelType: string;
  /** config.json's `vision_config`, under transformers' names and with defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly patchSize: number;
  /** The processor file's patch size, if it differs: its class joins several patches. */
  readonly processorPatchSize?: number;
  readonly temporalPatchSize: number;
  readonly channels: number;
  readonly spatialMergeSize: number;
  /**
   * Maximum of each dim per token: a program for n tokens has room for n times as much. An item with more patches than its
   * tokens have room for takes the budget of a longer one.
   */
  readonly dims: DimCounts;
  /** Columns of the result: the merged embedding first, then the deepstack levels. */
  readonly outputColumns: readonly number[];
  /** The smallest budget that vLLM infers for this model, in tokens. */
  readonly minTokenBudget: number;
  /** The largest grid side, in patches. */
  readonly maxGridSide: number;
  /** Maximum frames of an item. Default: no limit. */
  readonly maxFrames?: number;
  /**
   * Frames of a clip that attend to each other and are averaged, so that its chunks of these, the last one shorter, have
   * the rows of one frame each. Default: 1.
   */
  readonly chunkFrames?: number;
  /** The only supported grid of a frame; absent if any is. */
  readonly fixedGrid?: Grid;
  /** The frames of an item are tiles of one image, counted as one frame of a batch. */
  readonly tiled?: boolean;
  /** Items may have a second grid: a thumbnail of another size than the tiles. */
  readonly twoGrids?: boolean;
  /**
   * Tiles of an image of this size, for models whose output depends on it: their items of several tiles have
   * `grid.imageSize`.
   */
  tilesOf?(imageSize: NonNullable<Grid["imageSize"]>): number;
  /** Output rows of a grid. Default: patches / merge². */
  tokensOf?(grid: Grid): number;
  readonly names: TensorNames;
  /** Settings of the image processor that are in config.json. */
  readonly imageSettings?: Partial<ImageProcessor>;
  /** `channelScale` f32 [channels, 2]: how the image processor normalises uint8 pixels, y = u8 · scale + shift. */
  buildGraph(options: { channelScale: Float32Array }): Graph;
  layout(grid: Grid): GridLayout;
}

/** The segment lists of graphs by input name, each with the dim that counts its segments. */
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

/** Output rows of a grid. */
export function answerTokens(model: Pick<VisionModel, "tokensOf" | "spatialMergeSize">, grid: Grid): number {
  return model.tokensOf?.(grid) ?? tokenCount(grid, model.spatialMergeSize);
}

/**
 * The grids of items, from those of their tiles in sequence.
 * @param imageSizes of the images, for a model whose output depends on them
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

/** Columns of an embedding, including those of each deepstack level. */
export function embeddingColumns({ outputColumns }: Pick<VisionModel, "outputColumns">): number {
  return outputColumns.reduce((sum, width) => sum + width, 0);
}

/** An item's size for packing. @throws VG_ITEM_INVALID for a grid that can't be merged */
export function itemSpec(
  model: Pick<VisionModel, "dims" | "tokensOf" | "spatialMergeSize" | "tiled">,
  grid: Grid,
): ItemSpec {
  const { inputSize } = itemSpecOfGrid(grid, model.spatialMergeSize);
  const outputTokens = answerTokens(model, grid);
  // Of a program that has room for the patches.
  const budgetTokens = Math.ceil(inputSize / model.dims.patches);
  return {
    inputSize,
    outputTokens,
    frames: model.tiled ? 1 : grid.t,
    ...(budgetTokens > outputTokens && { budgetTokens }),
  };
}

/** The sizes of a clip's chunks, in frames. */
export function chunksOf({ t }: GridPart, chunkFrames: number): readonly number[] {
  return Array.from({ length: Math.ceil(t / chunkFrames) }, (_, chunk) =>
    Math.min(chunkFrames, t - chunk * chunkFrames),
  );
}

/** Row capacities of a program for this many tokens. */
export function capacityFor({ dims }: Pick<VisionModel, "dims">, tokens: number): DimCounts {
  const scaled = Object.entries(dims).map(([dim, each]) => [dim, Math.ceil(each * tokens)] as const);
  return Object.fromEntries(scaled) as unknown as DimCounts;
}
