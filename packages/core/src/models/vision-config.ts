/** Reads a tower's part of a config.json under transformers' names, with a family's defaults for absent keys. */
import { describe, isRecord, VitgraphError } from "@vitgraph/errors";
import type { Activation } from "../graph/ops.js";

/**
 * Upper bounds of config values, far above every published tower. They prevent a damaged or hostile config.json from
 * creating tables and graphs that exhaust memory before the checkpoint's tensors are read.
 */
const LIMITS: Readonly<Record<string, number>> = {
  depth: 256,
  num_hidden_layers: 256,
  hidden_size: 16_384,
  embed_dim: 16_384,
  intermediate_size: 131_072,
  mlp_ratio: 64,
  num_heads: 256,
  num_attention_heads: 256,
  num_key_value_heads: 256,
  in_channels: 16,
  num_channels: 16,
  patch_size: 128,
  image_size: 16_384,
  spatial_merge_size: 16,
  merge_size: 16,
  temporal_patch_size: 64,
  patch_temporal: 64,
  temporal_merge_size: 64,
  vision_segment_max_frames: 8,
  out_hidden_size: 65_536,
  text_hidden_size: 65_536,
  num_position_embeddings: 1_048_576,
  num_patches: 1_048_576,
  projector_hidden_size: 131_072,
  projection_dim: 65_536,
  projection_intermediate_size: 131_072,
  alignment_intermediate_size: 262_144,
  projector_input_dim: 65_536,
  projector_output_dim: 65_536,
  downsample_factor: 16,
  window_size: 16_384,
  mm_tokens_per_image: 1_048_576,
  pos_emb_height: 1024,
  pos_emb_width: 1024,
  max_dynamic_patch: 256,
  max_image_size: 16_384,
  head_dim: 1024,
  mm_embed_dim: 65_536,
  mm_posemb_size: 1_048_576,
  scale_factor: 16,
  pooling_kernel_size: 16,
  position_embedding_size: 1_048_576,
};

/** Bounds the columns of the cos/sin table, which has 8192 rows. */
const MAX_HEAD_SIZE = 1024;

type Config = Readonly<Record<string, unknown>>;

/**
 * Keys with their defaults. The default defines valid values: positive integers, positive numbers if it is none, strings,
 * or layer numbers.
 */
export type ConfigDefaults = Readonly<Record<string, number | string | readonly number[]>>;

/** A config with the same keys and types as its defaults. */
export type ConfigWith<D extends ConfigDefaults> = {
  readonly [K in keyof D]: D[K] extends number ? number : D[K] extends string ? string : readonly number[];
};

/**
 * Reads the keys of `defaults` from `vision_config`. Other keys are ignored. A null is a value, here as in all readers:
 * transformers refuses it where it expects a number or a string.
 * @throws VG_MODEL_INVALID naming the key, its value and the expected value
 */
export const readVisionConfig = <const D extends ConfigDefaults>(values: Config, defaults: D) =>
  readKeys(values, defaults, "vision_config.");

/** As {@link readVisionConfig}, for keys at the top level of config.json. @throws VG_MODEL_INVALID */
export const readTopLevel = <const D extends ConfigDefaults>(values: Config, defaults: D) =>
  readKeys(values, defaults, "");

/** As {@link readVisionConfig}, for the language model's config. @throws VG_MODEL_INVALID */
export const readTextConfig = <const D extends ConfigDefaults>(values: Config, defaults: D) =>
  readKeys(values, defaults, "text_config.");

/**
 * As {@link readTextConfig}, for families that take several language models.
 * @param defaults by the language model's `model_type`. The first applies if config.json has no `model_type`.
 * @throws VG_MODEL_INVALID, also if a key is absent and its default unknown
 */
export function readTextConfigOf<D extends ConfigDefaults>(
  text: Config,
  defaults: Readonly<Record<string, D>>,
  path = "text_config",
): ConfigWith<D> {
  const types = Object.keys(defaults);
  const type = text.model_type === undefined ? types[0] : text.model_type;
  const known = typeof type === "string" && Object.hasOwn(defaults, type) ? defaults[type] : undefined;
  const like = known ?? (Object.values(defaults)[0] as D);
  const absent = Object.keys(like).find((key) => text[key] === undefined);
  if (known === undefined && absent !== undefined) {
    throw new VitgraphError("VG_MODEL_INVALID", `config.json has no ${path}.${absent}`, {
      remedy: `add the value of the language model; without it, model_type may be ${types.join(", ")}, and is ${describe(type)}`,
    });
  }
  return readKeys(text, like, `${path}.`);
}

function readKeys<D extends ConfigDefaults>(values: Config, defaults: D, path: string): ConfigWith<D> {
  const config: Record<string, unknown> = { ...defaults };
  for (const [key, like] of Object.entries(defaults)) {
    const value = values[key];
    if (value === undefined) continue;
    expectLike(path, key, value, like);
    config[key] = value;
  }
  return config as ConfigWith<D>;
}

function expectLike(path: string, key: string, value: unknown, like: unknown): void {
  const wrong = (expected: string) => wrongConfig(path + key, value, expected);
  const count = (candidate: unknown) => Number.isInteger(candidate) && (candidate as number) >= 0;
  if (Number.isInteger(like) && !(count(value) && value !== 0)) throw wrong("a positive integer");
  if (typeof like === "number" && !isPositive(value)) throw wrong("a positive number");
  const limit = LIMITS[key];
  if (limit !== undefined && (value as number) > limit) throw wrong(`at most ${limit}`);
  if (typeof like === "string" && typeof value !== "string") throw wrong("a string");
  if (Array.isArray(like) && !(Array.isArray(value) && value.every(count)))
    throw wrong("a list of layer numbers");
}

const isPositive = (value: unknown): value is number => Number.isFinite(value) && (value as number) > 0;

/**
 * The config with other names of its keys replaced. If both are there, the other name wins, as in transformers'
 * `attribute_map`.
 */
export function withNames(values: Config, names: Readonly<Record<string, string>>): Config {
  const renamed: Record<string, unknown> = { ...values };
  for (const [name, key] of Object.entries(names))
    if (values[name] !== undefined) renamed[key] = values[name];
  return renamed;
}

/** The other name of `num_heads` in transformers' classes that have this key. Other classes ignore it. */
export const HEADS_NAMES = { num_attention_heads: "num_heads" };

/** A positive number, not necessarily an integer. @param path precedes the key in errors. @throws VG_MODEL_INVALID */
export function readPositiveNumber(
  values: Config,
  key: string,
  absent: number,
  path = "vision_config.",
): number {
  const value = values[key] === undefined ? absent : values[key];
  if (isPositive(value)) return value;
  throw wrongConfig(path + key, value, "a positive number");
}

/** @param path precedes the key in errors. @throws VG_MODEL_INVALID */
export function readBoolean(values: Config, key: string, absent: boolean, path = "vision_config."): boolean {
  const value = values[key] === undefined ? absent : values[key];
  if (typeof value === "boolean") return value;
  throw wrongConfig(path + key, value, "true or false");
}

/** Neither scales the angles. */
const ROPE_TYPES: readonly unknown[] = ["axial", "default"];

/**
 * θ of `rope_parameters`, or of the older keys `rope_scaling`, which wins, and `rope_theta`.
 * @param absent transformers' default
 * @throws VG_MODEL_INVALID; VG_MODEL_UNSUPPORTED for scaled RoPE
 */
export function readRopeTheta(visionConfig: Config, absent = 10_000): number {
  const key = isEmpty(visionConfig.rope_scaling) ? "rope_parameters" : "rope_scaling";
  const path = `vision_config.${key}`;
  const parameters = isEmpty(visionConfig[key]) ? {} : objectIn(visionConfig, key, path);
  const type = parameters.rope_type ?? parameters.type ?? "default";
  if (!ROPE_TYPES.includes(type)) {
    throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${path}.rope_type is ${describe(type)}`, {
      remedy: `supported are ${ROPE_TYPES.join(", ")}`,
    });
  }
  if (parameters.rope_theta === undefined) return readPositiveNumber(visionConfig, "rope_theta", absent);
  return readPositiveNumber(parameters, "rope_theta", absent, `${path}.`);
}

const isEmpty = (value: unknown) => value === undefined || value === null || JSON.stringify(value) === "{}";

/**
 * Checks that the width is a multiple of the number of heads, and with `rope` that the head size is a multiple of 4.
 * @param widthKey the config's name of `width`
 * @param options.headDim the config's `head_dim`, of classes that read it. Most do not declare the key, but make their
 * RoPE tables of this size, which then fit no other head size. Null is absent.
 * @throws VG_MODEL_INVALID; VG_MODEL_UNSUPPORTED for another `head_dim`
 */
export function checkHeads(
  width: number,
  widthKey: string,
  heads: number,
  {
    key = "num_heads",
    rope = true,
    headDim,
  }: { readonly key?: string; readonly rope?: boolean; readonly headDim?: unknown } = {},
): void {
  const path = `vision_config.${key}`;
  if (width % heads !== 0) throw wrongConfig(path, heads, `a divisor of ${widthKey} ${width}`);
  if (rope && (width / heads) % 4 !== 0) {
    throw wrongConfig(
      path,
      heads,
      "a number that makes the head size a multiple of 4, for two-dimensional RoPE",
    );
  }
  if (width / heads > MAX_HEAD_SIZE)
    throw wrongConfig(path, heads, `a number that makes the head size at most ${MAX_HEAD_SIZE}`);
  refuseOther("vision_config.head_dim", headDim ?? undefined, width / heads);
}

/** The object at `key`. @param path its name in errors */
export function objectIn(config: Config, key: string, path: string): Config {
  const value = config[key];
  if (isRecord(value)) return value;
  throw new VitgraphError("VG_MODEL_INVALID", `config.json has no ${path} object`, {
    remedy: "use the checkpoint of the whole model, or its config.json with the vision tower's weights",
  });
}

export const visionConfigOf = (config: Config, path = ""): Config =>
  objectIn(config, "vision_config", `${path}vision_config`);

/** The language model's config. @throws VG_MODEL_INVALID if there is none */
export const textConfigOf = (config: Config): Config => objectIn(config, "text_config", "text_config");

/** As {@link textConfigOf}, or the top level of a hub config that has the language model's keys there. */
export const textConfigOrTopLevel = (config: Config): Config =>
  config.text_config === undefined ? config : textConfigOf(config);

/** Kernels read a patch's uint8 pixels in 4-byte words. @throws VG_MODEL_INVALID */
export function checkPatch(channels: number, patchSize: number): void {
  if ((channels * patchSize ** 2) % 4 === 0) return;
  throw wrongConfig(
    "vision_config.patch_size",
    patchSize,
    "a size that makes a patch's pixels a multiple of 4 bytes",
  );
}

/** @param path the key's name in errors. @throws VG_MODEL_UNSUPPORTED unless the value is absent or `supported` */
export function refuseOther(path: string, value: unknown, supported: unknown): void {
  if (value === undefined || JSON.stringify(value) === JSON.stringify(supported)) return;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${path} is ${describe(value)}`, {
    remedy: `supported is ${describe(supported)}`,
  });
}

/** Number of layers up to `vision_feature_layer`; −1 is the last layer. @throws VG_MODEL_UNSUPPORTED */
export function readFeatureLayers(checkpointConfig: Config, depth: number, absent: number): number {
  const { vision_feature_layer: layer = absent } = checkpointConfig;
  const layers = Number.isInteger(layer) ? depth + 1 + (layer as number) : Number.NaN;
  if (layers >= 1 && layers <= depth) return layers;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `vision_feature_layer is ${describe(layer)}`, {
    remedy: `supported is one layer, counted from the last as −1 to −${depth}`,
  });
}

/** Each layer is below `depth` and unique. @throws VG_MODEL_INVALID */
export function checkLayers(key: string, layers: readonly number[], depth: number): void {
  const path = `vision_config.${key}`;
  if (new Set(layers).size < layers.length) throw wrongConfig(path, layers, "different layers");
  const beyond = layers.find((layer) => layer >= depth);
  if (beyond !== undefined) throw wrongConfig(path, beyond, `layers below depth ${depth}`);
}

/** transformers' names of activation functions. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu_pytorch_tanh: "gelu_tanh",
  gelu: "gelu_erf",
  quick_gelu: "quick_gelu",
  silu: "silu",
};

/** @throws VG_MODEL_UNSUPPORTED */
export function activationOf(hiddenAct: string): Activation {
  const activation = Object.hasOwn(ACTIVATIONS, hiddenAct) ? ACTIVATIONS[hiddenAct] : undefined;
  if (activation !== undefined) return activation;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `vision_config.hidden_act is ${describe(hiddenAct)}`, {
    remedy: `supported are ${Object.keys(ACTIVATIONS).join(", ")}`,
  });
}

/** @param key with its path */
export function wrongConfig(key: string, value: unknown, expected: string): VitgraphError {
  return new VitgraphError("VG_MODEL_INVALID", `${key} is ${describe(value)}`, {
    remedy: `expected ${expected}; check the checkpoint's config.json`,
    details: { key, value },
  });
}
