/**
 * The encoder: runs batches of one checkpoint on one device.
 *
 * An engine packs the batches and calls `run`. `encode` does all in one call: it checks, packs and runs. An item that
 * fails does not fail the others.
 */
import { type EncoderOptions, encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { type Device, DTYPE_BYTES } from "@vitgraph/cuda-kernels";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import type { ItemSpec, PackItems } from "@vitgraph/scheduler";
import { checkedList, type EncoderItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { itemSpec, outputTokensOf } from "../models/vision-model.js";
import type { EncoderBudgets } from "./budgets.js";
import { checkItemOfModel } from "./check-item.js";
import { clipParts, joinParts } from "./clip-parts.js";
import { type BatchReport, Embedding } from "./embedding.js";
import type { BatchResult, EncoderPrograms, ItemRows } from "./encoder-programs.js";
import type { GridCache } from "./grid-cache.js";
import type { Frame } from "./grid-rows.js";
import { LayoutCache, patchTableBytes } from "./layout-cache.js";
import {
  checkEncoderOptions,
  type OpenedEncoder,
  openEncoder,
  type StartTimes,
  type VisionEncoderOptions,
} from "./open-encoder.js";
import { createPacker } from "./packing.js";
import { Semaphore } from "./semaphore.js";
import { type BatchLayout, stageBatch } from "./stage-batch.js";
import { type EncoderStats, StatsCounter } from "./stats.js";

/** Per device: one uploading, one computing, and several small ones whose results are being copied. */
export const BATCHES_IN_FLIGHT = 6;

/**
 * The encoder of one checkpoint on one device, for one call at a time. Servers use `EncoderEngine`, which batches the items
 * of many callers.
 */
export class VisionEncoder implements Disposable {
  readonly model: LoadedModel;
  readonly device: Device;
  readonly budgets: EncoderBudgets;
  readonly startTimes: StartTimes;
  readonly #programs: EncoderPrograms;
  /** The model, with cached layouts. */
  readonly #layouts: BatchLayout;
  readonly #gridCache: GridCache | undefined;
  readonly #release: () => void;
  readonly #onBatch: ((batch: BatchReport) => void) | undefined;
  readonly #onGridMiss: ((frames: readonly Frame[]) => void) | undefined;
  readonly #failedGraphs: ReadonlySet<number>;
  readonly #stats: StatsCounter;
  readonly #pack: PackItems;
  readonly #inFlight = new Semaphore(BATCHES_IN_FLIGHT);
  #batches = 0;
  #disposed = false;

  private constructor(
    { model, device, onBatch, onGridMiss }: Omit<VisionEncoderOptions, "compilationConfig">,
    { budgets, programs, gridCache, failures, startTimes, release }: OpenedEncoder,
  ) {
    this.startTimes = startTimes;
    this.model = model;
    this.device = device;
    this.budgets = budgets;
    this.#programs = programs;
    const cache = new LayoutCache((grid) => model.vision.layout(grid), patchTableBytes(model.graph));
    this.#layouts = { ...model.vision, layout: (grid) => cache.get(grid) };
    this.#gridCache = gridCache;
    this.#release = release;
    this.#onBatch = onBatch;
    this.#onGridMiss = onGridMiss;
    this.#failedGraphs = new Set(failures.map(({ budget }) => budget));
    this.#pack = createPacker("greedy", budgets);
    this.#stats = new StatsCounter(this.tokenBudgets, [...this.#failedGraphs]);
  }

  /**
   * Compiles the model for the device, loads the weights and prepares the budgets' programs.
   * @throws VG_ARGUMENT_INVALID for an option, VG_CONFIG_INVALID, and errors of compiling, loading and capturing
   */
  static create(options: VisionEncoderOptions): Promise<VisionEncoder> {
    checkEncoderOptions(options);
    const { config } = parseCompilationConfig(options.compilationConfig ?? {});
    return VisionEncoder.open(options, encoderOptions(config));
  }

  /** As {@link create}, with the compilation config parsed and the options checked: an engine's entry point. */
  static async open(
    options: Omit<VisionEncoderOptions, "compilationConfig">,
    encoder: EncoderOptions,
  ): Promise<VisionEncoder> {
    return new VisionEncoder(options, await openEncoder(options, encoder));
  }

  /** The budgets that have a program, ascending; none where graphs are off. */
  get tokenBudgets(): readonly number[] {
    if (!this.budgets.cudagraph) return [];
    return this.budgets.limits.tokenBudgets.filter((budget) => !this.#failedGraphs.has(budget));
  }

  /** The budget that replays a batch packed for `budget`; null if it has no graph and the batch runs eagerly. */
  budgetOf(budget: number | null): number | null {
    return budget !== null && this.tokenBudgets.includes(budget) ? budget : null;
  }

  /**
   * Packs items by vLLM's rule and runs the batches. One outcome for each item, in their order. Rejections are
   * VitgraphErrors and concern their item alone.
   */
  async encode(given: readonly EncoderItem[]): Promise<PromiseSettledResult<Embedding>[]> {
    const items = checkedList("encode", given, "item");
    if (this.#disposed) {
      throw new VitgraphError("VG_DISPOSED", "the encoder has been disposed", { remedy: "create a new one" });
    }
    const outcomes = items.map((item) => this.#refusalOf(item));
    const accepted = items.flatMap((item, index) =>
      outcomes[index] === undefined ? [{ item, index, spec: this.specOf(item) }] : [],
    );
    await Promise.all(
      this.#pack(accepted).map(async (batch) => {
        const results = await this.run(
          batch.items.map(({ item }) => item),
          batch.budget,
        );
        for (const [at, { index }] of batch.items.entries()) outcomes[index] = results[at];
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

  /** The item's size, by which it is packed. */
  specOf({ grid }: EncoderItem): ItemSpec {
    return itemSpec(this.model.vision, grid);
  }

  /**
   * Runs items that {@link check} accepted as one batch, replayed if {@link budgetOf} has a graph for it. Items are checked
   * again, since callers can transfer their memory at any time: such an item fails alone.
   * One outcome for each item, in their order; never rejects.
   * @param signal cancels the parts of a clip that have not started
   */
  async run(
    items: readonly EncoderItem[],
    packedFor: number | null,
    signal?: AbortSignal,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    using _slot = await this.#inFlight.acquire();
    const refusals = items.map((item) => this.#refusalOf(item));
    const outcomes = await this.#run(
      items.filter((_, index) => refusals[index] === undefined),
      this.budgetOf(packedFor),
      signal,
    );
    let next = 0;
    return refusals.map((refusal) => refusal ?? (outcomes[next++] as PromiseSettledResult<Embedding>));
  }

  async #run(
    items: readonly EncoderItem[],
    budget: number | null,
    signal: AbortSignal | undefined,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    if (items.length === 0) return [];
    try {
      let tokens = 0;
      const parts: BatchResult[] = [];
      // One after the other, so that only one has its tables in memory.
      for (const part of this.#partsOf(items)) {
        if (this.#disposed)
          throw new VitgraphError("VG_DISPOSED", "the encoder was disposed before this batch ran");
        // A caller's reason can be anything, and is no error of the device.
        if (signal?.aborted) throw toVitgraphError(signal.reason, "VG_ABORTED", "the item was cancelled");
        const staged = stageBatch(this.#layouts, part);
        tokens += staged.tokens;
        parts.push(await this.#programs.run(staged, budget));
      }
      const result = joinParts(parts, DTYPE_BYTES[this.device.activationDType]);
      const report: BatchReport = {
        index: this.#batches++,
        items: items.length,
        tokens,
        budget,
        padding: budget === null ? 0 : 1 - tokens / budget,
        durationMs: result.durationMs,
      };
      this.#stats.batch(items.length, tokens, budget);
      this.#tell(report, result.missedFrames);
      const { items: rows, columns } = result;
      return items.map((item, index) => this.#outcomeOf(item, rows[index] as ItemRows, columns, report));
    } catch (cause) {
      const reason = toVitgraphError(cause, "VG_DEVICE_FAILED", "the batch failed on the device");
      return items.map(() => ({ status: "rejected", reason }));
    }
  }

  /** Counts of batches, graphs and the grid cache since the start. */
  stats(): EncoderStats {
    return { ...this.#stats.snapshot(), gridCache: this.#gridCache?.stats() ?? null };
  }

  /** Discards the grid cache's counts so far: those of warm-up and measurement. */
  resetGridCounts(): void {
    this.#gridCache?.resetCounts();
  }

  /** For self-checks and tests: fills everything that a run may write with NaN. */
  poison(): Promise<void> {
    return this.#programs.poison();
  }

  /** Batches in flight still finish; new ones are refused. The caller closes the device. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
  }

  /** Informs the caller. What a callback throws is reported: the batch has its answers. */
  #tell(batch: BatchReport, missedFrames: readonly Frame[]): void {
    try {
      if (missedFrames.length > 0) this.#onGridMiss?.(missedFrames);
      this.#onBatch?.(batch);
    } catch (error) {
      process.emitWarning(`a callback of the vision encoder threw: ${String(error)}`, {
        code: "VG_OBSERVER_FAILED",
      });
    }
  }

  /** The batch, or the parts of a clip that is alone in it and too large for one. */
  #partsOf(items: readonly EncoderItem[]): readonly (readonly EncoderItem[])[] {
    if (items.length > 1) return [items];
    const largest = Math.max(...this.budgets.limits.tokenBudgets);
    return clipParts(items[0] as EncoderItem, this.model.vision, largest).map((part) => [part]);
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
    const tokens = outputTokensOf(this.model.vision, grid);
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
