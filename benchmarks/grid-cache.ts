/**
 * What the grid cache is worth: a batch of grids seen for the first time, the same again, and the same without a cache.
 *
 *     pnpm bench:grid-cache [cpu|cuda] [ARCHITECTURE]
 *
 * End to end is `encode` from pixels to embeddings. "First" forgets every grid before each run. The three take turns, and
 * medians are printed.
 */
import {
  type ArchitectureName,
  createDevice,
  type EncoderItem,
  loadDummyModel,
  VisionEncoder,
} from "@vitgraph/core";

const [backend = "cpu", architecture = "qwen3-vl-8b"] = process.argv.slice(2);
const onGpu = backend === "cuda";
const ROUNDS = onGpu ? 30 : 3;

/** Rows and columns in patches, and how many such images. */
const WORKLOADS = [
  { images: 1, h: 14, w: 14 },
  { images: 1, h: 32, w: 32 },
  // On a CPU each of these would be minutes of the tower, and the embeddings a vanishing share of them.
  ...(onGpu
    ? [
        { images: 16, h: 16, w: 16 },
        { images: 1, h: 64, w: 64 },
        { images: 1, h: 94, w: 144 },
      ]
    : []),
];
const compilationConfig = {
  compile_mm_encoder: true,
  cudagraph_mm_encoder: onGpu,
  ...(onGpu ? { encoder_cudagraph_token_budgets: [64, 256, 1024, 4096] } : {}),
};

const model = loadDummyModel(architecture as ArchitectureName);
using device = createDevice({ backend: onGpu ? "cuda" : "cpu" });
const shared = { model, device, compilationConfig, selfCheck: false, warmUpGrids: "none" } as const;
using cached = await VisionEncoder.create(shared);
using uncached = await VisionEncoder.create({ ...shared, gridCacheBytes: 0 });
console.log(`${device.info.name}; ${architecture}, medians of ${ROUNDS} in ms: end to end (on the device)`);

for (const { images, h, w } of WORKLOADS) {
  const items = Array.from({ length: images }, (_, seed) => randomImage(h, w, seed));
  const runs: Record<string, { total: number[]; device: number[] }> = {};
  const time = async (name: string, encoder: VisionEncoder) => {
    const started = performance.now();
    const [outcome] = await encoder.encode(items);
    const total = performance.now() - started;
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    runs[name] ??= { total: [], device: [] };
    runs[name].total.push(total);
    runs[name].device.push(outcome.value.batch.durationMs);
  };
  for (let round = 0; round <= ROUNDS; round++) {
    await cached.poison();
    await time("first", cached);
    await time("later", cached);
    await time("no cache", uncached);
    // The first round touches every page for the first time.
    if (round === 0) for (const name of Object.keys(runs)) delete runs[name];
  }
  const columns = Object.entries(runs).map(
    ([name, { total, device }]) => `${name} ${median(total).toFixed(3)} (${median(device).toFixed(3)})`,
  );
  console.log(`${`${images} × ${h}×${w}`.padEnd(12)} ${columns.join("   ")}`);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

function randomImage(h: number, w: number, seed: number): EncoderItem {
  const { channels, patchSize } = model.vision;
  const pixels = new Uint8Array(h * w * channels * patchSize ** 2);
  let state = seed + 1;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
  return { format: "u8_still", grid: { t: 1, h, w }, pixels };
}
