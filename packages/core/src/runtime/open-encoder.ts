/**
 * Opens an encoder: compiles the model for the device, loads the weights, captures a graph for each budget and checks
 * it, and fills the grid cache. `VisionEncoder` runs the result.
 */
import type { CompilationConfigInput, EncoderOptions } from "@vitgraph/config";
import type { Device } from "@vitgraph/cuda-kernels";
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";
import { commonGrids } from "@vitgraph/scheduler";
import { checkGrid, type Grid } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { capacityFor } from "../models/vision-model.js";
import { loadWeights } from "../weights/load-weights.js";
import { type EncoderBudgets, resolveBudgets } from "./budgets.js";
import { checkGridOfModel, takesGrid } from "./check-item.js";
import { compileForDevice } from "./compile-for-device.js";
import type { BatchReport } from "./embedding.js";
import { EncoderPrograms } from "./encoder-programs.js";
import { GridCache } from "./grid-cache.js";
import type { Frame } from "./grid-rows.js";
import { checkGraphs, type GraphCheck, type GraphFailure } from "./self-check.js";

/** Options of `VisionEncoder.create`. */
export interface VisionEncoderOptions {
  readonly model: LoadedModel;
  readonly device: Device;
  /** vLLM's `--compilation-config`, as an object or as JSON text. */
  readonly compilationConfig?: CompilationConfigInput | string;
  /** The largest budget that is inferred, in tokens: vLLM's `max_num_batched_tokens`. */
  readonly maxBatchTokens?: number;
  /** Called with the bytes of weights loaded so far. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Compare each captured graph with the eager run before it is used. Default: true. */
  readonly selfCheck?: boolean;
  /**
   * Device memory for the position embeddings of grids; 0 for none. The first batch with a new grid takes a little
   * longer. Default: 256 MiB on a GPU, 32 MiB elsewhere.
   */
  readonly gridCacheBytes?: number;
  /**
   * Grids whose embeddings are computed at startup, the most frequent first, until the memory is used: a list, or
   * `common` ones (`commonGrids` of the scheduler). Default: `common` on a GPU, `none` elsewhere.
   */
  readonly warmUpGrids?: "common" | "none" | readonly Grid[];
  /** Called with the frames of a batch that were not in the grid cache: see `embeddingCacheMissLine`. */
  readonly onGridMiss?: (frames: readonly Frame[]) => void;
  /** Called when the graphs are captured, if the device captures any. */
  readonly onGraphsCaptured?: (captured: CapturedGraphs) => void;
  /** Called with the result of each graph's self-check: its largest row error, passed or not. */
  readonly onGraphChecked?: (check: GraphCheck) => void;
  /** Called for each graph that failed its self-check; its budget runs eagerly. Default: a warning of the process. */
  readonly onGraphFailure?: (failure: GraphFailure) => void;
  /** Called after each batch: the lines of `encoder_cudagraph_verbose`. */
  readonly onBatch?: (batch: BatchReport) => void;
}

/** The graphs that a device captured at the start, and the memory that is left. */
export interface CapturedGraphs {
  /** The budgets that have one. */
  readonly budgets: readonly number[];
  /** Device memory taken by the graphs and their arenas, and what is free. Includes other users of the device. */
  readonly usedBytes: number;
  readonly freeBytes: number;
}

/**
 * Larger than vLLM's default max_num_batched_tokens: an image of 4096² pixels in tokens of 32² must fit, the largest of the
 * usual processors.
 */
export const DEFAULT_MAX_BATCH_TOKENS = 16_384;
const MIB = 2 ** 20;

/** The parts of an encoder. */
export interface OpenedEncoder {
  readonly budgets: EncoderBudgets;
  readonly programs: EncoderPrograms;
  readonly gridCache: GridCache | undefined;
  /** Graphs that failed their self-check. */
  readonly failures: readonly GraphFailure[];
  readonly startTimes: StartTimes;
  readonly release: () => void;
}

/** @throws VG_ARGUMENT_INVALID for an option; errors of compiling, loading and capturing */
export async function openEncoder(
  options: Omit<VisionEncoderOptions, "compilationConfig">,
  encoder: EncoderOptions,
): Promise<OpenedEncoder> {
  const { model, device, maxBatchTokens = DEFAULT_MAX_BATCH_TOKENS } = options;
  const budgets = resolveBudgets(model.vision, maxBatchTokens, encoder);
  const compiled = compileForDevice(model, device, encoder.compile);
  // The weights' addresses do not depend on the capacity, so the smallest one will do to find them.
  const { plan } = compiled.program(capacityFor(model.vision, 1));
  const warmGrids = gridsToWarmUp(options);
  const weights = device.allocate(plan.arenaBytes.weights);
  let gridCache: GridCache | undefined;
  let programs: EncoderPrograms | undefined;
  const release = () => {
    programs?.[Symbol.dispose]();
    gridCache?.[Symbol.dispose]();
    weights[Symbol.dispose]();
  };
  let failures: readonly GraphFailure[] = [];
  const watch = new Stopwatch();
  try {
    const sizeBytes = options.gridCacheBytes ?? (device.info.backend === "cuda" ? 256 : 32) * MIB;
    gridCache = GridCache.create({ model, device, weights, fuse: encoder.compile, sizeBytes });
    programs = new EncoderPrograms(device, compiled, weights, model.vision, gridCache);
    await loadWeights(compiled.fused, plan, model.weights, device, weights, options.onProgress);
    watch.lap("loadMs");
    if (budgets.cudagraph)
      failures = await prepareGraphs(options, programs, budgets.limits.tokenBudgets, watch);
    gridCache?.resetCounts();
    await gridCache?.warmUp(warmGrids);
    watch.lap("warmUpMs");
  } catch (error) {
    release();
    throw error;
  }
  return { budgets, programs, gridCache, failures, startTimes: watch.laps, release };
}

const OPTIONS = {
  model: true,
  device: true,
  compilationConfig: true,
  maxBatchTokens: true,
  onProgress: true,
  selfCheck: true,
  gridCacheBytes: true,
  warmUpGrids: true,
  onGridMiss: true,
  onGraphsCaptured: true,
  onGraphChecked: true,
  onGraphFailure: true,
  onBatch: true,
} satisfies Record<keyof VisionEncoderOptions, true>;

export function checkEncoderOptions(options: VisionEncoderOptions): void {
  checkOptions("VisionEncoder.create", options, Object.keys(OPTIONS));
  const { model, device } = options;
  if (typeof model === "object" && model !== null && "vision" in model) {
    if (typeof device === "object" && device !== null && "load" in device) return;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `device is ${describe(device)}`, {
      remedy: "pass a device from createDevice",
    });
  }
  throw new VitgraphError("VG_ARGUMENT_INVALID", `model is ${describe(model)}`, {
    remedy: "pass a model from loadModel",
  });
}

/** Captures the budgets and checks the graphs; one that fails is given up and reported. */
async function prepareGraphs(
  {
    model,
    device,
    selfCheck = true,
    onGraphsCaptured,
    onGraphChecked,
    onGraphFailure = warnOfGraphFailure,
  }: Omit<VisionEncoderOptions, "compilationConfig">,
  programs: EncoderPrograms,
  tokenBudgets: readonly number[],
  watch: Stopwatch,
): Promise<readonly GraphFailure[]> {
  const before = device.memory().freeBytes;
  const { captured, measureMs } = await programs.prepare(tokenBudgets);
  const { freeBytes } = device.memory();
  if (captured.length > 0)
    onGraphsCaptured?.({ budgets: captured, usedBytes: before - freeBytes, freeBytes });
  watch.lap("captureMs");
  watch.move("captureMs", "measureMs", measureMs);
  if (!selfCheck) return [];
  const checks = await checkGraphs(model.vision, programs, captured, device.activationDType);
  const failures = checks.filter(({ passed }) => !passed);
  for (const check of checks) onGraphChecked?.(check);
  for (const { budget, relativeL2 } of failures) {
    programs.drop(budget);
    onGraphFailure({ budget, relativeL2 });
  }
  watch.lap("checkMs");
  return failures;
}

/** @throws VG_ITEM_INVALID where the user's list has a grid that the model does not encode. */
function gridsToWarmUp({
  model,
  device,
  warmUpGrids,
}: Pick<VisionEncoderOptions, "model" | "device" | "warmUpGrids">): readonly Grid[] {
  const { spatialMergeSize: merge, fixedGrid } = model.vision;
  const chosen = warmUpGrids ?? (device.info.backend === "cuda" ? "common" : "none");
  if (chosen === "none") return [];
  if (chosen === "common") {
    if (fixedGrid !== undefined) return [fixedGrid];
    const merges = ({ h, w }: Grid) => h % merge === 0 && w % merge === 0;
    return commonGrids.filter((grid) => merges(grid) && takesGrid(grid, model.vision));
  }
  for (const grid of chosen) {
    checkGrid(grid, merge);
    checkGridOfModel(grid, model.vision);
  }
  return chosen;
}

/** Durations of the startup phases, in milliseconds; 0 for skipped ones. */
export interface StartTimes {
  /** Compiling, and reading the weights onto the device. */
  readonly loadMs: number;
  /** Autotuning of matrix products; close to 0 if the results were cached. */
  readonly measureMs: number;
  /** Loading the budgets' programs and capturing them. */
  readonly captureMs: number;
  /** The graphs' self-check. */
  readonly checkMs: number;
  /** Filling the grid cache. */
  readonly warmUpMs: number;
}

class Stopwatch {
  readonly laps = { loadMs: 0, measureMs: 0, captureMs: 0, checkMs: 0, warmUpMs: 0 };
  #since = performance.now();

  lap(name: keyof StartTimes): void {
    const now = performance.now();
    this.laps[name] = now - this.#since;
    this.#since = now;
  }

  /** Moves a part of a lap that was timed elsewhere to another lap. */
  move(from: keyof StartTimes, to: keyof StartTimes, milliseconds: number): void {
    this.laps[from] -= milliseconds;
    this.laps[to] += milliseconds;
  }
}

export function warnOfGraphFailure({ budget, relativeL2 }: GraphFailure): void {
  process.emitWarning(
    `the graph of token budget ${budget} differs from the eager run (relative L2 of a row ${relativeL2}): the budget runs eagerly`,
    { code: "VG_GRAPH_FAILED", detail: "Please report this with the output of `vitgraph doctor`." },
  );
}
