/**
 * The encoder: a checkpoint on a device, ready for items.
 *
 * `encode` validates, packs and runs. An item that cannot be encoded fails alone; the others of the call are answered.
 * Three batches may be under way: while one computes, the next one's pixels arrive and the last one's rows leave.
 */
import { type CompilationConfigInput, encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import type { Device } from "@vitgraph/cuda-kernels";
import { checkOptions, describe, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import {
  type Batch,
  commonGrids,
  type ItemSpec,
  itemSpecOfGrid,
  packGreedyAscending,
} from "@vitgraph/scheduler";
import { checkedList, checkGrid, type EncoderItem, type Grid, tokenCount } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { capacityFor } from "../models/vision-model.js";
import { loadWeights } from "../weights/load-weights.js";
import { type EncoderBudgets, resolveBudgets } from "./budgets.js";
import { checkGridOfModel, checkItemOfModel } from "./check-item.js";
import { compileForDevice } from "./compile-for-device.js";
import { type BatchReport, Embedding } from "./embedding.js";
import { EncoderPrograms, type ItemRows } from "./encoder-programs.js";
import { GridCache } from "./grid-cache.js";
import type { Frame } from "./grid-rows.js";
import { LayoutCache, patchTableBytes } from "./layout-cache.js";
import { checkGraphs, type GraphCheck, type GraphFailure } from "./self-check.js";
import { Semaphore } from "./semaphore.js";
import { stageBatch } from "./stage-batch.js";
import { type EncoderStats, StatsCounter } from "./stats.js";

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
   * Device memory for the position embeddings of grids; 0 for none. A batch of a new grid then takes a little longer than
   * the next one. Default: 256 MiB on a GPU, 32 MiB elsewhere.
   */
  readonly gridCacheBytes?: number;
  /**
   * Grids whose embeddings are made ready at start, the most frequent first, as far as the memory goes: those of a list, or
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

export interface CapturedGraphs {
  /** The budgets that have one. */
  readonly budgets: readonly number[];
  /** Device memory that went to them and what they run over, and what is left. Whoever else uses the device counts, too. */
  readonly usedBytes: number;
  readonly freeBytes: number;
}

/** Per device: one uploading, one computing, one downloading. With two, the device waits for downloads. */
export const BATCHES_IN_FLIGHT = 3;
/** Not vLLM's default max_num_batched_tokens: the largest image of Qwen3-VL's processor must fit. */
export const DEFAULT_MAX_BATCH_TOKENS = 16_384;
const MIB = 2 ** 20;

export class VisionEncoder implements Disposable {
  readonly model: LoadedModel;
  readonly device: Device;
  readonly budgets: EncoderBudgets;
  readonly startTimes: StartTimes;
  readonly #programs: EncoderPrograms;
  readonly #layouts: LayoutCache;
  readonly #gridCache: GridCache | undefined;
  readonly #release: () => void;
  readonly #onBatch: ((batch: BatchReport) => void) | undefined;
  readonly #onGridMiss: ((frames: readonly Frame[]) => void) | undefined;
  readonly #failedGraphs: ReadonlySet<number>;
  readonly #stats: StatsCounter;
  readonly #inFlight = new Semaphore(BATCHES_IN_FLIGHT);
  #batches = 0;
  #disposed = false;

  private constructor(
    options: VisionEncoderOptions,
    budgets: EncoderBudgets,
    programs: EncoderPrograms,
    gridCache: GridCache | undefined,
    failures: readonly GraphFailure[],
    startTimes: StartTimes,
    release: () => void,
  ) {
    this.startTimes = startTimes;
    this.model = options.model;
    this.device = options.device;
    this.budgets = budgets;
    this.#programs = programs;
    this.#layouts = new LayoutCache(options.model.vision, patchTableBytes(options.model.graph));
    this.#gridCache = gridCache;
    this.#release = release;
    this.#onBatch = options.onBatch;
    this.#onGridMiss = options.onGridMiss;
    this.#failedGraphs = new Set(failures.map(({ budget }) => budget));
    this.#stats = new StatsCounter(this.tokenBudgets, [...this.#failedGraphs]);
  }

  /**
   * Compiles the model for the device, loads the weights and makes the budgets' programs.
   * @throws VG_ARGUMENT_INVALID for an option, and what compiling, loading and capturing throw
   */
  static async create(options: VisionEncoderOptions): Promise<VisionEncoder> {
    checkEncoderOptions(options);
    const { model, device, maxBatchTokens = DEFAULT_MAX_BATCH_TOKENS } = options;
    const { config } = parseCompilationConfig(options.compilationConfig ?? {});
    const { compile, ...encoderConfig } = encoderOptions(config);
    const budgets = resolveBudgets(model.vision, maxBatchTokens, encoderConfig);
    const compiled = compileForDevice(model, device, compile);
    // The weights' addresses do not depend on the capacity, so the smallest one will do to find them.
    const { plan } = compiled.program(capacityFor(model.vision, 1));
    const warmFrames = framesToWarmUp(options);
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
      gridCache = GridCache.create({ model, device, weights, fuse: compile, sizeBytes });
      programs = new EncoderPrograms(device, compiled, weights, model.vision, gridCache);
      await loadWeights(compiled.fused, plan, model.weights, device, weights, options.onProgress);
      watch.lap("loadMs");
      if (budgets.cudagraph)
        failures = await prepareGraphs(options, programs, budgets.limits.tokenBudgets, watch);
      gridCache?.resetCounts();
      await gridCache?.warmUp(warmFrames);
      watch.lap("warmUpMs");
    } catch (error) {
      release();
      throw error;
    }
    return new VisionEncoder(options, budgets, programs, gridCache, failures, watch.laps, release);
  }

  /** The budgets that have a program, ascending; none where graphs are off. */
  get tokenBudgets(): readonly number[] {
    if (!this.budgets.cudagraph) return [];
    return this.budgets.limits.tokenBudgets.filter((budget) => !this.#failedGraphs.has(budget));
  }

  /** One outcome for each item, in the items' order. Rejections are VitgraphErrors and concern their item alone. */
  async encode(given: readonly EncoderItem[]): Promise<PromiseSettledResult<Embedding>[]> {
    const items = checkedList("encode", given, "item");
    if (this.#disposed) {
      throw new VitgraphError("VG_DISPOSED", "the encoder has been disposed", { remedy: "create a new one" });
    }
    const outcomes = items.map((item) => this.#refusalOf(item));
    const accepted = outcomes.flatMap((outcome, index) => (outcome === undefined ? [index] : []));
    const specs = accepted.map((index) => this.specOf(items[index] as EncoderItem));
    const batches = this.#pack(specs);
    await Promise.all(
      batches.map(async ({ items: members, budget }) => {
        const indices = members.map((member) => accepted[member] as number);
        const batchItems = indices.map((index) => items[index] as EncoderItem);
        const results = await this.run(batchItems, budget);
        for (const [at, index] of indices.entries()) outcomes[index] = results[at];
      }),
    );
    const settled = outcomes as PromiseSettledResult<Embedding>[];
    this.#stats.failed(settled.filter(({ status }) => status === "rejected").length);
    return settled;
  }

  /** @throws VG_ITEM_INVALID where the item is not one that this model encodes. */
  check(item: EncoderItem): void {
    checkItemOfModel(item, this.model.vision);
  }

  /** What the scheduler packs by. */
  specOf({ grid: { t, h, w } }: EncoderItem): ItemSpec {
    return itemSpecOfGrid([t, h, w], this.model.vision.spatialMergeSize);
  }

  /**
   * Runs items that {@link check} accepted as one batch: replayed under one of {@link tokenBudgets}, or eagerly (`null`).
   * They are checked once more, since their memory is their callers': one whose memory was taken away fails alone.
   * One outcome for each item, in their order; never rejects.
   */
  async run(
    items: readonly EncoderItem[],
    budget: number | null,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    using _slot = await this.#inFlight.acquire();
    const refusals = items.map((item) => this.#refusalOf(item));
    const outcomes = await this.#run(
      items.filter((_, index) => refusals[index] === undefined),
      budget,
    );
    let next = 0;
    return refusals.map((refusal) => refusal ?? (outcomes[next++] as PromiseSettledResult<Embedding>));
  }

  async #run(
    items: readonly EncoderItem[],
    budget: number | null,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    if (items.length === 0) return [];
    try {
      if (this.#disposed)
        throw new VitgraphError("VG_DISPOSED", "the encoder was disposed before this batch ran");
      const staged = stageBatch(this.#layouts, items);
      const result = await this.#programs.run(staged, budget);
      const { tokens } = staged.work.dims;
      const report: BatchReport = {
        index: this.#batches++,
        items: items.length,
        tokens,
        budget,
        waste: budget === null ? 0 : 1 - tokens / budget,
        durationMs: result.durationMs,
      };
      this.#stats.batch(items.length, tokens, budget);
      if (result.missedFrames.length > 0) this.#onGridMiss?.(result.missedFrames);
      this.#onBatch?.(report);
      const { items: rows, columns } = result;
      return items.map((item, index) => this.#outcomeOf(item, rows[index] as ItemRows, columns, report));
    } catch (cause) {
      const reason = toVitgraphError(cause, "VG_DEVICE_FAILED", "the batch failed on the device");
      return items.map(() => ({ status: "rejected", reason }));
    }
  }

  stats(): EncoderStats {
    return { ...this.#stats.snapshot(), grid_cache: this.#gridCache?.stats() ?? null };
  }

  /** What the grid cache has counted so far was no item of a user: a warm-up's, a measurement's. */
  resetGridCounts(): void {
    this.#gridCache?.resetCounts();
  }

  /** For self-checks and tests: everything that a run may write becomes NaN. */
  poison(): Promise<void> {
    return this.#programs.poison();
  }

  /** Batches under way still end; new ones are refused. The device stays the caller's. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
  }

  /** Batches with the budget to replay. Without graphs, and for videos that graphs are not for, that is none. */
  #pack(specs: readonly ItemSpec[]): readonly Pick<Batch, "items" | "budget">[] {
    const { cudagraph, videos, limits } = this.budgets;
    const replayed = specs.map(({ frames = 1 }) => cudagraph && (videos || frames === 1));
    return [true, false].flatMap((replay) => {
      const indices = replayed.flatMap((is, index) => (is === replay ? [index] : []));
      const chosen = indices.map((index) => specs[index] as ItemSpec);
      return packGreedyAscending(chosen, limits).map(({ items, budget }) => ({
        items: items.map((item) => indices[item] as number),
        budget: replay && budget !== null && !this.#failedGraphs.has(budget) ? budget : null,
      }));
    });
  }

  #refusalOf(item: EncoderItem): PromiseSettledResult<Embedding> | undefined {
    try {
      this.check(item);
      return undefined;
    } catch (reason) {
      return { status: "rejected", reason };
    }
  }

  /** An item's rows as its embedding. With NaN or infinity in them it fails, and the others of its batch do not. */
  #outcomeOf(
    { grid }: EncoderItem,
    { bytes, firstNonFinite }: ItemRows,
    columns: number,
    batch: BatchReport,
  ): PromiseSettledResult<Embedding> {
    const dtype = this.device.activationDType === "bf16" ? "bf16" : "f32";
    const tokens = tokenCount(grid, this.model.vision.spatialMergeSize);
    const embedding = new Embedding({ grid, tokens, columns, dtype, bytes, batch });
    if (firstNonFinite < 0) return { status: "fulfilled", value: embedding };
    const row = Math.floor(firstNonFinite / columns);
    const reason = new VitgraphError(
      "VG_OUTPUT_NOT_FINITE",
      `the embedding of a ${grid.t} × ${grid.h} × ${grid.w} item has ${embedding.data[firstNonFinite]} in row ${row}`,
      { remedy: "check the item's pixel values and the checkpoint for NaN", details: { grid } },
    );
    return { status: "rejected", reason };
  }
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

function checkEncoderOptions(options: VisionEncoderOptions): void {
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
  }: VisionEncoderOptions,
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
function framesToWarmUp({ model, device, warmUpGrids }: VisionEncoderOptions): readonly Frame[] {
  const { spatialMergeSize: merge, fixedGrid } = model.vision;
  const chosen = warmUpGrids ?? (device.info.backend === "cuda" ? "common" : "none");
  if (chosen === "none") return [];
  if (chosen === "common") {
    if (fixedGrid !== undefined) return [fixedGrid];
    return commonGrids.map(([, h, w]) => ({ h, w })).filter(({ h, w }) => h % merge === 0 && w % merge === 0);
  }
  for (const grid of chosen) {
    checkGrid(grid, merge);
    checkGridOfModel(grid, model.vision);
  }
  return chosen;
}

/** How long the parts of starting took, in milliseconds; 0 for those that were left out. */
export interface StartTimes {
  /** Compiling, and reading the weights onto the device. */
  readonly loadMs: number;
  /** Finding the fastest way of each matrix product; next to nothing where the answers were remembered. */
  readonly measureMs: number;
  /** Making the budgets' programs and capturing them. */
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

  /** For a part of a lap that someone else has timed. */
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
