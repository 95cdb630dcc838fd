/**
 * What one caller's load is to another. Exits with 1 where a figure misses its limit.
 *
 *   1. Latency of a small image alone, and beside callers that send hostile and huge images without a pause. The images
 *      of both are resized to the same number of tokens, so that the difference is their decoding. Wanted: at most
 *      twice the usual time.
 *   2. Batches that start between a small image's arrival and its own batch, beside three callers that keep the queue
 *      full. Wanted: at most two.
 *   3. Calls of a fourth caller that are refused where three fill the queue to its limit. Wanted: none.
 *
 *     pnpm bench:callers [--backend cpu|cuda] [--model DIR] [--images DIR] [--seconds 10] [--threads 1]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  EncoderEngine,
  type EncoderEngineOptions,
  type EncoderItem,
  type EngineItem,
  loadModel,
} from "@vitgraph/core";
import { zeroPng } from "@vitgraph/core/testing";
import { VitgraphError } from "@vitgraph/errors";
import { hostileImages } from "./hostile-images.js";

const fixture = (path: string) => fileURLToPath(new URL(`../test/fixtures/${path}`, import.meta.url));
const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "cpu" },
    model: { type: "string", default: fixture("qwen3-vl-tiny") },
    images: { type: "string", default: fixture("images") },
    /** Of each measurement. */
    seconds: { type: "string", default: "10" },
    /** Of the CPU backend. More than one take turns with the decoders where cores are few. */
    threads: { type: "string", default: "1" },
  },
});
const MOST_LATENCY_RATIO = 2;
const MOST_BATCHES_WAITED = 2;
/** 64 tokens, the least of Qwen3-VL's image processor. */
const MAX_PIXELS = 65_536;
const MAX_BATCH_TOKENS = 1024;
/** Calls of each caller that floods. Together they hold more than a few batches. */
const FLOOD_CALLS = 8;
/** Between two calls of the caller that is measured. */
const PAUSE_MS = 20;

await using model = await loadModel(values.model, { mmProcessorKwargs: { max_pixels: MAX_PIXELS } });
const small = { image: await readFile(join(values.images, "image0_224x224.png")) };
const attack: readonly { readonly name: string; readonly items: readonly EngineItem[] }[] = [
  {
    name: "hostile images",
    items: hostileImages(await readFile(join(values.images, "pillow/420.jpg"))).map(({ bytes }) => ({
      image: bytes,
    })),
  },
  {
    name: "PNGs of 36 megapixels",
    items: Array.from({ length: 4 }, () => ({
      image: new Uint8Array(
        zeroPng({ width: 6000, height: 6000, bitDepth: 8, colourType: 2, interlaced: false }),
      ),
    })),
  },
];

const misses: string[] = [];
const check = (name: string, value: number, most: number) => {
  if (value > most) misses.push(`${name}: ${value.toFixed(1)} is above ${most}`);
};
for (const { name, items } of attack) await measureLatency(name, items);
await measureBatches();
await measureAdmission();
for (const miss of misses) console.log(`MISSED ${miss}`);
if (misses.length > 0) process.exitCode = 1;

function createEngine(options: Partial<EncoderEngineOptions> = {}): Promise<EncoderEngine> {
  return EncoderEngine.create({
    model,
    devices: [{ backend: values.backend as "cpu" | "cuda", threads: Number(values.threads) }],
    compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
    maxBatchTokens: MAX_BATCH_TOKENS,
    outputCacheBytes: 0,
    ...options,
  });
}

/** Alone, beside the attack, and alone again: the machine has other work too. */
async function measureLatency(name: string, items: readonly EngineItem[]): Promise<void> {
  await using engine = await createEngine();
  const before = await latencies(engine);
  const stop = keepBusy(engine, [items, items], ["attacker"]);
  const beside = await latencies(engine);
  const answered = await stop();
  const after = await latencies(engine);
  const alone = median([...before, ...after]);
  const ratio = median(beside) / alone;
  console.log(
    `small image alone: ${alone.toFixed(1)} ms; beside ${name} (${answered} answered): ` +
      `median ${median(beside).toFixed(1)} ms, 95 % within ${quantile(beside, 0.95).toFixed(1)} ms: ` +
      `${ratio.toFixed(2)} × the usual time`,
  );
  check(`latency beside ${name}`, ratio, MOST_LATENCY_RATIO);
}

async function latencies(engine: EncoderEngine): Promise<readonly number[]> {
  const measured: number[] = [];
  await repeat(async () => {
    const startedAt = performance.now();
    await one(engine, small, "victim");
    measured.push(performance.now() - startedAt);
  });
  return measured.slice(1);
}

async function measureBatches(): Promise<void> {
  /** Calls of each batch, in the order of their start. */
  const batches: (readonly number[])[] = [];
  const computedMs: number[] = [];
  let lastCall = -1;
  await using engine = await createEngine({
    observers: [
      {
        callStarted: ({ id }) => {
          lastCall = id;
        },
        batchStarted: ({ calls = [] }) => batches.push(calls),
        batchEnded: ({ deviceMs }) => computedMs.push(deviceMs),
      },
    ],
  });
  const large = randomItem(32, 32);
  const stop = keepBusy(engine, Array<EngineItem[]>(FLOOD_CALLS).fill(Array<EngineItem>(8).fill(large)), [
    "a",
    "b",
    "c",
  ]);
  // Until then a batch starts as soon as a call comes.
  while (batches.length < 6) await pause(PAUSE_MS);
  const waited: number[] = [];
  const waitedMs: number[] = [];
  await repeat(async () => {
    const arrivedAt = batches.length;
    const startedAt = performance.now();
    const answer = one(engine, small, "victim");
    const id = lastCall;
    await answer;
    waitedMs.push(performance.now() - startedAt);
    waited.push(batches.findIndex((calls) => calls.includes(id)) - arrivedAt);
  });
  await stop();
  console.log(
    `small image beside three floods: ${median(waited)} batches start before its own (median of ${waited.length}), ` +
      `at most ${Math.max(...waited)}; answered after ${median(waitedMs).toFixed(0)} ms ` +
      `(a batch computes for ${median(computedMs).toFixed(0)} ms)`,
  );
  check("batches waited", Math.max(...waited), MOST_BATCHES_WAITED);
}

async function measureAdmission(): Promise<void> {
  await using engine = await createEngine({ limits: { maxQueuedItems: 96 } });
  const large = randomItem(32, 32);
  const stop = keepBusy(engine, Array<EngineItem[]>(FLOOD_CALLS).fill(Array<EngineItem>(8).fill(large)), [
    "a",
    "b",
    "c",
  ]);
  let calls = 0;
  let refused = 0;
  await repeat(async () => {
    calls += 1;
    await one(engine, small, "victim").catch((error) => {
      if (!VitgraphError.is(error) || error.code !== "VG_QUEUE_FULL") throw error;
      refused += 1;
    });
  });
  await stop();
  console.log(`small image where three floods fill the queue: ${refused} of ${calls} calls refused`);
  check("calls refused", refused, 0);
}

/** Again and again for the time of a measurement, with a pause between. */
async function repeat(work: () => Promise<void>): Promise<void> {
  const endsAt = performance.now() + Number(values.seconds) * 1000;
  while (performance.now() < endsAt) {
    await work();
    await pause(PAUSE_MS);
  }
}

async function one(engine: EncoderEngine, item: EngineItem, caller: string): Promise<void> {
  const [outcome] = await engine.encode([item], { caller });
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
}

/**
 * Each of the callers sends each of the calls again as soon as it is answered, until the returned function is called. That
 * waits for the last answers, and returns the number of items that were answered or refused.
 */
function keepBusy(
  engine: EncoderEngine,
  calls: readonly (readonly EngineItem[])[],
  callers: readonly string[],
): () => Promise<number> {
  let busy = true;
  let answered = 0;
  const send = async (items: readonly EngineItem[], caller: string) => {
    while (busy) {
      const outcomes = await engine.encode(items, { caller }).catch((error) => {
        if (!VitgraphError.is(error) || error.code !== "VG_QUEUE_FULL") throw error;
        return undefined;
      });
      answered += outcomes?.length ?? 0;
      if (outcomes === undefined) await pause(1);
    }
  };
  const ends = Promise.all(callers.flatMap((caller) => calls.map((items) => send(items, caller))));
  return async () => {
    busy = false;
    await ends;
    return answered;
  };
}

function randomItem(h: number, w: number): EncoderItem {
  const { channels, patchSize } = model.vision;
  const pixels = Uint8Array.from(
    { length: h * w * channels * patchSize ** 2 },
    (_, index) => (index * 7919) >> 3,
  );
  return { format: "u8_still", grid: { t: 1, h, w }, pixels };
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
