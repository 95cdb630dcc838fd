/**
 * Times one workload on an encoder: calls of `encode` with the same items, first one at a time, then several in flight.
 */
import { type EncoderItem, graphFlops, stageBatch, type VisionEncoder } from "@vitgraph/core";
import type { CardSampler, CardState } from "./card-sampler.js";
import type { Workload } from "./workloads.js";

export interface MeasureOptions {
  /** Timed calls; fewer if the time runs out or the user stops. */
  readonly repetitions: number;
  /** Untimed calls before them. */
  readonly warmup: number;
  /** Time limit: a call that would probably exceed it is not started, except for the first. Default: no limit. */
  readonly limitMs?: number;
  /** Polled before every call but the first: true ends the measurement with the calls so far. */
  readonly isStopped?: () => boolean;
  /** Called after every call of the first part, warm-up included. */
  readonly onCall?: (done: number, total: number) => void;
  /** The GPU's sampler, if there is a GPU. */
  readonly card?: CardSampler | undefined;
}

/** One call of `encode`, in milliseconds. */
export interface CallTimes {
  /** Device time, summed over the call's batches. */
  readonly deviceMs: number;
  /** From host pixels to host embeddings: checks, packing, staging, copies and slicing included. */
  readonly endToEndMs: number;
}

export interface ThroughputTimes {
  /** From the end of one call to the end of the next, in milliseconds. */
  readonly callMs: number;
  /** Device time of a call. A device without idle time may run at lower clocks. */
  readonly deviceMs: number;
}

export interface MeasuredBatch {
  readonly items: number;
  readonly tokens: number;
  /** Null if the batch ran eagerly. */
  readonly budget: number | null;
}

export interface MeasuredWorkload extends CallTimes {
  readonly name: string;
  /** [height, width] in pixels. */
  readonly sizes: Workload["sizes"];
  /** Frames of each item; null for images. */
  readonly frames: number | null;
  readonly items: number;
  readonly patches: number;
  readonly tokens: number;
  /** Useful arithmetic in 10⁹ operations: that of the real rows, without padding. */
  readonly gflop: number;
  readonly batches: readonly MeasuredBatch[];
  /** Padding as a share of the replayed budgets' tokens. */
  readonly padding: number;
  /** Useful arithmetic over device time. */
  readonly tflops: number;
  /** The same with three calls in flight; null if there was not enough time. */
  readonly inFlight: ThroughputTimes | null;
  readonly repetitions: readonly CallTimes[];
  /** The GPU during the timed calls, one at a time; null if it was not sampled. */
  readonly card: CardState | null;
}

/** Three calls: one uploads and one downloads while one computes. */
export const CALLS_IN_FLIGHT = 3;
/** The mean of fewer calls is unreliable: two calls can end at the same time. */
const LEAST_CALLS_IN_FLIGHT = 3;

/** `deviceMs` and `endToEndMs` are medians. @throws the error of the first item that fails */
export async function measureWorkload(
  encoder: VisionEncoder,
  workload: Workload,
  items: readonly EncoderItem[],
  {
    repetitions,
    warmup,
    limitMs = Number.POSITIVE_INFINITY,
    isStopped = () => false,
    onCall,
    card,
  }: MeasureOptions,
): Promise<MeasuredWorkload> {
  const { work, flops } = workOf(encoder, items);
  const started = performance.now();
  const elapsedMs = () => performance.now() - started;
  const all: TimedCall[] = [];
  if (warmup > 0) await raiseClocks(encoder, items);
  do {
    all.push(await timeCall(encoder, items));
    onCall?.(all.length, warmup + repetitions);
    // Half of the time is for the calls in flight.
  } while (
    all.length < warmup + repetitions &&
    !isStopped() &&
    elapsedMs() + all.at(-1)!.endToEndMs < limitMs / 2
  );
  // If time ran out, the last warm-up is the only timed call.
  const calls = all.slice(Math.min(warmup, all.length - 1));
  const cardState = card?.between(calls[0]!.startedAt, performance.now()) ?? null;
  const endToEndMs = median(calls.map((call) => call.endToEndMs));
  const callsInTime = Math.min(
    repetitions,
    Math.floor((limitMs - elapsedMs()) / endToEndMs) - CALLS_IN_FLIGHT,
  );
  const inFlight =
    callsInTime < LEAST_CALLS_IN_FLIGHT ? null : await timeInFlight(encoder, items, callsInTime, isStopped);
  const deviceMs = median(calls.map((call) => call.deviceMs));
  const batches = calls[0]!.batches;
  return {
    name: workload.name,
    sizes: workload.sizes,
    frames: workload.frames ?? null,
    items: items.length,
    patches: work.dims.patches,
    tokens: work.dims.tokens,
    gflop: flops / 1e9,
    batches,
    padding: paddingOf(batches),
    deviceMs,
    endToEndMs,
    tflops: flops / deviceMs / 1e9,
    inFlight,
    repetitions: calls.map(({ deviceMs, endToEndMs }) => ({ deviceMs, endToEndMs })),
    card: cardState,
  };
}

/** Useful arithmetic of one call: without padding. */
export function workOf({ model }: VisionEncoder, items: readonly EncoderItem[]) {
  const { work } = stageBatch(model.vision, items);
  return { work, flops: graphFlops(model.graph, work) };
}

/** An idle GPU needs this long to raise its clocks: many calls of a small image, one of a large one. */
const RAISE_CLOCKS_MS = 200;

async function raiseClocks(encoder: VisionEncoder, items: readonly EncoderItem[]): Promise<void> {
  if (encoder.device.info.backend !== "cuda") return;
  for (const started = performance.now(); performance.now() - started < RAISE_CLOCKS_MS; ) {
    await encoder.encode(items);
  }
}

interface TimedCall extends CallTimes {
  /** In the time of `performance.now()`. */
  readonly startedAt: number;
  readonly batches: readonly MeasuredBatch[];
}

async function timeCall(encoder: VisionEncoder, items: readonly EncoderItem[]): Promise<TimedCall> {
  const startedAt = performance.now();
  const outcomes = await encoder.encode(items);
  const endToEndMs = performance.now() - startedAt;
  const reports = new Map(
    outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      const { batch } = outcome.value;
      return [batch.index, batch] as const;
    }),
  );
  const batches = [...reports.values()].sort((a, b) => a.index - b.index);
  return {
    startedAt,
    deviceMs: batches.reduce((sum, { durationMs }) => sum + durationMs, 0),
    endToEndMs,
    batches: batches.map(({ items, tokens, budget }) => ({ items, tokens, budget })),
  };
}

/** Means over a number of calls, after those that fill the pipeline; null if they were stopped. */
async function timeInFlight(
  encoder: VisionEncoder,
  items: readonly EncoderItem[],
  calls: number,
  isStopped: () => boolean,
): Promise<ThroughputTimes | null> {
  const ended: { readonly at: number; readonly deviceMs: number }[] = [];
  const total = calls + CALLS_IN_FLIGHT;
  let begun = 0;
  const keepOneInFlight = async () => {
    while (begun < total && !isStopped()) {
      begun += 1;
      const { deviceMs } = await timeCall(encoder, items);
      ended.push({ at: performance.now(), deviceMs });
    }
  };
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, keepOneInFlight));
  if (ended.length < total) return null;
  const [first, ...timed] = ended.slice(CALLS_IN_FLIGHT - 1, total);
  return {
    callMs: ((timed.at(-1)?.at as number) - (first?.at as number)) / calls,
    deviceMs: timed.reduce((sum, { deviceMs }) => sum + deviceMs, 0) / calls,
  };
}

function paddingOf(batches: readonly MeasuredBatch[]): number {
  const replayed = batches.filter(({ budget }) => budget !== null);
  const capacity = replayed.reduce((sum, { budget }) => sum + (budget as number), 0);
  const used = replayed.reduce((sum, { tokens }) => sum + tokens, 0);
  return capacity === 0 ? 0 : 1 - used / capacity;
}

/** The mean of two middle values, like Python's `statistics.median`, which the peer uses. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}
