/**
 * How busy an engine keeps its device: many callers with an image each, as preprocessed pixels and as JPEG files. Prints
 * how busy the device and JavaScript's thread are, and the processor cores that the process uses.
 *
 *     pnpm bench:load [--backend cpu|cuda] [--arch NAME | --model DIR] [--callers 64] [--seconds 5] [--preprocess N]
 *                     [--image 640x480]... [--from pixels|files]
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import {
  type ArchitectureName,
  EncoderEngine,
  type EngineItem,
  loadDummyModel,
  loadModel,
  processImage,
} from "@vitgraph/core";
import sharp from "sharp";
import { measureLoad } from "vitgraph/testing";

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "cpu" },
    arch: { type: "string", default: "qwen3-vl-8b" },
    model: { type: "string" },
    callers: { type: "string", default: "64" },
    seconds: { type: "string", default: "5" },
    /** Images decoded at once; default: the engine's. */
    preprocess: { type: "string" },
    image: { type: "string", multiple: true, default: ["224x224", "640x480", "1024x768", "1920x1080"] },
    /** Default: both. */
    from: { type: "string" },
  },
});
if (values.from !== undefined && !["pixels", "files"].includes(values.from))
  throw new Error(`--from is ${values.from}: give pixels or files`);
const backend = values.backend as "cpu" | "cuda";
const callers = Number(values.callers);
const seconds = Number(values.seconds);

/** Different images of a size, so that no two calls in a row decode the same bytes. */
const IMAGES = 8;
/** Token budgets up to this. */
const MAX_BATCH_TOKENS = 16_384;

const model =
  values.model === undefined
    ? loadDummyModel(values.arch as ArchitectureName)
    : await loadModel(values.model);
await using engine = await EncoderEngine.create({
  model,
  devices: [{ backend }],
  compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: backend === "cuda" },
  maxBatchTokens: MAX_BATCH_TOKENS,
  // Images repeat, and must be encoded each time.
  outputCacheBytes: 0,
  limits: {
    maxQueuedTokens: Number.POSITIVE_INFINITY,
    maxQueuedItems: Number.POSITIVE_INFINITY,
    ...(values.preprocess === undefined ? {} : { preprocessConcurrency: Number(values.preprocess) }),
  },
});
console.log(`${engine.stats().devices[0]?.name}; ${callers} callers, ${seconds} s each`);
console.log("");
console.log(
  "| image | from | images/s | tokens/s | device busy | JavaScript busy | cores | cores per 100 000 tokens/s |",
);
console.log("|---|---|---:|---:|---:|---:|---:|---:|");
for (const image of values.image) {
  const [width, height] = image.split("x").map(Number) as [number, number];
  const files = await Promise.all(
    Array.from({ length: IMAGES }, async () => new Uint8Array(await drawJpeg(width, height))),
  );
  const items = await Promise.all(files.map((file) => processImage(file, model.processor)));
  const sources: Readonly<Record<string, readonly EngineItem[]>> = {
    pixels: items,
    files: files.map((image) => ({ image })),
  };
  for (const [source, ofSource] of Object.entries(sources)) {
    if (values.from !== undefined && values.from !== source) continue;
    const load = await measure(ofSource);
    const cells = [
      `${width}×${height}`,
      source,
      load.imagesPerSecond.toFixed(0),
      load.tokensPerSecond.toFixed(0),
      `${(100 * load.busy).toFixed(1)} %`,
      `${(100 * load.javascriptBusy).toFixed(0)} %`,
      load.cores.toFixed(1),
      ((1e5 * load.cores) / load.tokensPerSecond).toFixed(1),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

async function measure(items: readonly EngineItem[]) {
  const run = async (calls: number, onCall?: (done: number, total: number) => void) => {
    const itemsOf = (call: number) => [items[call % items.length] as EngineItem];
    const load = await measureLoad(engine, itemsOf, { callers, calls, ...(onCall && { onCall }) });
    if (load === null) throw new Error("the load was stopped");
    return load;
  };
  // How many calls fill the time.
  const { wallMs: firstMs } = await run(callers);
  const calls = Math.max(callers, Math.round((callers * 1000 * seconds) / firstMs));
  let usage = process.cpuUsage();
  let loop = performance.eventLoopUtilization();
  const load = await run(calls, (done, total) => {
    if (done === callers) {
      usage = process.cpuUsage();
      loop = performance.eventLoopUtilization();
    }
    if (done === total) {
      usage = process.cpuUsage(usage);
      loop = performance.eventLoopUtilization(loop);
    }
  });
  const { items: images, tokens, deviceMs, wallMs } = load;
  return {
    imagesPerSecond: (1000 * images) / wallMs,
    tokensPerSecond: (1000 * tokens) / wallMs,
    busy: deviceMs / wallMs,
    javascriptBusy: loop.utilization,
    cores: (usage.user + usage.system) / 1000 / wallMs,
  };
}

/** Noise enlarged to the size: as costly to decode as a photo. */
async function drawJpeg(width: number, height: number): Promise<Buffer> {
  const noise = { type: "gaussian", mean: 128, sigma: 60 } as const;
  const [across, down] = [Math.ceil(width / 4), Math.ceil(height / 4)];
  const small = sharp({ create: { width: across, height: down, channels: 3, background: "grey", noise } });
  const pixels = await small.png().toBuffer();
  return sharp(pixels).resize(width, height, { fit: "fill" }).jpeg({ quality: 85 }).toBuffer();
}
