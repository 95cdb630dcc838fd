/**
 * The engine under load for a while: many callers at once with images of all sizes, some of them bad, some callers
 * leaving. Every answer is compared with a reference that the encoder computed alone beforehand, or must have been
 * rightly refused. Prints throughput, the event loop's lag and the growth of memory; exits with 1 on a wrong answer.
 *
 *     pnpm bench:soak [--backend cpu|cuda|auto] [--model DIR] [--images DIR] [--devices 1] [--seconds 40] [--requests 20000]
 *         [--callers 64]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  compareWithReference,
  createDevice,
  decodeImage,
  type Embedding,
  EncoderEngine,
  type EncoderItem,
  type EngineItem,
  loadModel,
  processImage,
  processVideo,
  type Raster,
  VisionEncoder,
} from "@vitgraph/core";
import { slopeOf } from "./slope.js";

const fixture = (path: string) => fileURLToPath(new URL(`../test/fixtures/${path}`, import.meta.url));
const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "cpu" },
    model: { type: "string", default: fixture("qwen3-vl-tiny") },
    images: { type: "string", default: fixture("images") },
    devices: { type: "string", default: "1" },
    seconds: { type: "string", default: "40" },
    requests: { type: "string", default: "20000" },
    callers: { type: "string", default: "64" },
  },
});
const backend = values.backend as "cpu" | "cuda" | "auto";
const callers = Number(values.callers);
/** Each of the runs has this much. */
const RUNS = [
  { name: "no output cache", outputCacheBytes: 0 },
  { name: "cache of 64 MiB", outputCacheBytes: 64 * 2 ** 20 },
];
const secondsOfRun = Number(values.seconds) / RUNS.length;
const requestsOfRun = Number(values.requests) / RUNS.length;
const CANCELLED = 0.05;
const BAD = 0.02;
const CONFIG = { compile_mm_encoder: true, cudagraph_mm_encoder: true };
const MAX_BATCH_TOKENS = 4096;
/** Rounding in other company: f32 in its last bits, bf16 by tiles of other shapes. */
const TOLERANCE = { f32: 1e-5, bf16: 5e-2 };
/** Until then buffers grow to what they need. */
const WARM_UP_SHARE = 0.25;
const SAMPLE_MS = 200;
/** A timer of this interval that comes late is the loop's lag. */
const LAG_RESOLUTION_MS = 5;

/** A JPEG that ends in the middle of its header. */
const damaged: EngineItem = {
  image: new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46]),
};

/** Elements of an embedding, about. */
const COMPARED = 4096;

interface Sample {
  readonly item: EngineItem;
  readonly expected: Embedding;
}

interface Tally {
  requests: number;
  items: number;
  tokens: number;
  cancelled: number;
  bad: number;
  wrong: string[];
}

const deviceCount = Number(values.devices);
const devices = Array.from({ length: deviceCount }, (_, ordinal) => ({
  backend,
  threads: 1,
  // One that is named must be there.
  ...(deviceCount === 1 ? {} : { device: ordinal }),
}));
const samples = await makeSamples();
console.log(
  `${samples.length} kinds of items, ${callers} callers, ${100 * CANCELLED} % cancelled, ${100 * BAD} % bad`,
);
const rows: string[][] = [];
const wrong: string[] = [];
for (const { name, outputCacheBytes } of RUNS) {
  const { row, tally } = await soak(name, outputCacheBytes);
  rows.push(row);
  wrong.push(...tally.wrong);
}
printTable(
  [
    "run",
    "s",
    "calls",
    "items",
    "tokens/s",
    "cancelled",
    "bad",
    "wrong",
    "lag p50 ms",
    "lag p99 ms",
    "lag max ms",
    "rss MiB",
    "slope MiB/min",
  ],
  rows,
);
for (const text of wrong.slice(0, 10)) console.log(text);
if (wrong.length > 0) process.exitCode = 1;

async function makeSamples(): Promise<readonly Sample[]> {
  await using model = await loadModel(values.model);
  using oracle = createDevice(devices[0]);
  using encoder = await VisionEncoder.create({ model, device: oracle, maxBatchTokens: MAX_BATCH_TOKENS });
  const made: { item: EngineItem; ready: EncoderItem }[] = [];
  for (const path of [
    "image0_224x224.png",
    "image1_640x427.png",
    "image2_1021x767.png",
    "image3_57x301.png",
    "pillow/420.jpg",
    "pillow/lossy.webp",
  ]) {
    const image = await readFile(join(values.images, path));
    const ready = await processImage(image, model.processor);
    made.push(
      { item: { image }, ready },
      { item: { raster: await decodeImage(image) }, ready },
      { item: ready, ready },
    );
  }
  const frames = Array.from({ length: 4 }, (_, index) => gradient(96, 128, index));
  made.push({ item: { frames }, ready: await processVideo(frames, model.videoProcessor) });
  const found: Sample[] = [];
  for (const { item, ready } of made) {
    const [outcome] = await encoder.encode([ready]);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    found.push({ item, expected: outcome.value });
  }
  return found;
}

function gradient(height: number, width: number, offset: number): Raster {
  const rgb = Uint8Array.from({ length: height * width * 3 }, (_, index) => (index * 7 + offset * 31) & 0xff);
  return { height, width, rgb };
}

async function soak(name: string, outputCacheBytes: number): Promise<{ row: string[]; tally: Tally }> {
  const engine = await EncoderEngine.create({
    model: values.model,
    devices,
    compilationConfig: CONFIG,
    maxBatchTokens: MAX_BATCH_TOKENS,
    outputCacheBytes,
  });
  const tally: Tally = { requests: 0, items: 0, tokens: 0, cancelled: 0, bad: 0, wrong: [] };
  const startedAt = performance.now();
  const endsAt = startedAt + secondsOfRun * 1000;
  const memory: { at: number; rssBytes: number }[] = [];
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  const sampler = setInterval(() => {
    const now = performance.now();
    if (now - startedAt < secondsOfRun * 1000 * WARM_UP_SHARE) return;
    if (memory.length === 0) lag.enable();
    memory.push({ at: now, rssBytes: process.memoryUsage.rss() });
  }, SAMPLE_MS);
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      const next = random(caller + 1);
      while (performance.now() < endsAt && tally.requests < requestsOfRun) {
        tally.requests += 1;
        await request(engine, next, tally);
      }
    }),
  );
  lag.disable();
  clearInterval(sampler);
  const seconds = (performance.now() - startedAt) / 1000;
  const { queue } = engine.stats();
  if (Object.values(queue).some((count) => count !== 0)) {
    tally.wrong.push(`${name}: something is left in the queue: ${JSON.stringify(queue)}`);
  }
  await engine.close();
  const lagMs = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - LAG_RESOLUTION_MS).toFixed(1);
  const last = memory.at(-1)?.rssBytes ?? process.memoryUsage.rss();
  const row = [
    name,
    seconds.toFixed(1),
    String(tally.requests),
    String(tally.items),
    (tally.tokens / seconds).toFixed(0),
    String(tally.cancelled),
    String(tally.bad),
    String(tally.wrong.length),
    lagMs(lag.percentile(50)),
    lagMs(lag.percentile(99)),
    lagMs(lag.max),
    (last / 2 ** 20).toFixed(0),
    slopeOf(memory.map(({ at, rssBytes }) => ({ x: at / 60_000, y: rssBytes / 2 ** 20 }))).toFixed(1),
  ];
  return { row, tally };
}

async function request(engine: EncoderEngine, next: () => number, tally: Tally): Promise<void> {
  const picked = Array.from({ length: 1 + Math.floor(next() * 3) }, () => {
    const sample = pick(next);
    return next() < BAD ? { item: damaged, expected: undefined } : sample;
  });
  const leaves = next() < CANCELLED;
  const controller = new AbortController();
  if (leaves) setTimeout(() => controller.abort(), next() * 50);
  const outcomes = await engine.encode(
    picked.map(({ item }) => item),
    { signal: controller.signal, priority: Math.floor(next() * 3) },
  );
  for (const [at, outcome] of outcomes.entries()) {
    const { expected } = picked[at] as { expected: Embedding | undefined };
    tally.items += 1;
    if (outcome.status === "rejected") {
      const { code } = outcome.reason as { code?: string };
      if (leaves && code === "VG_ABORTED") tally.cancelled += 1;
      else if (expected === undefined && code === "VG_IMAGE_INVALID") tally.bad += 1;
      else tally.wrong.push(`refused without a reason: ${String(outcome.reason)}`);
    } else if (expected === undefined) {
      tally.wrong.push("a damaged image was encoded");
    } else {
      tally.tokens += outcome.value.tokens;
      const problem = differs(outcome.value, expected);
      if (problem !== undefined) tally.wrong.push(problem);
    }
  }
}

/** Large ones as rarely as they are large, so that no kind takes all the time. */
function pick(next: () => number): Sample {
  const weights = samples.map(({ expected }) => 1 / expected.tokens);
  let left = next() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left <= 0) return samples[index] as Sample;
  }
  return samples[0] as Sample;
}

/**
 * Some of the elements, all over the embedding: comparing everything on this thread would be most of what it does, and
 * the lag that is measured here is the engine's.
 */
function differs(actual: Embedding, expected: Embedding): string | undefined {
  if (actual.tokens !== expected.tokens) return `${actual.tokens} tokens, and not ${expected.tokens}`;
  const { relativeL2 } = compareWithReference(thinned(actual), thinned(expected));
  if (relativeL2 <= TOLERANCE[actual.dtype]) return undefined;
  return `an item of ${actual.tokens} tokens differs: relative L2 ${relativeL2}`;
}

function thinned({ bytes, dtype, tokens, columns }: Embedding): Float32Array {
  const count = tokens * columns;
  // Odd, so that it meets every column of a width that is a power of two.
  const stride = Math.max(1, Math.floor(count / COMPARED)) | 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(Math.ceil(count / stride));
  const word = new DataView(new ArrayBuffer(4));
  for (let at = 0; at < values.length; at++) {
    if (dtype === "f32") {
      values[at] = view.getFloat32(4 * at * stride, true);
    } else {
      word.setUint16(2, view.getUint16(2 * at * stride, true), true);
      values[at] = word.getFloat32(0, true);
    }
  }
  return values;
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function printTable(head: readonly string[], body: readonly (readonly string[])[]): void {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...body.map((row) => (row[column] ?? "").length)),
  );
  for (const row of [head, ...body]) {
    console.log(
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    );
  }
}
