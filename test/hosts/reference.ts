/**
 * Qwen3-VL's language model in float64, written from its definition: what transformers computes, and with llama.cpp's one
 * difference what llama.cpp computes. Shares nothing with the code under test.
 *
 * The difference: multimodal RoPE gives each pair of columns one of the positions t, h, w, in turns, as far as the sections
 * reach. transformers gives what is left to t. llama.cpp (0.5.0, `ggml_mrope_cache_init`) gives pair i to t only if i is a
 * multiple of 3, and others to a fourth position that is 0. Sections 4, 2, 2 leave pair 7; those of the published models
 * (24, 20, 20) leave pairs 61 and 62, which turn by 3e-7 a position.
 */
import { join } from "node:path";
import { bf16ToF32, SafetensorsFile } from "@vitgraph/core";

export type RopeRule = "transformers" | "llama.cpp";

const [HIDDEN, HEAD, HEADS, KV_HEADS, FFN, VOCAB, LAYERS] = [64, 16, 4, 2, 96, 320, 4];
const SECTIONS = [4, 2, 2];
type Vector = Float64Array;

/** A token, or an image: f32 [h · w, HIDDEN · (1 + levels)] in tokens after the merge. */
export type ReferenceUnit = number | { readonly h: number; readonly w: number; readonly rows: Float32Array };

export async function loadReference(checkpoint: string) {
  await using file = await SafetensorsFile.open(join(checkpoint, "model.safetensors"));
  const weights = new Map<string, Float32Array>();
  for (const name of file.tensors.keys()) {
    if (name.includes("visual")) continue;
    const { bytes } = await file.read(name);
    const short = name.replace("model.language_model.", "");
    weights.set(short, bf16ToF32(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)));
  }
  const weight = (name: string) => weights.get(`${name}.weight`) as Float32Array;
  return (units: readonly ReferenceUnit[], rule: RopeRule) => forward(units, rule, weight);
}

/** Logits after the last token. */
function forward(
  units: readonly ReferenceUnit[],
  rule: RopeRule,
  weight: (name: string) => Float32Array,
): Float64Array {
  const { inputs, positions, levels } = embed(units, weight("embed_tokens"));
  let states = inputs;
  for (let layer = 0; layer < LAYERS; layer++) {
    const of = (name: string) => weight(`layers.${layer}.${name}`);
    const normed = states.map((state) => rmsNorm(state, of("input_layernorm")));
    const queries = normed.map((x, at) =>
      heads(x, of("self_attn.q_proj"), of("self_attn.q_norm"), positions[at], rule),
    );
    const keys = normed.map((x, at) =>
      heads(x, of("self_attn.k_proj"), of("self_attn.k_norm"), positions[at], rule),
    );
    const values = normed.map((x) => multiply(of("self_attn.v_proj"), x, KV_HEADS * HEAD));
    states = states.map((state, at) => {
      const attended = multiply(
        of("self_attn.o_proj"),
        attend(queries[at] as Vector, keys, values, at),
        HIDDEN,
      );
      const middle = add(state, attended);
      const x = rmsNorm(middle, of("post_attention_layernorm"));
      const gate = multiply(of("mlp.gate_proj"), x, FFN);
      const up = multiply(of("mlp.up_proj"), x, FFN);
      const ffn = multiply(
        of("mlp.down_proj"),
        gate.map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] as number)),
        HIDDEN,
      );
      const level = levels[at]?.subarray((layer + 1) * HIDDEN, (layer + 2) * HIDDEN);
      const out = add(middle, ffn);
      return level === undefined || level.length === 0 ? out : add(out, level);
    });
  }
  return multiply(weight("lm_head"), rmsNorm(states.at(-1) as Vector, weight("norm")), VOCAB);
}

function embed(units: readonly ReferenceUnit[], table: Float32Array) {
  const inputs: Vector[] = [];
  const positions: (readonly number[])[] = [];
  const levels: (Float32Array | undefined)[] = [];
  let next = 0;
  for (const unit of units) {
    if (typeof unit === "number") {
      inputs.push(Float64Array.from(table.subarray(unit * HIDDEN, (unit + 1) * HIDDEN)));
      positions.push([next, next, next]);
      levels.push(undefined);
      next++;
      continue;
    }
    const columns = unit.rows.length / (unit.h * unit.w);
    for (let row = 0; row < unit.h * unit.w; row++) {
      const all = unit.rows.subarray(row * columns, (row + 1) * columns);
      inputs.push(Float64Array.from(all.subarray(0, HIDDEN)));
      levels.push(all);
      positions.push([next, next + Math.floor(row / unit.w), next + (row % unit.w)]);
    }
    next += Math.max(unit.h, unit.w);
  }
  return { inputs, positions, levels };
}

function multiply(matrix: Float32Array, x: Vector, rows: number): Vector {
  return Float64Array.from({ length: rows }, (_, row) => {
    let total = 0;
    for (let i = 0; i < x.length; i++) total += (matrix[row * x.length + i] as number) * (x[i] as number);
    return total;
  });
}

const add = (a: Vector, b: ArrayLike<number>): Vector => a.map((value, i) => value + (b[i] as number));

function rmsNorm(x: Vector, scale: Float32Array): Vector {
  const factor = 1 / Math.sqrt(x.reduce((total, value) => total + value * value, 0) / x.length + 1e-6);
  return x.map((value, i) => value * factor * (scale[i] as number));
}

/** Queries or keys: projected, each head normalised and turned. */
function heads(
  x: Vector,
  projection: Float32Array,
  norm: Float32Array,
  position: readonly number[] | undefined,
  rule: RopeRule,
): Vector {
  const all = multiply(projection, x, projection.length / x.length);
  for (let start = 0; start < all.length; start += HEAD) {
    const head = rmsNorm(all.slice(start, start + HEAD), norm);
    for (let pair = 0; pair < HEAD / 2; pair++) {
      const angle = positionOf(pair, position as readonly number[], rule) * 10000 ** ((-2 * pair) / HEAD);
      const [a, b] = [head[pair] as number, head[pair + HEAD / 2] as number];
      all[start + pair] = a * Math.cos(angle) - b * Math.sin(angle);
      all[start + pair + HEAD / 2] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }
  return all;
}

function positionOf(pair: number, position: readonly number[], rule: RopeRule): number {
  const axis = pair % 3;
  if (pair < 3 * (SECTIONS[axis] as number)) return position[axis] as number;
  return rule === "transformers" ? (position[0] as number) : 0;
}

function attend(query: Vector, keys: readonly Vector[], values: readonly Vector[], last: number): Vector {
  const out = new Float64Array(HEADS * HEAD);
  for (let head = 0; head < HEADS; head++) {
    const group = Math.floor(head / (HEADS / KV_HEADS)) * HEAD;
    const scores = Array.from({ length: last + 1 }, (_, at) => {
      let score = 0;
      for (let i = 0; i < HEAD; i++)
        score += (query[head * HEAD + i] as number) * ((keys[at] as Vector)[group + i] as number);
      return score / Math.sqrt(HEAD);
    });
    const largest = scores.reduce((a, b) => Math.max(a, b));
    const shares = scores.map((score) => Math.exp(score - largest));
    const total = shares.reduce((a, b) => a + b);
    for (const [at, share] of shares.entries()) {
      for (let i = 0; i < HEAD; i++) {
        out[head * HEAD + i] =
          (out[head * HEAD + i] as number) + (share / total) * ((values[at] as Vector)[group + i] as number);
      }
    }
  }
  return out;
}
