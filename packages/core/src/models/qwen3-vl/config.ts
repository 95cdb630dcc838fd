/** Reads the vision part of a Qwen3-VL config.json, with transformers' defaults for what older checkpoints leave out. */
import { describe, VitgraphError } from "@vitgraph/errors";

/** Names and defaults as in transformers' Qwen3VLVisionConfig. */
const DEFAULTS = {
  depth: 27,
  hidden_size: 1152,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 4304,
  num_heads: 16,
  in_channels: 3,
  patch_size: 16,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  out_hidden_size: 3584,
  num_position_embeddings: 2304,
  deepstack_visual_indexes: [8, 16, 24] as readonly number[],
};

/**
 * Far above every published tower; they keep a damaged or hostile config.json from making tables and graphs that exhaust
 * memory before the checkpoint's tensors are seen.
 */
const LIMITS: Readonly<Record<string, number>> = {
  depth: 256,
  hidden_size: 16_384,
  intermediate_size: 131_072,
  num_heads: 256,
  in_channels: 16,
  patch_size: 128,
  spatial_merge_size: 16,
  temporal_patch_size: 64,
  out_hidden_size: 65_536,
  num_position_embeddings: 1_048_576,
};

const DEFAULT_ROPE_THETA = 10_000;

export type Qwen3VLVisionConfig = Readonly<typeof DEFAULTS> & { readonly rope_theta: number };

/** @throws VG_MODEL_INVALID naming the key, its value and what was expected. */
export function readQwen3VLVisionConfig(
  visionConfig: Readonly<Record<string, unknown>>,
): Qwen3VLVisionConfig {
  const { rope_theta } = (visionConfig.rope_parameters ?? {}) as { rope_theta?: unknown };
  const config = { ...DEFAULTS, rope_theta: DEFAULT_ROPE_THETA };
  for (const key of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
    const value = visionConfig[key];
    if (value === undefined || value === null) continue;
    expectLike(key, value, DEFAULTS[key]);
    Object.assign(config, { [key]: value });
  }
  if (rope_theta !== undefined) {
    if (typeof rope_theta !== "number" || !(rope_theta > 0))
      throw wrong("rope_parameters.rope_theta", rope_theta, "a positive number");
    config.rope_theta = rope_theta;
  }
  checkConsistency(config);
  return config;
}

function expectLike(key: string, value: unknown, like: unknown): void {
  const count = (candidate: unknown) => Number.isInteger(candidate) && (candidate as number) >= 0;
  if (typeof like === "number" && !(count(value) && value !== 0))
    throw wrong(key, value, "a positive integer");
  const limit = LIMITS[key];
  if (limit !== undefined && (value as number) > limit) throw wrong(key, value, `at most ${limit}`);
  if (typeof like === "string" && typeof value !== "string") throw wrong(key, value, "a string");
  if (Array.isArray(like) && !(Array.isArray(value) && value.every(count)))
    throw wrong(key, value, "a list of layer numbers");
}

function checkConsistency(config: Qwen3VLVisionConfig): void {
  const { hidden_size, num_heads, num_position_embeddings, deepstack_visual_indexes, depth } = config;
  if (hidden_size % num_heads !== 0)
    throw wrong("num_heads", num_heads, `a divisor of hidden_size ${hidden_size}`);
  if ((hidden_size / num_heads) % 4 !== 0) {
    throw wrong(
      "num_heads",
      num_heads,
      "a number that makes the head size a multiple of 4, for two-dimensional RoPE",
    );
  }
  if ((config.in_channels * config.patch_size ** 2) % 4 !== 0) {
    throw wrong("patch_size", config.patch_size, "a size that makes a patch's pixels a multiple of 4 bytes");
  }
  if (!Number.isInteger(Math.sqrt(num_position_embeddings))) {
    throw wrong("num_position_embeddings", num_position_embeddings, "the square of a whole number");
  }
  if (new Set(deepstack_visual_indexes).size < deepstack_visual_indexes.length)
    throw wrong("deepstack_visual_indexes", deepstack_visual_indexes, "different layers");
  const beyond = deepstack_visual_indexes.find((layer) => layer >= depth);
  if (beyond !== undefined) throw wrong("deepstack_visual_indexes", beyond, `layers below depth ${depth}`);
}

function wrong(key: string, value: unknown, expected: string): VitgraphError {
  return new VitgraphError("VG_MODEL_INVALID", `vision_config.${key} is ${describe(JSON.stringify(value))}`, {
    remedy: `expected ${expected}; check the checkpoint's config.json`,
    details: { key, value },
  });
}
