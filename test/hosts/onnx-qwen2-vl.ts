/**
 * A Qwen2-VL as transformers.js loads it: the vision tower of a checkpoint as an ONNX session, with a small random language
 * model behind it. The sessions are written by hand in ONNX's standard operators, as torch would export them.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bf16ToF32, readJsonObject, SafetensorsFile } from "@vitgraph/core";
import { FLOAT, INT64, OnnxGraph } from "./onnx.js";

interface VisionConfig {
  readonly depth: number;
  readonly embed_dim: number;
  readonly num_heads: number;
  readonly hidden_size: number;
  readonly mlp_ratio: number;
  readonly patch_size: number;
  readonly in_channels: number;
  readonly temporal_patch_size: number;
  readonly spatial_merge_size: number;
}

const EPSILON = 1e-6;
const ROPE_THETA = 10_000;

/** `vision_encoder.onnx` for one image at a time: `pixel_values` and `grid_thw` in, `image_features` out. */
export async function encodeVisionTower(checkpoint: string): Promise<Uint8Array> {
  const config = (await readJsonObject(checkpoint, "config.json")).vision_config as VisionConfig;
  await using file = await SafetensorsFile.open(join(checkpoint, "model.safetensors"));
  const weight = async (name: string): Promise<Float32Array> => {
    const { info, bytes } = await file.read(`visual.${name}`);
    return info.dtype === "F32"
      ? new Float32Array(bytes.buffer)
      : bf16ToF32(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2));
  };
  const { embed_dim: width, num_heads: heads, spatial_merge_size: merge } = config;
  const rowElements = config.in_channels * config.temporal_patch_size * config.patch_size ** 2;
  const g = new OnnxGraph();

  const linear = async (x: string, name: string, [rows, columns]: readonly [number, number], bias = true) => {
    const matrix = transpose(await weight(`${name}.weight`), rows, columns);
    const product = g.node("MatMul", [x, g.constant([columns, rows], matrix)]);
    return bias ? g.node("Add", [product, g.constant([rows], await weight(`${name}.bias`))]) : product;
  };
  const layernorm = async (x: string, name: string) =>
    g.node(
      "LayerNormalization",
      [
        x,
        g.constant([width], await weight(`${name}.weight`)),
        g.constant([width], await weight(`${name}.bias`)),
      ],
      { axis: 1, epsilon: { float: EPSILON } },
    );
  const quickGelu = (x: string) =>
    g.node("Mul", [x, g.node("Sigmoid", [g.node("Mul", [x, g.float(1.702)])])]);
  const gelu = (x: string) => {
    const erf = g.node("Erf", [g.node("Mul", [x, g.float(Math.SQRT1_2)])]);
    return g.node("Mul", [g.node("Mul", [x, g.float(0.5)]), g.node("Add", [erf, g.float(1)])]);
  };

  const dim = width / heads;
  const rotate = rotary(g, dim, merge);
  let x = await linear("pixel_values", "patch_embed.proj", [width, rowElements], false);
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const qkv = await linear(await layernorm(x, `${block}.norm1`), `${block}.attn.qkv`, [3 * width, width]);
    const split = g.node("Reshape", [qkv, g.ints(-1, 3, heads, dim)]);
    // [3, heads, rows, dim]
    const byHead = g.node("Transpose", [split], { perm: [1, 2, 0, 3] });
    const [q, k, v] = [0, 1, 2].map((part) => g.node("Gather", [byHead, g.int(part)], { axis: 0 })) as [
      string,
      string,
      string,
    ];
    const scaled = g.node("Mul", [rotate(q), g.float(dim ** -0.5)]);
    const scores = g.node("MatMul", [scaled, g.node("Transpose", [rotate(k)], { perm: [0, 2, 1] })]);
    const attended = g.node("MatMul", [g.node("Softmax", [scores], { axis: -1 }), v]);
    const rows = g.node("Reshape", [g.node("Transpose", [attended], { perm: [1, 0, 2] }), g.ints(-1, width)]);
    x = g.node("Add", [x, await linear(rows, `${block}.attn.proj`, [width, width])]);
    const inner = width * config.mlp_ratio;
    const wide = await linear(await layernorm(x, `${block}.norm2`), `${block}.mlp.fc1`, [inner, width]);
    x = g.node("Add", [x, await linear(quickGelu(wide), `${block}.mlp.fc2`, [width, inner])]);
  }
  const token = width * merge ** 2;
  const rows = g.node("Reshape", [await layernorm(x, "merger.ln_q"), g.ints(-1, token)]);
  const wide = await linear(rows, "merger.mlp.0", [token, token]);
  const features = await linear(gelu(wide), "merger.mlp.2", [config.hidden_size, token]);
  g.node("Identity", [features], {}, "image_features");
  return g.encode(
    [
      { name: "pixel_values", type: FLOAT, dims: ["patches", rowElements] },
      { name: "grid_thw", type: INT64, dims: ["images", 3] },
    ],
    [{ name: "image_features", type: FLOAT, dims: ["tokens", config.hidden_size] }],
  );
}

/**
 * Rotates [heads, rows, dim] by each row's place: the first half of the angles are the place's height times a frequency,
 * the second its width times the same. Rows are in merge blocks.
 */
function rotary(g: OnnxGraph, dim: number, merge: number): (x: string) => string {
  const grid = g.node("Gather", ["grid_thw", g.int(0)], { axis: 0 });
  const [frames, height, width] = [0, 1, 2].map((axis) =>
    g.node("Gather", [grid, g.ints(axis)], { axis: 0 }),
  ) as [string, string, string];
  const blocks = (side: string) => g.node("Div", [side, g.ints(merge)]);
  const shape = g.node("Concat", [frames, blocks(height), blocks(width), g.ints(merge), g.ints(merge)], {
    axis: 0,
  });
  const places = (side: string, dims: readonly number[]) => {
    const scalar = g.node("Squeeze", [side]);
    const range = g.node("Range", [g.int(0), scalar, g.int(1)]);
    const spread = g.node("Expand", [g.node("Reshape", [range, g.ints(...dims)]), shape]);
    return g.node("Cast", [g.node("Reshape", [spread, g.ints(-1, 1)])], { to: FLOAT });
  };
  const frequencies = g.constant(
    [1, dim / 4],
    Float32Array.from({ length: dim / 4 }, (_, i) => ROPE_THETA ** ((-4 * i) / dim)),
  );
  const angles = (side: string, dims: readonly number[]) => g.node("Mul", [places(side, dims), frequencies]);
  const half = g.node("Concat", [angles(height, [1, -1, 1, merge, 1]), angles(width, [1, 1, -1, 1, merge])], {
    axis: 1,
  });
  const whole = g.node("Concat", [half, half], { axis: 1 });
  const [cos, sin] = [g.node("Cos", [whole]), g.node("Sin", [whole])];
  return (x) => {
    const slice = (first: number, end: number) => g.node("Slice", [x, g.ints(first), g.ints(end), g.ints(2)]);
    const turned = g.node("Concat", [g.node("Neg", [slice(dim / 2, dim)]), slice(0, dim / 2)], { axis: 2 });
    return g.node("Add", [g.node("Mul", [x, cos]), g.node("Mul", [turned, sin])]);
  };
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const transposed = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      transposed[column * rows + row] = values[row * columns + column] as number;
  return transposed;
}

export interface ChatIds {
  readonly vocabSize: number;
  readonly image: number;
  readonly visionStart: number;
  readonly video: number;
  readonly end: number;
}

const HEADS = 2;
const LAYERS = 2;

/** Writes a model's directory for transformers.js. Its language model is random, the same each time. */
export async function writeOnnxModel(directory: string, checkpoint: string, ids: ChatIds): Promise<void> {
  const { vision_config: vision } = await readJsonObject(checkpoint, "config.json");
  const hidden = (vision as VisionConfig).hidden_size;
  await mkdir(join(directory, "onnx"), { recursive: true });
  const random = randomValues(7);
  const files = {
    vision_encoder: await encodeVisionTower(checkpoint),
    embed_tokens: encodeEmbedding(hidden, ids.vocabSize, random),
    decoder_model_merged: encodeDecoder(hidden, ids.vocabSize, random),
  };
  for (const [name, bytes] of Object.entries(files))
    await writeFile(join(directory, "onnx", `${name}.onnx`), bytes);
  // The published checkpoints of this family have the language model's settings beside the tower's.
  const config = {
    architectures: ["Qwen2VLForConditionalGeneration"],
    model_type: "qwen2_vl",
    image_token_id: ids.image,
    video_token_id: ids.video,
    vision_start_token_id: ids.visionStart,
    num_hidden_layers: LAYERS,
    num_attention_heads: HEADS,
    num_key_value_heads: HEADS,
    hidden_size: hidden,
    vocab_size: ids.vocabSize,
    eos_token_id: ids.end,
    vision_config: vision,
  };
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  await writeFile(join(directory, "generation_config.json"), JSON.stringify({ eos_token_id: ids.end }));
}

type Random = (count: number, scale: number) => Float32Array;

function randomValues(seed: number): Random {
  let state = seed;
  return (count, scale) =>
    Float32Array.from({ length: count }, () => {
      state = (state * 48271) % 2147483647;
      return (state / 2147483647 - 0.5) * 2 * scale;
    });
}

function encodeEmbedding(hidden: number, vocabSize: number, random: Random): Uint8Array {
  const g = new OnnxGraph();
  const table = g.constant([vocabSize, hidden], random(vocabSize * hidden, 0.5));
  g.node("Gather", [table, "input_ids"], {}, "inputs_embeds");
  return g.encode(
    [{ name: "input_ids", type: INT64, dims: ["batch_size", "sequence_length"] }],
    [{ name: "inputs_embeds", type: FLOAT, dims: ["batch_size", "sequence_length", hidden] }],
  );
}

/** Attention alone, causal, with a cache; the sines of the mean of a token's three positions are added to its embedding. */
function encodeDecoder(hidden: number, vocabSize: number, random: Random): Uint8Array {
  const g = new OnnxGraph();
  const dim = hidden / HEADS;
  const side = (tensor: string) => g.node("Gather", [g.node("Shape", [tensor]), g.int(1)], { axis: 0 });
  const total = side("attention_mask");
  const past = g.node("Sub", [total, side("inputs_embeds")]);
  const columns = g.node("Range", [g.int(0), total, g.int(1)]);
  const rows = g.node("Unsqueeze", [g.node("Range", [past, total, g.int(1)]), g.ints(1)]);
  const isLater = g.node("Cast", [g.node("Greater", [columns, rows])], { to: FLOAT });
  const bias = g.node("Mul", [isLater, g.float(-1e9)]);
  const positions = g.node("Cast", ["position_ids"], { to: FLOAT });
  const mean = g.node("ReduceMean", [positions], { axes: [0], keepdims: 0 });
  const frequencies = g.constant([hidden], random(hidden, 3));
  const offset = g.node("Sin", [g.node("Mul", [g.node("Unsqueeze", [mean, g.ints(-1)]), frequencies])]);
  let x = g.node("Add", ["inputs_embeds", offset]);
  const caches: { readonly name: string; readonly side: "past" | "total" }[] = [];
  for (let layer = 0; layer < LAYERS; layer++) {
    const matrix = () => g.constant([hidden, hidden], random(hidden * hidden, 0.6));
    const heads = () => {
      const product = g.node("MatMul", [x, matrix()]);
      return g.node("Transpose", [g.node("Reshape", [product, g.ints(0, -1, HEADS, dim)])], {
        perm: [0, 2, 1, 3],
      });
    };
    const cached = (part: "key" | "value") => {
      caches.push(
        { name: `past_key_values.${layer}.${part}`, side: "past" },
        { name: `present.${layer}.${part}`, side: "total" },
      );
      return g.node(
        "Concat",
        [`past_key_values.${layer}.${part}`, heads()],
        { axis: 2 },
        `present.${layer}.${part}`,
      );
    };
    const query = g.node("Mul", [heads(), g.float(dim ** -0.5)]);
    const key = g.node("Transpose", [cached("key")], { perm: [0, 1, 3, 2] });
    const scores = g.node("Add", [g.node("MatMul", [query, key]), bias]);
    const attended = g.node("MatMul", [g.node("Softmax", [scores], { axis: -1 }), cached("value")]);
    const joined = g.node("Reshape", [
      g.node("Transpose", [attended], { perm: [0, 2, 1, 3] }),
      g.ints(0, -1, hidden),
    ]);
    x = g.node("Add", [x, g.node("MatMul", [joined, matrix()])]);
  }
  g.node("MatMul", [x, g.constant([hidden, vocabSize], random(hidden * vocabSize, 0.5))], {}, "logits");
  const cacheValues = (wanted: "past" | "total") =>
    caches
      .filter(({ side }) => side === wanted)
      .map(
        ({ name }) =>
          ({ name, type: FLOAT, dims: ["batch_size", HEADS, `${wanted}_sequence_length`, dim] }) as const,
      );
  return g.encode(
    [
      { name: "inputs_embeds", type: FLOAT, dims: ["batch_size", "sequence_length", hidden] },
      { name: "attention_mask", type: INT64, dims: ["batch_size", "total_sequence_length"] },
      { name: "position_ids", type: INT64, dims: [3, "batch_size", "sequence_length"] },
      ...cacheValues("past"),
    ],
    [
      { name: "logits", type: FLOAT, dims: ["batch_size", "sequence_length", vocabSize] },
      ...cacheValues("total"),
    ],
  );
}
