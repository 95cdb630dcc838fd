/**
 * Times one workload on an encoder: so many calls of `encode` after a warm-up, each with the same items. First one call at
 * a time, then with several under way.
 */
import { type EncoderItem, graphFlops, stageBatch, type VisionEncoder } from "@vitgraph/core";
import type { CardSampler, CardState } from "./card-sampler.js";
import type { Workload } from "./workloads.js";

export interface MeasureOptions {
  /** Calls that are timed. */
  readonly repetitions: number;
  /** Calls before them that are not. */
  readonly warmup: number;
  /** Called after every call, warm-up included. */
  readonly onCall?: (done: number, total: number) => void;
  /** The GPU's sampler, if there is a GPU. */
  readonly card?: CardSampler;
}

/** One call of `encode`, in milliseconds. */
export interface CallTimes {
  /** The device's own measure, summed over the call's batches. */
  readonly deviceMs: number;
  /** Host pixels to host embeddings, with everything between: checks, packing, staging, copies, slicing. */
  readonly endToEndMs: number;
}

export interface ThroughputTimes {
  /** From the end of one call to the end of the next, in milliseconds. */
  readonly callMs: number;
  /** The device's own measure of a call. A device that never rests may run at lower clocks than one that does. */
  readonly deviceMs: number;
}

export interface MeasuredBatch {
  readonly items: number;
  readonly tokens: number;
  /** Null where the batch ran eagerly. */
  readonly budget: number | null;
}

export interface MeasuredWorkload extends CallTimes {
  readonly name: string;
  /** [height, width] in pixels. */
  readonly sizes: Workload["sizes"];
  /** Of each item; null for images. */
  readonly frames: number | null;
  readonly items: number;
  readonly patches: number;
  readonly tokens: number;
  /** Useful arithmetic, in 10⁹ operations: what the real rows need, without padding. */
  readonly gflop: number;
  readonly batches: readonly MeasuredBatch[];
  /** Share of the replayed budgets' tokens that no item filled. */
  readonly waste: number;
  /** Useful arithmetic over device time. */
  readonly tflops: number;
  /** The same with {@link CALLS_IN_FLIGHT} calls kept under way. */
  readonly inFlight: ThroughputTimes;
  readonly repetitions: readonly CallTimes[];
  /** The GPU during the timed calls, one at a time; null where it was not sampled. */
  readonly card: CardState | null;
}

/** Enough for one to arrive and one to leave while one computes. */
export const CALLS_IN_FLIGHT = 3;

/** `deviceMs` and `endToEndMs` are medians. @throws what the first item that failed failed with */
export async function measureWorkload(
  encoder: VisionEncoder,
  workload: Workload,
  items: readonly EncoderItem[],
  { repetitions, warmup, onCall, card }: MeasureOptions,
): Promise<MeasuredWorkload> {
  const { vision, graph } = encoder.model;
  const { work } = stageBatch(vision, items);
  const flops = graphFlops(graph, work);
  const calls: TimedCall[] = [];
  if (warmup > 0) await raiseClocks(encoder, items);
  let startedAt = performance.now();
  for (let call = 0; call < warmup + repetitions; call++) {
    if (call === warmup) startedAt = performance.now();
    const timed = await timeCall(encoder, items);
    if (call >= warmup) calls.push(timed);
    onCall?.(call + 1, warmup + repetitions);
  }
  const cardState = card?.between(startedAt, performance.now()) ?? null;
  const inFlight = await timeInFlight(encoder, items, repetitions);
  const deviceMs = median(calls.map((call) => call.deviceMs));
  const batches = calls[0]!.batches;
  return {
    name: workload.name,
    sizes: workload.sizes,
    frames: workload.frames ?? null,
    items: items.length,
    patches: work.patches,
    tokens: work.tokens,
    gflop: flops / 1e9,
    batches,
    waste: wasteOf(batches),
    deviceMs,
    endToEndMs: median(calls.map((call) => call.endToEndMs)),
    tflops: flops / deviceMs / 1e9,
    inFlight,
    repetitions: calls.map(({ deviceMs, endToEndMs }) => ({ deviceMs, endToEndMs })),
    card: cardState,
  };
}

/** A GPU that was idle takes a moment until its clocks are up: many calls of a small image, one of a large one. */
const RAISE_CLOCKS_MS = 200;

async function raiseClocks(encoder: VisionEncoder, items: readonly EncoderItem[]): Promise<void> {
  if (encoder.device.info.backend !== "cuda") return;
  for (const started = performance.now(); performance.now() - started < RAISE_CLOCKS_MS; ) {
    await encoder.encode(items);
  }
}

interface TimedCall extends CallTimes {
  readonly batches: readonly MeasuredBatch[];
}

async function timeCall(encoder: VisionEncoder, items: readonly EncoderItem[]): Promise<TimedCall> {
  const started = performance.now();
  const outcomes = await encoder.encode(items);
  const endToEndMs = performance.now() - started;
  const reports = new Map(
    outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      const { batch } = outcome.value;
      return [batch.index, batch] as const;
    }),
  );
  const batches = [...reports.values()].sort((a, b) => a.index - b.index);
  return {
    deviceMs: batches.reduce((sum, { durationMs }) => sum + durationMs, 0),
    endToEndMs,
    batches: batches.map(({ items, tokens, budget }) => ({ items, tokens, budget })),
  };
}

/** Means over so many calls, when those that fill the pipe are done. */
async function timeInFlight(
  encoder: VisionEncoder,
  items: readonly EncoderItem[],
  calls: number,
): Promise<ThroughputTimes> {
  const ended: { readonly at: number; readonly deviceMs: number }[] = [];
  let begun = 0;
  const keepOneUnderWay = async () => {
    while (begun < calls + CALLS_IN_FLIGHT) {
      begun += 1;
      const { deviceMs } = await timeCall(encoder, items);
      ended.push({ at: performance.now(), deviceMs });
    }
  };
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, keepOneUnderWay));
  const [first, ...timed] = ended.slice(CALLS_IN_FLIGHT - 1, CALLS_IN_FLIGHT + calls);
  return {
    callMs: ((timed.at(-1)?.at as number) - (first?.at as number)) / calls,
    deviceMs: timed.reduce((sum, { deviceMs }) => sum + deviceMs, 0) / calls,
  };
}

function wasteOf(batches: readonly MeasuredBatch[]): number {
  const replayed = batches.filter(({ budget }) => budget !== null);
  const capacity = replayed.reduce((sum, { budget }) => sum + (budget as number), 0);
  const used = replayed.reduce((sum, { tokens }) => sum + tokens, 0);
  return capacity === 0 ? 0 : 1 - used / capacity;
}

/** Of two middle values, their mean: as Python's `statistics.median`, which the peer uses. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}
