/**
 * The parts of a language model in a GGUF file: metadata that llama.cpp asks for, and which tensors of the checkpoint become
 * which. `families.ts` puts them together for each model.
 */
import type { Metadata, MetadataValue } from "./gguf-header.js";
import { f32, i32, string, u32 } from "./gguf-header.js";
import type { RowRange, Transform } from "./read-tensor.js";
import type { TextConfig } from "./text-config.js";

/** A tensor of the GGUF and the checkpoint's tensor that it comes from. */
export interface TensorRule extends Transform {
  /** Name without the language model's prefix: "layers.0.mlp.up_proj.weight". */
  readonly from: string;
  /** Shape of the checkpoint's tensor. */
  readonly shape: readonly number[];
  readonly to: string;
  /** Shape of the GGUF's tensor. Default: `shape`. */
  readonly toShape?: readonly number[];
}

export interface GgufFamily {
  /** llama.cpp's name. */
  readonly architecture: string;
  /** transformers' defaults of keys that published checkpoints leave out of config.json. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Keys without the architecture's name, beyond those that all have. */
  metadata(config: TextConfig): Iterable<readonly [string, MetadataValue]>;
  layer(config: TextConfig, index: number): readonly TensorRule[];
  /** Transform of the last norm. */
  readonly norm?: Transform;
  /** The tokenizer's kind. */
  readonly tokenizer: "bpe" | "sentencepiece";
}

/** For norms that scale by 1 + weight; llama.cpp scales by the weight alone. */
export const PLUS_ONE: Transform = { each: (weight) => weight + 1 };

// ---- metadata

/** Metadata of all architectures, and the family's own. @throws VG_MODEL_INVALID, VG_MODEL_UNSUPPORTED */
export function familyMetadata({ architecture, metadata }: GgufFamily, config: TextConfig): Metadata {
  const heads = headsOf(config);
  const keys: Iterable<readonly [string, MetadataValue]> = [
    ["block_count", u32(layerCount(config))],
    ["context_length", u32(config.count("max_position_embeddings"))],
    ["embedding_length", u32(config.count("hidden_size"))],
    ["attention.head_count", u32(heads.queries)],
    ["attention.head_count_kv", u32(heads.keyValues)],
    ["attention.layer_norm_rms_epsilon", f32(config.number("rms_norm_eps"))],
    ...metadata(config),
  ];
  return new Map([...keys].map(([key, value]) => [`${architecture}.${key}`, value]));
}

/** Far beyond any published model. */
const MAX_LAYERS = 4096;

/** @throws VG_MODEL_INVALID */
export const layerCount = (config: TextConfig): number =>
  config.count("num_hidden_layers", undefined, MAX_LAYERS);

type Keys = Generator<readonly [string, MetadataValue]>;

export function* feedForward(config: TextConfig): Keys {
  yield ["feed_forward_length", u32(config.count("intermediate_size"))];
}

export function* headLengths(config: TextConfig): Keys {
  const length = config.count("head_dim");
  yield ["attention.key_length", u32(length)];
  yield ["attention.value_length", u32(length)];
}

export function* deepstack(config: TextConfig): Keys {
  const levels = config.object("vision_config")?.counts("deepstack_visual_indexes") ?? [];
  yield ["n_deepstack_layers", u32(levels.length)];
}

/** `rope_parameters` since transformers 5, `rope_scaling` before. */
const ropeOf = (config: TextConfig): TextConfig | undefined =>
  config.object("rope_parameters") ?? config.object("rope_scaling");

/**
 * @param rotated columns of a head that RoPE rotates
 * @param sections used if config.json has no mrope_section
 */
export function* multimodalRope(config: TextConfig, rotated: number, sections?: readonly number[]): Keys {
  const rope = ropeOf(config);
  const own = rope?.value("mrope_section");
  if (own === undefined && sections === undefined) throw config.unsupported("has no mrope_section");
  const [time = 0, height = 0, width = 0] = own === undefined ? sections! : rope!.counts("mrope_section");
  // llama.cpp leaves most pairs behind the sections as they are, and transformers turns them by the time.
  if (2 * (time + height + width) !== rotated)
    throw config.unsupported(
      `has mrope_section [${time}, ${height}, ${width}], which is not half of the ${rotated} columns of a head that turn`,
    );
  yield ["rope.dimension_sections", i32([time, height, width, 0])];
  yield ["rope.freq_base", f32(ropeTheta(rope, config))];
  if (rope !== undefined) yield* ropeScaling(rope);
}

/** transformers 5 writes `rope_theta` into the rope's parameters; older versions write it next to them. */
const ropeTheta = (rope: TextConfig | undefined, config: TextConfig, name = "rope_theta"): number =>
  rope?.value("rope_theta") === undefined ? config.number(name) : rope.number("rope_theta");

function* ropeScaling(rope: TextConfig): Keys {
  const type = rope.value("rope_type") ?? rope.value("type") ?? "default";
  if (type === "default" || type === "mrope") return;
  if (type !== "linear" && type !== "yarn")
    throw rope.unsupported(`scales rotary positions by ${String(type)}`);
  yield ["rope.scaling.type", string(type)];
  yield ["rope.scaling.factor", f32(rope.number("factor"))];
  if (type === "linear") return;
  yield ["rope.scaling.original_context_length", u32(rope.count("original_max_position_embeddings"))];
  for (const name of ["attention_factor", "mscale", "mscale_all_dim"]) rope.require(name, []);
  rope.require("truncate", [true]);
  for (const name of ["beta_fast", "beta_slow"])
    if (rope.value(name) !== undefined) yield [`rope.scaling.yarn_${name}`, f32(rope.number(name))];
}

/** Layers with sliding and with full attention have different bases; only the full ones are scaled. */
export function* slidingRope(config: TextConfig): Keys {
  const rope = config.object("rope_parameters");
  const full = rope?.object("full_attention") ?? ropeOf(config);
  rope?.object("sliding_attention")?.require("rope_type", ["default"]);
  yield ["rope.freq_base", f32(ropeTheta(full, config))];
  yield [
    "rope.freq_base_swa",
    f32(ropeTheta(rope?.object("sliding_attention"), config, "rope_local_base_freq")),
  ];
  if (full !== undefined) yield* ropeScaling(full);
}

// ---- tensors

interface Heads {
  readonly queries: number;
  readonly keyValues: number;
  readonly dim: number;
}

export function headsOf(config: TextConfig): Heads {
  const queries = config.count("num_attention_heads");
  const keyValues = config.count("num_key_value_heads");
  return { queries, keyValues, dim: config.count("head_dim", config.count("hidden_size") / queries) };
}

export const inLayer = (index: number, rules: readonly TensorRule[]): readonly TensorRule[] =>
  rules.map((rule) => ({ ...rule, from: `layers.${index}.${rule.from}`, to: `blk.${index}.${rule.to}` }));

export function attentionMatrices(
  config: TextConfig,
  heads: Heads,
  bias: boolean,
  gated = false,
): TensorRule[] {
  const hidden = config.count("hidden_size");
  const queries = heads.queries * heads.dim;
  const keyValues = heads.keyValues * heads.dim;
  const inputs = [
    ["q", gated ? 2 * queries : queries],
    ["k", keyValues],
    ["v", keyValues],
  ] as const;
  return [
    ...inputs.map(([name, rows]) => matrix(`self_attn.${name}_proj`, `attn_${name}`, [rows, hidden])),
    ...inputs
      .filter(() => bias)
      .map(([name, rows]) => ({
        from: `self_attn.${name}_proj.bias`,
        to: `attn_${name}.bias`,
        shape: [rows],
      })),
    matrix("self_attn.o_proj", "attn_output", [hidden, queries]),
  ];
}

/** The query projection also holds the output's gate, head by head. */
export function gatedAttention(config: TextConfig): TensorRule[] {
  config.require("attention_bias", [false]);
  config.require("hidden_act", ["silu"]);
  const heads = headsOf(config);
  return [...attentionMatrices(config, heads, false, true), ...headNorms(heads.dim, PLUS_ONE)];
}

const matrix = (
  from: string,
  to: string,
  shape: readonly number[],
  transform: Transform = {},
): TensorRule => ({
  from: `${from}.weight`,
  to: `${to}.weight`,
  shape,
  ...transform,
});

export const norms = (
  config: TextConfig,
  names: Readonly<Record<string, string>>,
  transform: Transform = {},
): TensorRule[] =>
  Object.entries(names).map(([from, to]) => matrix(from, to, [config.count("hidden_size")], transform));

export const headNorms = (dim: number, transform: Transform = {}): TensorRule[] =>
  ["q", "k"].map((name) => matrix(`self_attn.${name}_norm`, `attn_${name}_norm`, [dim], transform));

export function feedForwardMatrices(config: TextConfig): TensorRule[] {
  const hidden = config.count("hidden_size");
  const inner = config.count("intermediate_size");
  return [
    matrix("mlp.gate_proj", "ffn_gate", [inner, hidden]),
    matrix("mlp.up_proj", "ffn_up", [inner, hidden]),
    matrix("mlp.down_proj", "ffn_down", [hidden, inner]),
  ];
}

/** transformers 5 saves the count as `num_local_experts`. */
export const expertCount = (config: TextConfig): number =>
  config.count(config.value("num_experts") === undefined ? "num_local_experts" : "num_experts");

/** The checkpoint stacks all experts, each matrix transposed, gate and up side by side. */
export function experts(config: TextConfig): TensorRule[] {
  const hidden = config.count("hidden_size");
  const inner = config.count("moe_intermediate_size");
  const count = expertCount(config);
  const stacked = {
    from: "mlp.experts.gate_up_proj",
    shape: [count, hidden, 2 * inner],
    toShape: [count, inner, hidden],
  };
  return [
    matrix("mlp.gate", "ffn_gate_inp", [count, hidden]),
    { ...stacked, to: "ffn_gate_exps.weight", transposed: { first: 0, count: inner } },
    { ...stacked, to: "ffn_up_exps.weight", transposed: { first: inner, count: inner } },
    {
      from: "mlp.experts.down_proj",
      to: "ffn_down_exps.weight",
      shape: [count, inner, hidden],
      toShape: [count, hidden, inner],
      transposed: { first: 0, count: hidden },
    },
  ];
}

// ---- the gated delta net

/** Every this many layers, one has full attention. @throws VG_MODEL_UNSUPPORTED for another order of layers */
export function fullAttentionInterval(config: TextConfig): number {
  const types = config.value("layer_types");
  if (!Array.isArray(types)) return config.count("full_attention_interval");
  const firstFull = types.indexOf("full_attention");
  const interval = firstFull < 0 ? types.length + 1 : firstFull + 1;
  const isRegular = types.every(
    (type, i) => type === ((i + 1) % interval === 0 ? "full_attention" : "linear_attention"),
  );
  if (isRegular && types.length === layerCount(config)) return interval;
  throw config.unsupported("has full attention layers at no regular interval in layer_types");
}

const MAX_HEADS = 1024;
const MAX_HEAD_DIM = 1024;

export function linearAttentionSizes(config: TextConfig) {
  // Bounded, because a table of heads × dim is made before any tensor is looked at.
  const keyHeads = config.count("linear_num_key_heads", undefined, MAX_HEADS);
  const valueHeads = config.count("linear_num_value_heads", undefined, MAX_HEADS);
  const keyDim = config.count("linear_key_head_dim", undefined, MAX_HEAD_DIM);
  const valueDim = config.count("linear_value_head_dim", undefined, MAX_HEAD_DIM);
  if (valueHeads % keyHeads !== 0)
    throw config.unsupported(`has ${valueHeads} value heads for ${keyHeads} key heads in linear attention`);
  if (keyDim !== valueDim)
    throw config.unsupported(`has key heads of ${keyDim} and value heads of ${valueDim} in linear attention`);
  return { keyHeads, valueHeads, keyDim, valueDim, kernel: config.count("linear_conv_kernel_dim") };
}

/**
 * The checkpoint has the value heads of each key head side by side; llama.cpp repeats the key heads as a whole, so it wants
 * the first value head of every key head, then the second of each, …
 */
export function linearAttention(config: TextConfig): TensorRule[] {
  const hidden = config.count("hidden_size");
  const { keyHeads, valueHeads, keyDim, valueDim, kernel } = linearAttentionSizes(config);
  const keys = keyHeads * keyDim;
  const values = valueHeads * valueDim;
  const perKey = valueHeads / keyHeads;
  const order = Array.from(
    { length: valueHeads },
    (_, i) => (i % keyHeads) * perKey + Math.floor(i / keyHeads),
  );
  const valueRows = (headRows: number, before = 0): RowRange[] => [
    ...(before === 0 ? [] : [{ first: 0, count: before }]),
    ...order.map((head) => ({ first: before + head * headRows, count: headRows })),
  ];
  const columns = Uint32Array.from(
    order.flatMap((head) => Array.from({ length: valueDim }, (_, i) => head * valueDim + i)),
  );
  const channels = 2 * keys + values;
  return [
    matrix("linear_attn.in_proj_qkv", "attn_qkv", [channels, hidden], {
      rows: valueRows(valueDim, 2 * keys),
    }),
    matrix("linear_attn.in_proj_z", "attn_gate", [values, hidden], { rows: valueRows(valueDim) }),
    matrix("linear_attn.in_proj_a", "ssm_alpha", [valueHeads, hidden], { rows: valueRows(1) }),
    matrix("linear_attn.in_proj_b", "ssm_beta", [valueHeads, hidden], { rows: valueRows(1) }),
    {
      ...matrix("linear_attn.conv1d", "ssm_conv1d", [channels, 1, kernel], {
        rows: valueRows(valueDim, 2 * keys),
      }),
      toShape: [channels, kernel],
    },
    {
      from: "linear_attn.A_log",
      to: "ssm_a",
      shape: [valueHeads],
      rows: valueRows(1),
      each: (value) => -Math.exp(value),
    },
    { from: "linear_attn.dt_bias", to: "ssm_dt.bias", shape: [valueHeads], rows: valueRows(1) },
    // This norm scales by the weight alone.
    matrix("linear_attn.norm", "ssm_norm", [valueDim]),
    matrix("linear_attn.out_proj", "ssm_out", [hidden, values], { columns }),
  ];
}
