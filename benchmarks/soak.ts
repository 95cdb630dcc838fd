/**
 * The engine under load for a while, with callers that misbehave: they cancel, send hostile and damaged images, write into
 * their answers and inputs, transfer both; and with devices that fail. Every answer is compared with a reference that
 * the encoder computed alone beforehand. Prints throughput, event-loop lag and the growth of memory; exits with 1 on a
 * wrong answer or a refusal without a reason.
 *
 *     pnpm bench:soak [--backend cpu|cuda|auto] [--model DIR] [--images DIR] [--devices 1] [--seconds 40] [--requests 20000]
 *         [--callers 64] [--failures 0.0005]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  compareWithReference,
  createDevice,
  type Device,
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
  videoProcessorOf,
} from "@vitgraph/core";
import type { Executable } from "@vitgraph/cuda-kernels";
import { hostileImages } from "./hostile-images.js";
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
    /** Share of the runs that fail on the device. */
    failures: { type: "string", default: "0.0005" },
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
const HOSTILE = 0.02;
/** Of each way to misuse memory that is shared with the engine. */
const MISUSED = 0.05;
const CONFIG = { compile_mm_encoder: true, cudagraph_mm_encoder: true };
const MAX_BATCH_TOKENS = 4096;
/** Rounding in other company: f32 in its last bits, bf16 by tiles of other shapes. */
const TOLERANCE = { f32: 1e-5, bf16: 5e-2 };
/** Until then buffers grow to what they need. */
const WARM_UP_SHARE = 0.25;
const SAMPLE_MS = 200;
/** A timer of this interval that comes late is the loop's lag. */
const LAG_RESOLUTION_MS = 5;

/** Elements of an embedding, about. */
const COMPARED = 4096;

/** An item with the embedding of it alone, or the code of its refusal. */
interface Sample<Expected = Embedding | string> {
  readonly item: EngineItem;
  readonly expected: Expected;
}

/** Misuse of the caller's own memory while the engine works on it, or after it answered. */
type Misuse = "write input" | "transfer input" | "write answer" | "transfer answer";
const MISUSES: readonly Misuse[] = ["write input", "transfer input", "write answer", "transfer answer"];

interface Tally {
  requests: number;
  items: number;
  tokens: number;
  cancelled: number;
  /** Refused as expected. */
  refused: number;
  /** Answered with the error of a run that was made to fail. */
  failed: number;
  misused: number;
  wrong: string[];
}

const deviceCount = Number(values.devices);
const deviceOptions = Array.from({ length: deviceCount }, (_, ordinal) => ({
  backend,
  threads: 1,
  // A device that is named must exist.
  ...(deviceCount === 1 ? {} : { device: ordinal }),
}));
const failureShare = Number(values.failures);
const { samples, hostile } = await makeSamples();
console.log(
  `${samples.length} kinds of items, ${callers} callers, ${100 * CANCELLED} % cancelled, ${100 * HOSTILE} % hostile, ` +
    `${100 * MISUSED} % of each misuse of memory, ${100 * failureShare} % of the runs fail`,
);
/** Not while an engine starts: a device that fails there is an error of the configuration. */
let injecting = false;
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
    "refused",
    "failed",
    "misused",
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

async function makeSamples(): Promise<{ samples: readonly Sample<Embedding>[]; hostile: readonly Sample[] }> {
  await using model = await loadModel(values.model);
  using oracle = createDevice(deviceOptions[0]);
  using encoder = await VisionEncoder.create({ model, device: oracle, maxBatchTokens: MAX_BATCH_TOKENS });
  const embeddingOf = async (ready: EncoderItem): Promise<Embedding> => {
    const [outcome] = await encoder.encode([ready]);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    return outcome.value;
  };
  const samples: Sample<Embedding>[] = [];
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
    const expected = await embeddingOf(ready);
    samples.push(
      { item: { image }, expected },
      { item: { raster: await decodeImage(image) }, expected },
      { item: ready, expected },
    );
  }
  const frames = Array.from({ length: 4 }, (_, index) => gradient(96, 128, index));
  samples.push({
    item: { frames },
    expected: await embeddingOf(await processVideo(frames, videoProcessorOf(model))),
  });
  const hostile: Sample[] = [];
  for (const { bytes: image } of hostileImages(await readFile(join(values.images, "pillow/420.jpg")))) {
    const expected = await processImage(image, model.processor).then(embeddingOf, ({ code }) => String(code));
    hostile.push({ item: { image }, expected });
  }
  return { samples, hostile };
}

/** The device, whose runs fail now and then. */
function failing(device: Device, next: () => number): Device {
  return new Proxy(device, {
    get(target, key) {
      if (key === "load") {
        return (...args: Parameters<Device["load"]>): Executable => {
          const executable = target.load(...args);
          return new Proxy(executable, {
            get(inner, name) {
              if (name === "submit" && injecting && next() < failureShare) {
                return () => Promise.reject(new Error("a failure that the soak injected"));
              }
              const value = Reflect.get(inner, name, inner);
              return typeof value === "function" ? value.bind(inner) : value;
            },
          });
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function gradient(height: number, width: number, offset: number): Raster {
  const rgb = Uint8Array.from({ length: height * width * 3 }, (_, index) => (index * 7 + offset * 31) & 0xff);
  return { height, width, rgb };
}

async function soak(name: string, outputCacheBytes: number): Promise<{ row: string[]; tally: Tally }> {
  const engine = await EncoderEngine.create({
    model: values.model,
    devices: deviceOptions.map((options, index) => {
      const next = random(1000 + index);
      return () => failing(createDevice(options), next);
    }),
    compilationConfig: CONFIG,
    maxBatchTokens: MAX_BATCH_TOKENS,
    outputCacheBytes,
  });
  injecting = true;
  const tally: Tally = {
    requests: 0,
    items: 0,
    tokens: 0,
    cancelled: 0,
    refused: 0,
    failed: 0,
    misused: 0,
    wrong: [],
  };
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
  injecting = false;
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
    String(tally.refused),
    String(tally.failed),
    String(tally.misused),
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
    const sample = next() < HOSTILE ? (hostile[Math.floor(next() * hostile.length)] as Sample) : pick(next);
    const misuse = MISUSES[Math.floor(next() / MISUSED)];
    // The samples' memory serves all callers: who misuses an input misuses a copy.
    return { ...sample, item: misuse === undefined ? sample.item : structuredClone(sample.item), misuse };
  });
  const leaves = next() < CANCELLED;
  const controller = new AbortController();
  if (leaves) setTimeout(() => controller.abort(), next() * 50);
  const answers = engine.encode(
    picked.map(({ item }) => item),
    { signal: controller.signal, priority: Math.floor(next() * 3) },
  );
  // At once for some, later for others: while it is opened, while it waits, while it is staged.
  if (next() < 0.5) await new Promise((resolve) => setTimeout(resolve, next() * 20));
  for (const { item, misuse } of picked) misuseInput(item, misuse);
  for (const [at, outcome] of (await answers).entries()) {
    const { expected, misuse } = picked[at] as (typeof picked)[number];
    tally.items += 1;
    if (misuse !== undefined) tally.misused += 1;
    const problem = problemOf(outcome, expected, misuse, leaves, tally);
    if (problem !== undefined) tally.wrong.push(problem);
    if (outcome.status === "fulfilled") misuseAnswer(outcome.value, misuse);
  }
}

/** Undefined where the outcome is right, or refused for a reason that there is. */
function problemOf(
  outcome: PromiseSettledResult<Embedding>,
  expected: Embedding | string,
  misuse: Misuse | undefined,
  cancelled: boolean,
  tally: Tally,
): string | undefined {
  const misusedInput = misuse === "write input" || misuse === "transfer input";
  if (outcome.status === "rejected") {
    const { code, cause } = outcome.reason as { code?: string; cause?: Error };
    if (cancelled && code === "VG_ABORTED") tally.cancelled += 1;
    else if (code === "VG_DEVICE_FAILED" && /the soak injected/.test(String(cause))) tally.failed += 1;
    else if (code === expected || (misusedInput && /^VG_(ITEM|IMAGE)_/.test(String(code))))
      tally.refused += 1;
    else return `refused without a reason: ${code} ${outcome.reason}`;
    return undefined;
  }
  tally.tokens += outcome.value.tokens;
  // Half written over, an input is worth whatever it is: its own caller alone may notice.
  if (misuse === "write input") return undefined;
  if (typeof expected === "string") return `encoded what alone is refused with ${expected}`;
  return differs(outcome.value, expected);
}

function misuseInput(item: EngineItem, misuse: Misuse | undefined): void {
  for (const { buffer, byteOffset, byteLength } of memoryOf(item)) {
    if (misuse === "write input") new Uint8Array(buffer, byteOffset, byteLength).fill(0xff);
    if (misuse === "transfer input") structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  }
}

function misuseAnswer({ bytes }: Embedding, misuse: Misuse | undefined): void {
  if (misuse === "write answer") bytes.fill(0xff);
  if (misuse === "transfer answer")
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
}

/** All arrays of the item, a level or two deep. */
function memoryOf(value: unknown): readonly Uint8Array[] {
  if (value instanceof Uint8Array) return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(memoryOf) : [];
}

/** Large ones as rarely as they are large, so that no kind takes all the time. */
function pick(next: () => number): Sample<Embedding> {
  const weights = samples.map(({ expected }) => 1 / expected.tokens);
  let left = next() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left <= 0) return samples[index] as Sample<Embedding>;
  }
  return samples[0] as Sample<Embedding>;
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
