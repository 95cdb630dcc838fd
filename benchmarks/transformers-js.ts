/**
 * vitgraph's encoder against transformers.js' ONNX vision session of the same weights, in one process and by turns: the
 * encoder alone, and the time from an image's bytes to the first token, by image size. Medians.
 *
 *     pnpm bench:transformers-js [--layers 2] [--repetitions 5] [--sides 224,448,672]
 *
 * The tower has the shapes of Qwen2-VL's, in fewer layers and with narrower rows; the language model behind it is small. Random weights, float32.
 */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  AutoImageProcessor,
  AutoTokenizer,
  env,
  Qwen2VLForConditionalGeneration,
  RawImage,
} from "@huggingface/transformers";
import { compareWithReference, EncoderEngine } from "@vitgraph/core";
import { attachEncoder } from "@vitgraph/transformers";
import sharp from "sharp";
import { writeOnnxModel } from "../test/hosts/onnx-qwen2-vl.js";
import { writeRandomCheckpoint } from "./synthetic-checkpoint.js";

const { values } = parseArgs({
  options: {
    layers: { type: "string", default: "2" },
    repetitions: { type: "string", default: "5" },
    sides: { type: "string", default: "224,448,672" },
  },
});
const repetitions = Number(values.repetitions);
const sides = values.sides.split(",").map(Number);
const IMAGE = "<|vision_start|><|image_pad|><|vision_end|>";

const QWEN2_VL = {
  model_type: "qwen2_vl",
  architectures: ["Qwen2VLForConditionalGeneration"],
  vision_config: {
    depth: Number(values.layers),
    embed_dim: 1280,
    num_heads: 16,
    hidden_size: 512,
    mlp_ratio: 4,
    patch_size: 14,
    in_channels: 3,
    temporal_patch_size: 2,
    spatial_merge_size: 2,
    hidden_act: "quick_gelu",
  },
};
/** Two copies of a still image make a patch's two frames, as in Qwen2-VL's own file. */
const PROCESSOR = {
  image_processor_type: "Qwen2VLImageProcessor",
  ...{ do_convert_rgb: true, do_normalize: true, do_rescale: true, do_resize: true, resample: 3 },
  rescale_factor: 1 / 255,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
  ...{ patch_size: 14, merge_size: 2, temporal_patch_size: 2, min_pixels: 3136, max_pixels: 12_845_056 },
};

const fixture = (name: string): string => fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));
const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;

async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** By turns, so that a machine that slows down slows both. */
async function race(
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
): Promise<[number, number]> {
  const times: [number[], number[]] = [[], []];
  await first();
  await second();
  for (let i = 0; i < repetitions; i++) {
    times[0].push(await time(first));
    times[1].push(await time(second));
  }
  return [median(times[0]), median(times[1])];
}

/** Noise with some structure: pure noise compresses to nothing that a camera makes. */
async function jpeg(side: number): Promise<Buffer> {
  const raw = Buffer.from(Uint8Array.from({ length: (3 * side * side) / 16 }, () => Math.random() * 256));
  const small = sharp(raw, { raw: { width: side / 4, height: side / 4, channels: 3 } });
  return small.resize(side, side).jpeg({ quality: 90 }).toBuffer();
}

const folder = await mkdtemp(join(tmpdir(), "vitgraph-bench-"));
try {
  const checkpoint = join(folder, "checkpoint");
  await writeRandomCheckpoint(checkpoint, QWEN2_VL, "visual.");
  await writeOnnxModel(join(folder, "model"), checkpoint, {
    ...{ vocabSize: 320, image: 300, visionStart: 301, video: 303, end: 299 },
  });
  for (const directory of [checkpoint, join(folder, "model")])
    await writeFile(join(directory, "preprocessor_config.json"), JSON.stringify(PROCESSOR));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await cp(join(fixture("qwen3-vl-chat-tiny"), name), join(folder, "model", name));
  env.allowRemoteModels = false;
  env.localModelPath = folder;
  const options = { dtype: "fp32", device: "cpu", local_files_only: true } as const;
  const load = () => Qwen2VLForConditionalGeneration.from_pretrained("model", options);
  // biome-ignore lint/suspicious/noExplicitAny: transformers.js has no types for encode_image
  const [onnx, host]: any[] = [await load(), await load()];
  const tokenizer = await AutoTokenizer.from_pretrained("model");
  const processor = await AutoImageProcessor.from_pretrained("model");
  await using engine = await EncoderEngine.create({
    model: checkpoint,
    devices: [{ backend: "cpu" }],
    compilationConfig: { compile_mm_encoder: true },
    outputCacheBytes: 0,
  });
  using attachment = attachEncoder(host, engine);

  console.log(
    `${QWEN2_VL.vision_config.depth} layers of Qwen2-VL's tower, float32, ${engine.stats().devices.length} CPU device`,
  );
  console.log(
    "image  tokens | encoder alone: ONNX ms  vitgraph ms  ratio | first token: ONNX ms  vitgraph ms  ratio",
  );
  for (const side of sides) {
    const image = await jpeg(side);
    const inputs = await processor(await RawImage.fromBlob(new Blob([image])));
    const [expected, features] = [await onnx.encode_image(inputs), await host.encode_image(inputs)];
    const { relativeL2 } = compareWithReference(features.data, expected.data);
    if (!(relativeL2 < 1e-3)) throw new Error(`the embeddings differ by ${relativeL2}`);
    const tokens = expected.dims[0] as number;
    const alone = await race(
      () => onnx.encode_image(inputs),
      () => host.encode_image(inputs),
    );
    const first = await race(
      async () => {
        const made = await processor(await RawImage.fromBlob(new Blob([image])));
        const text = tokenizer(IMAGE.replace("<|image_pad|>", "<|image_pad|>".repeat(tokens)));
        return onnx.generate({ ...text, ...made, max_new_tokens: 1 });
      },
      async () =>
        host.generate({ ...(await attachment.prepare(tokenizer, IMAGE, [{ image }])), max_new_tokens: 1 }),
    );
    const columns = [`${side}²`.padEnd(6), String(tokens).padStart(6)];
    for (const [theirs, ours] of [alone, first])
      columns.push(
        "|",
        theirs.toFixed(0).padStart(22),
        ours.toFixed(0).padStart(12),
        (theirs / ours).toFixed(2).padStart(6),
      );
    console.log(columns.join(" "));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
