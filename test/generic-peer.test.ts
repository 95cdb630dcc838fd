/**
 * The PyTorch peer of every family (benchmarks/peer/generic.py) computes what vitgraph does: else its times say nothing.
 * Needs a Python with torch and safetensors: VITGRAPH_PYTHON, or python3.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  bytesOf,
  createDevice,
  type EncoderItem,
  type Grid,
  imageGrid,
  type LoadedModel,
  loadModel,
  patchCount,
  VisionEncoder,
  writeSafetensors,
} from "@vitgraph/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "vitgraph";
import { createFakeIo } from "vitgraph/testing";
import { fixture, joinEmbeddings } from "./fixtures.js";

const FAMILIES = [
  ...[
    "qwen2-vl",
    "qwen2-5-vl",
    "gemma3",
    "gemma4",
    "gemma4-standardize",
    "gemma4-unified",
    "glm4v",
    "glm-ocr",
  ],
  ...["hunyuan-vl", "idefics3", "internvl", "kimi-k25", "llava", "mistral3", "paddleocr-vl", "pixtral"],
  ...["dots-ocr", "kimi-vl", "llava-onevision1-5", "ernie4-5-vl", "lighton-ocr", "llava-next"],
  ...["granite-vision", "minimax-m3", "step3-vl", "cohere2-vision", "aya-vision", "paligemma", "t5gemma2"],
  "muse-glimmer",
];
const TOLERANCE = 1e-5;
const python = process.env.VITGRAPH_PYTHON ?? "python3";
const usable = spawnSync(python, ["-c", "import torch, safetensors.torch"]).status === 0;
if (!usable) console.warn(`skipped: ${python} has no torch and safetensors`);

describe.skipIf(!usable)("the generic peer", () => {
  let directory: string;
  const errors = new Map<string, { readonly padded: number; readonly exact: number }>();
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-peer-"));
    for (const family of FAMILIES) await writeCase(family, join(directory, family));
    const script = fileURLToPath(new URL("../benchmarks/peer/check_generic.py", import.meta.url));
    const args = [script, ...FAMILIES.map((family) => join(directory, family))];
    const { stdout, stderr, status } = spawnSync(python, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    for (const line of stdout.trim().split("\n")) {
      const { directory: family, ...measured } = JSON.parse(line);
      errors.set(family, measured);
    }
  }, 300_000);
  afterAll(() => rm(directory, { recursive: true }));

  test.each(FAMILIES)("has vitgraph's rows for %s", (family) => {
    const { padded, exact } = errors.get(family)!;
    expect(padded).toBeLessThanOrEqual(TOLERANCE);
    expect(exact).toBeLessThanOrEqual(TOLERANCE);
  });
});

/** Two items of random patches: graph.json and tensors.safetensors, as check_generic.py reads them. */
async function writeCase(family: string, path: string): Promise<void> {
  await mkdir(path);
  const checkpoint = fixture(`models/${family}-tiny`);
  await using model = await loadModel(checkpoint);
  const { patchSize, spatialMergeSize: merge, fixedGrid, tiled } = model.vision;
  const grids = fixedGrid
    ? [fixedGrid, fixedGrid]
    : [
        { t: 1, h: 4 * merge, w: 6 * merge },
        { t: 1, h: merge, w: 2 * merge },
      ];
  const sizes = grids.map(({ h, w }) => ({ height: h * patchSize, width: w * patchSize }));
  const [workload, graph] = [join(path, "workload.json"), join(path, "graph.json")];
  await writeFile(
    workload,
    JSON.stringify({ pair: { sizes: sizes.map(({ height, width }) => [height, width]), budget: 128 } }),
  );
  const io = createFakeIo();
  const once = ["--backend", "cpu", "--threads", "1", "--repetitions", "1", "--warmup", "0"];
  const files = ["--model", checkpoint, "--workload", workload, "--graph-json", graph];
  if ((await main(["bench", ...files, ...once], io)) !== 0) throw new Error(io.err);

  // A tiled model cuts an image into tiles even if a tile holds it.
  const tiles = tiled ? sizes.map((size) => imageGrid(size, model.processor)) : undefined;
  const items = (tiles ?? grids).map((grid): EncoderItem & { format: "normalized" } => {
    const pixelValues = Float32Array.from(
      { length: patchCount(grid) * columnsOf(model) },
      () => Math.random() - 0.5,
    );
    return { format: "normalized", grid, pixelValues };
  });
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({ model, device, compilationConfig: {}, maxBatchTokens: 256 });
  const expected = joinEmbeddings(await encoder.encode(items));
  const patches = items.flatMap(({ grid, pixelValues }) => inTowerOrder(grid, pixelValues, model));
  const weights = [...model.weights].map(async ([name, { dtype, shape, sizeBytes, readSlice }]) => {
    const bytes = new Uint8Array(sizeBytes);
    await readSlice(0, bytes);
    return { name, dtype: dtype as "F32", shape, bytes };
  });
  const f32 = (name: string, values: Float32Array, columns: number) => ({
    name,
    dtype: "F32" as const,
    shape: [values.length / columns, columns],
    bytes: bytesOf(values),
  });
  const outputColumns = model.vision.outputColumns.reduce((sum, columns) => sum + columns, 0);
  await writeSafetensors(join(path, "tensors.safetensors"), [
    ...(await Promise.all(weights)),
    f32("patches", Float32Array.from(patches), columnsOf(model)),
    f32("expected", expected, outputColumns),
  ]);
}

function columnsOf({ vision }: LoadedModel): number {
  return vision.channels * vision.temporalPatchSize * vision.patchSize ** 2;
}

/** The tower's rows, in which the channels come before the frames. */
function inTowerOrder(grid: Grid, pixelValues: Float32Array, model: LoadedModel): number[] {
  const columns = columnsOf(model);
  const { layout, channels, temporalPatchSize: temporal, patchSize, framesFirst } = model.vision;
  const { patchOrder } = layout(grid);
  const area = patchSize ** 2;
  const planes = Array.from({ length: channels * temporal }, (_, plane) => plane);
  const order = framesFirst
    ? planes.map((plane) => (plane % temporal) * channels + Math.floor(plane / temporal))
    : planes;
  return Array.from({ length: patchCount(grid) }, (_, row) => patchOrder?.[row] ?? row).flatMap((row) =>
    order.flatMap((plane) => {
      const start = row * columns + plane * area;
      return [...pixelValues.subarray(start, start + area)];
    }),
  );
}
