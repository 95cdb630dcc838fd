/**
 * The worker of one device: runs batches on its encoder, estimates its load, and recovers from device errors.
 *
 * A device error fails the batches in flight, with their cause. The worker then accepts no more, waits until the last of
 * them has ended, and opens the device and its encoder again: a bounded number of times, with growing pauses. A batch
 * that succeeds resets the count. The worker owns its device.
 */
import type { Device, DeviceMemory } from "@vitgraph/cuda-kernels";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { type BatchCost, type Clock, cheapestBudget, type PackItems } from "@vitgraph/scheduler";
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
/** By how much the weight of past batches decays with each new one. */
const DECAY = 0.9;

export class DeviceWorker {
  readonly index: number;
  readonly #options: DeviceWorkerOptions;
  #opened: OpenedDevice;
  #state: DeviceState = "up";
  #cause: VitgraphError | undefined;
  #outstandingMs = 0;
  /** Estimated end of the last batch in flight on the device, without the copies of its results. */
  #busyUntil = 0;
  /** Device time and estimated cost of past batches: sums with decaying weights. */
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

  /** Estimated device time left of the batches in flight. */
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
    return finiteCost(this.#opened.cost(tokens, this.encoder.budgetOf(packedFor)));
  }

  /** Estimated milliseconds of a batch of these tokens (a full one, for more) in its cheapest program. */
  leastCostOf(waiting: number): number {
    const tokens = Math.min(waiting, Math.max(...this.encoder.budgets.limits.tokenBudgets));
    return finiteCost(cheapestBudget(tokens, this.encoder.tokenBudgets, this.#opened.cost).cost);
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

  /** A batch's cost, corrected by how long past batches took. */
  #expectedMs(costMs: number): number {
    const { device, cost } = this.#pastMs;
    return cost > 0 ? (costMs * device) / cost : costMs;
  }

  /** Corrects the estimates by the batch's device time. */
  #learn(outcomes: readonly PromiseSettledResult<Embedding>[], costMs: number, expectedMs: number): void {
    const computed = outcomes.find((outcome) => outcome.status === "fulfilled");
    if (computed === undefined) return;
    const { durationMs } = computed.value.batch;
    this.#busyUntil += durationMs - expectedMs;
    const { device, cost } = this.#pastMs;
    this.#pastMs = { device: DECAY * device + durationMs, cost: DECAY * cost + costMs };
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

/** A batch may have to run even though its cost is infinite. */
const finiteCost = (cost: number) => (Number.isFinite(cost) ? cost : 0);

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
