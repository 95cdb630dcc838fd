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
  /** Rows per attention segment, for each segment list of the graph: rows of patches or of merged patches. */
  readonly segments: Readonly<Partial<Record<SegmentList, readonly number[]>>>;
  /** i32 [patches]: the index in the item of the patch in each tower row. Absent if both have the same order. */
  readonly patchOrder?: Int32Array;
  /** i32 [tokens]: index of the tower's token in each output row, for graphs with the input `token_order`. */
  readonly tokenOrder?: Int32Array;
  /**
   * i32 [rows]: the patch in each tower row, for towers with more rows than patches. A negative value is a learned row:
   * −1 the first.
   */
  readonly rowSources?: Int32Array;
  /** i32 [rows, 2]: positions of the tower's rows, if RoPE applies to learned rows too. Requires `rowSources`. */
  readonly rowPositions?: Int32Array;
  /** i32 [patches]: the tower row of each patch. Requires `rowSources`. */
  readonly patchRows?: Int32Array;
  /** i32 [tokens]: the row of merged patches in each output row, or a learned row, as in `rowSources`. */
  readonly tokenSources?: Int32Array;
  /**
   * Weighted sums of four tower rows (`TOKEN_TAPS`). Each sum is an output row, or a row of the dim `merged`, which the
   * last merge joins.
   */
  readonly tokenTaps?: { readonly rows: Int32Array; readonly weights: Float32Array };
  /**
   * For towers with convolutions, i32 [outputs · KERNEL_ROWS]: the rows under the kernel for each of its outputs; −1 is
   * the padding. The first convolution reads the tower's rows and writes rows of the dim `merged`, which the second one
   * reads.
   */
  readonly convolutionRows?: Readonly<Record<ConvolutionInput, Int32Array>>;
}

/** What a convolution reads. */
export type ConvolutionInput = "patches" | "merged";

/** Rows under the kernel of a 3 × 3 convolution. */
export const KERNEL_ROWS = 9;

/** Number of taps of a bilinear resize, and of the mean of a chunk's frames. */
export const TOKEN_TAPS = 4;

/** The names of a tower's tensors in checkpoints. */
export interface TensorNames {
  /** Prefixes of the names, the usual one first. */
  readonly prefixes: readonly string[];
  /** Replacements that turn graph names into checkpoint names. */
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
  /** Rows of `pixel_values` are [temporal, channels, patch, patch]. Default: the channels before the frames. */
  readonly framesFirst?: boolean;
  readonly spatialMergeSize: number;
  /**
   * Capacity of each dim per token: a program for n tokens has n times this capacity. An item with more patches than
   * the capacity of its tokens counts as an item with more tokens.
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
   * Frames per chunk of a clip. The frames of a chunk attend to each other; some models average them, so that a chunk
   * has the output rows of one frame. The last chunk may be shorter. Default: 1.
   */
  readonly chunkFrames?: number;
  /** The only supported grid of a frame; absent if any is. */
  readonly fixedGrid?: Grid;
  /** An image becomes tiles, which count as one frame of a batch. The frames of a clip count each. */
  readonly tiled?: boolean;
  /** Items may have a second grid, for a thumbnail with another size than the tiles. */
  readonly twoGrids?: boolean;
  /**
   * Number of tiles of an image of this size, for models whose output depends on the image size. Items with several
   * tiles have `grid.imageSize`.
   */
  tilesOf?(imageSize: NonNullable<Grid["imageSize"]>): number;
  /** Items may be clips (`grid.isClip`), for models with `tilesOf`. */
  readonly takesClips?: boolean;
  /** Output rows of a grid. Default: patches / merge². */
  tokensOf?(grid: Grid): number;
  readonly names: TensorNames;
  /** Settings of the image processor that are in config.json. */
  readonly imageSettings?: Partial<ImageProcessor>;
  /** `channelScale` f32 [channels, 2]: how the image processor normalises uint8 pixels, y = u8 · scale + shift. */
  buildGraph(options: { channelScale: Float32Array }): Graph;
  /** The tables of an item with this grid. The grid must be within the limits above. */
  layout(grid: Grid): GridLayout;
}

/** The segment lists of graphs by input name, each with the dim that counts its segments. */
export const SEGMENT_LISTS = {
  cu_seqlens: "segments",
  cu_window_seqlens: "windows",
  cu_merged_seqlens: "merged_segments",
} as const;
export type SegmentList = keyof typeof SEGMENT_LISTS;

/**
 * Names of the other buffers that the host fills before each run. A graph has only the buffers that its model needs.
 */
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
  /** Each also names the dim of its rows. */
  patchKernelRows: "patch_kernel_rows",
  mergedKernelRows: "merged_kernel_rows",
} as const;

/** Output rows of a grid. */
export function outputTokensOf(
  model: Pick<VisionModel, "tokensOf" | "spatialMergeSize">,
  grid: Grid,
): number {
  return model.tokensOf?.(grid) ?? tokenCount(grid, model.spatialMergeSize);
}

/**
 * Joins the grids of tiles to one grid per item.
 * @param imageSizes sizes of the images, for a model whose output depends on them
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
  const outputTokens = outputTokensOf(model, grid);
  // The smallest budget of a program with capacity for the patches.
  const budgetTokens = Math.ceil(inputSize / model.dims.patches);
  return {
    inputSize,
    outputTokens,
    frames: model.tiled && !grid.isClip ? 1 : grid.t,
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
