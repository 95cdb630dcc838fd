/**
 * The worker of one device: runs batches on its encoder, estimates its load, and recovers from device errors.
 *
 * A device error fails the batches in flight, with their cause. The worker then accepts no more, waits until the last of
 * them has ended, and opens the device and its encoder again: a bounded number of times, with growing pauses. A batch
 * that succeeds resets the count. The worker owns its device.
 */
import type { Device, DeviceMemory } from "@vitgraph/cuda-kernels";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import type { BatchCost, Clock, PackItems } from "@vitgraph/scheduler";
import type { EncoderItem } from "../item.js";
import type { DeviceState } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import { BATCHES_IN_FLIGHT, type VisionEncoder } from "../runtime/vision-encoder.js";

/** A device with its encoder, cost model and packing rule. */
export interface OpenedDevice {
  readonly device: Device;
  readonly encoder: VisionEncoder;
  readonly cost: BatchCost;
  readonly pack: PackItems;
}

export interface DeviceWorkerOptions {
  /** Position in the engine's list. */
  readonly index: number;
  /** Opens the device and its encoder; called again after a failure. */
  readonly open: () => Promise<OpenedDevice>;
  readonly clock: Clock;
  readonly onChange: (worker: DeviceWorker, cause?: unknown) => void;
}

/** Pause before each attempt to reopen a failed device. A driver takes seconds to reset a GPU. */
const RECOVERY_PAUSES_MS = [100, 1_000, 10_000];
/** The weight of a batch's device time in the expectation of later ones falls to this with each batch after it. */
const MEMORY = 0.9;

export class DeviceWorker {
  readonly index: number;
  readonly #options: DeviceWorkerOptions;
  #opened: OpenedDevice;
  #state: DeviceState = "up";
  #cause: VitgraphError | undefined;
  #outstandingMs = 0;
  /** When the device will have computed the batches in flight. */
  #busyUntil = 0;
  /** Sums over past batches, recent ones with more weight: their device time relative to their estimated cost. */
  #pastMs = { device: 0, cost: 0 };
  #inFlight = 0;
  #batches = 0;
  #attempts = 0;
  #recovery: Promise<void> = Promise.resolve();
  #closed = false;
  #disposed = false;
  #wake: () => void = () => {};
  #onIdle: () => void = () => {};

  private constructor(options: DeviceWorkerOptions, opened: OpenedDevice) {
    this.index = options.index;
    this.#options = options;
    this.#opened = opened;
  }

  static async open(options: DeviceWorkerOptions): Promise<DeviceWorker> {
    return new DeviceWorker(options, await options.open());
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** The error, if the device is not up. */
  get cause(): VitgraphError | undefined {
    return this.#cause;
  }

  get device(): Device {
    return this.#opened.device;
  }

  get encoder(): VisionEncoder {
    return this.#opened.encoder;
  }

  /** Estimated cost of the batches in flight, including those that are computed and whose results are copied. */
  get outstandingMs(): number {
    return this.#outstandingMs;
  }

  /** For how long the device will compute the batches in flight. */
  get busyMs(): number {
    return this.#inFlight === 0 ? 0 : Math.max(0, this.#busyUntil - this.#options.clock.now());
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Number of successful batches. */
  get batches(): number {
    return this.#batches;
  }

  /** Memory of the whole device; null while it is not up, and after {@link close}. */
  get memory(): DeviceMemory | null {
    if (this.#disposed || this.#state !== "up") return null;
    try {
      return this.device.memory();
    } catch {
      // The device has failed, but no batch has noticed yet. Statistics do not report it.
      return null;
    }
  }

  get isIdle(): boolean {
    return this.#state === "up" && this.#inFlight === 0;
  }

  get hasRoom(): boolean {
    return this.#state === "up" && this.#inFlight < BATCHES_IN_FLIGHT;
  }

  get pack(): PackItems {
    return this.#opened.pack;
  }

  /** Estimated milliseconds of a batch that was packed for this budget. */
  costOf(tokens: number, packedFor: number | null): number {
    const cost = this.#opened.cost(tokens, this.encoder.budgetOf(packedFor));
    // A batch may have to run even though its cost is infinite.
    return Number.isFinite(cost) ? cost : 0;
  }

  /** Estimated milliseconds of a batch where it is cheapest; of a full batch for more tokens than one holds. */
  leastCostOf(waiting: number): number {
    const { limits } = this.encoder.budgets;
    const tokens = Math.min(waiting, Math.max(...limits.tokenBudgets));
    const budgets = [null, ...this.encoder.tokenBudgets.filter((budget) => budget >= tokens)];
    const least = Math.min(...budgets.map((budget) => this.#opened.cost(tokens, budget)));
    return Number.isFinite(least) ? least : 0;
  }

  /**
   * One outcome per item, in order. Never rejects.
   * @param signal cancels the parts of a clip that have not started
   */
  async run(
    items: readonly EncoderItem[],
    tokens: number,
    packedFor: number | null,
    signal?: AbortSignal,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    const costMs = this.costOf(tokens, packedFor);
    const expectedMs = this.#expectedMs(costMs);
    this.#busyUntil = this.#options.clock.now() + this.busyMs + expectedMs;
    this.#outstandingMs += costMs;
    this.#inFlight += 1;
    try {
      const outcomes = await this.encoder.run(items, packedFor, signal);
      const failure = deviceFailure(outcomes);
      if (failure !== undefined) {
        if (this.#state === "up") this.#fail(failure);
      } else if (outcomes.some(wasComputed)) {
        this.#batches += 1;
        this.#attempts = 0;
        this.#learn(outcomes, costMs, expectedMs);
      }
      return outcomes;
    } finally {
      this.#outstandingMs -= costMs;
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#onIdle();
    }
  }

  /** The device time of a batch, by its estimated cost and what past batches took. */
  #expectedMs(costMs: number): number {
    const { device, cost } = this.#pastMs;
    return cost > 0 ? (costMs * device) / cost : costMs;
  }

  #learn(outcomes: readonly PromiseSettledResult<Embedding>[], costMs: number, expectedMs: number): void {
    const computed = outcomes.find((outcome) => outcome.status === "fulfilled");
    if (computed === undefined) return;
    const { durationMs } = computed.value.batch;
    this.#busyUntil += durationMs - expectedMs;
    const { device, cost } = this.#pastMs;
    this.#pastMs = { device: MEMORY * device + durationMs, cost: MEMORY * cost + costMs };
  }

  /** Disposes the encoder and the device, after a running attempt to reopen. All batches must have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#recovery;
    this.#dispose();
  }

  #fail(cause: VitgraphError): void {
    this.#change("recovering", cause);
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    try {
      this.#dispose();
    } catch {
      // Disposing a failed device may fail, too; the first error is reported.
    }
    while (!this.#closed) {
      const pauseMs = RECOVERY_PAUSES_MS[this.#attempts];
      if (pauseMs === undefined) {
        this.#change("down", this.#cause);
        return;
      }
      this.#attempts += 1;
      await this.#pause(pauseMs);
      if (this.#closed) return;
      try {
        this.#opened = await this.#options.open();
        this.#disposed = false;
        this.#change("up", undefined);
        return;
      } catch (error) {
        this.#cause = toVitgraphError(error, "VG_DEVICE_FAILED", "the device could not be reopened");
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  #change(state: DeviceState, cause: VitgraphError | undefined): void {
    this.#state = state;
    this.#cause = cause;
    this.#options.onChange(this, cause);
  }

  #dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { encoder, device } = this.#opened;
    try {
      encoder[Symbol.dispose]();
    } finally {
      device[Symbol.dispose]();
    }
  }
}

/** Whether a device computed the item's rows. Rows with NaN are rejected, but were computed. */
export function wasComputed(outcome: PromiseSettledResult<Embedding>): boolean {
  return outcome.status === "fulfilled" || codeOf(outcome) === "VG_OUTPUT_NOT_FINITE";
}

/** Whether the item's callers had left, or the engine was closed, before it was computed. */
export function wasCancelled(outcome: PromiseSettledResult<Embedding>): boolean {
  return CANCELLED.includes(codeOf(outcome));
}

const CANCELLED: readonly (string | undefined)[] = ["VG_ABORTED", "VG_DEADLINE_EXCEEDED", "VG_CLOSED"];

/** The error of a batch whose device failed. Items that were refused at the batch's start have errors of their own. */
function deviceFailure(outcomes: readonly PromiseSettledResult<Embedding>[]): VitgraphError | undefined {
  const failed = outcomes.find((outcome) => codeOf(outcome) === "VG_DEVICE_FAILED");
  return failed?.status === "rejected" ? failed.reason : undefined;
}

function codeOf(outcome: PromiseSettledResult<Embedding>): string | undefined {
  return outcome.status === "rejected" && VitgraphError.is(outcome.reason) ? outcome.reason.code : undefined;
}
