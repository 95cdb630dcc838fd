/**
 * What a model family answers: its graph, its tensors and its layout tables. Families live in folders of their own
 * and import `graph/` alone; nothing in them knows of devices, budgets or batches.
 */
import type { Graph } from "../graph/graph.js";
import type { Grid } from "../item.js";

/** The tables that depend on an item's grid alone. Rows stand in merge-block order. */
export interface GridLayout {
  /** i32 [patches, 4]: row and column of each patch, height and width of its grid. The same for every frame. */
  readonly positions: Int32Array;
  /** Patches of each segment that attends within itself. */
  readonly segments: readonly number[];
}

export interface VisionModel {
  /** transformers' `model_type`. */
  readonly modelType: string;
  /** What config.json's `vision_config` says, under transformers' names and with its defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly patchSize: number;
  readonly temporalPatchSize: number;
  readonly channels: number;
  readonly spatialMergeSize: number;
  /** Columns of the result: the merged embedding first, then the deepstack levels. */
  readonly outputColumns: readonly number[];
  /** The smallest budget that vLLM infers for this model, in tokens. */
  readonly minTokenBudget: number;
  /** Largest grid side, in patches, for which the model has rotary angles. */
  readonly maxGridSide: number;
  /** Prefixes under which checkpoints keep the tower's tensors, newest first. */
  readonly weightPrefixes: readonly string[];
  /** The checkpoint's name, without prefix, of a tensor of the graph. */
  storedName(tensor: string): string;
  /** `channelScale` f32 [channels, 2]: how the image processor normalises uint8 pixels, y = u8 · scale + shift. */
  buildGraph(options: { channelScale: Float32Array }): Graph;
  layout(grid: Grid): GridLayout;
}

/** Names of the buffers that the host fills before each run; every model's graph has these inputs. */
export const MODEL_INPUTS = {
  /** u8: the patches, in the formats of `PIXEL_FORMATS`. */
  pixels: "pixels",
  patchSources: "patch_sources",
  positions: "positions",
  cuSeqlens: "cu_seqlens",
} as const;
