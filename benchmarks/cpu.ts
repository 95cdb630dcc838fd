/**
 * The whole tower on the CPU backend: tokens and useful GFLOP per second, fused and not, for a few image sizes.
 * `peer/cpu.py` times PyTorch on the same.
 *
 *     pnpm bench:cpu [f32|bf16]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createDevice,
  type EncoderItem,
  graphFlops,
  loadModel,
  stageBatch,
  VisionEncoder,
} from "@vitgraph/core";
import { NINE_LAYERS, writeSyntheticCheckpoint } from "./synthetic-checkpoint.js";

/** Sides in patches of 16 pixels, and how many such images. */
const WORKLOADS = [
  { name: "1 × 224²", images: 1, side: 14 },
  { name: "4 × 224²", images: 4, side: 14 },
  { name: "1 × 448²", images: 1, side: 28 },
  { name: "1 × 1024²", images: 1, side: 64 },
];
const REPETITIONS = 3;

const [, , dtype = "f32"] = process.argv;
if (dtype !== "f32" && dtype !== "bf16") throw new Error(`f32 or bf16, not ${dtype}`);
const directory = await mkdtemp(join(tmpdir(), "vitgraph-bench-"));
try {
  await writeSyntheticCheckpoint(directory, NINE_LAYERS);
  await using model = await loadModel(directory);
  using device = createDevice({ backend: "cpu", dtype });
  console.log(
    `${device.info.name}; ${NINE_LAYERS.depth} layers of the 27-layer tower's shapes, bf16 weights`,
  );
  for (const { name, images, side } of WORKLOADS) {
    const items = Array.from({ length: images }, () => randomImage(side));
    const { work } = stageBatch(model.vision, items);
    const gflop = graphFlops(model.graph, work) / 1e9;
    const columns = [`${work.dims.tokens} tokens`, `${gflop.toFixed(0)} GFLOP`];
    for (const compile of [true, false]) {
      using encoder = await VisionEncoder.create({
        model,
        device,
        compilationConfig: { compile_mm_encoder: compile },
      });
      const times: number[] = [];
      for (let repetition = 0; repetition <= REPETITIONS; repetition++) {
        const [outcome] = await encoder.encode(items);
        if (outcome?.status !== "fulfilled") throw outcome?.reason;
        // The first run touches every page for the first time.
        if (repetition > 0) times.push(outcome.value.batch.durationMs);
      }
      const milliseconds = times.sort((a, b) => a - b)[times.length >> 1]!;
      columns.push(
        `${compile ? "fused" : "unfused"} ${milliseconds.toFixed(0)} ms = ` +
          `${((1000 * work.dims.tokens) / milliseconds).toFixed(0)} tokens/s, ${((1000 * gflop) / milliseconds).toFixed(0)} GFLOP/s`,
      );
    }
    console.log(`${name.padEnd(10)} ${columns.join("   ")}`);
  }
} finally {
  await rm(directory, { recursive: true });
}

function randomImage(side: number): EncoderItem {
  const pixels = Uint8Array.from({ length: side * side * 768 }, (_, index) => (index * 2654435761) >>> 24);
  return { format: "u8_still", grid: { t: 1, h: side, w: side }, pixels };
}
