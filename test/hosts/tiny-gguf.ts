/** Writes the language model of the fixture qwen3-vl-chat-tiny as GGUF (F32), with a tokenizer of single bytes. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bf16ToF32, SafetensorsFile } from "@vitgraph/core";

const CHAT_TEMPLATE = [
  "{%- for message in messages -%}",
  "<|im_start|>{{ message.role }}\n",
  "{%- if message.content is string -%}{{ message.content }}",
  "{%- else -%}{%- for part in message.content -%}",
  "{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>",
  "{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>",
  "{%- else -%}{{ part.text }}{%- endif -%}",
  "{%- endfor -%}{%- endif -%}<|im_end|>\n",
  "{%- endfor -%}",
  "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}",
].join("");

const SPECIAL_TOKENS: Readonly<Record<number, string>> = {
  298: "<|im_start|>",
  299: "<|im_end|>",
  300: "<|image_pad|>",
  301: "<|vision_start|>",
  302: "<|vision_end|>",
  303: "<|video_pad|>",
};

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value: number) => Buffer.from(Float32Array.of(value).buffer);
const string = (text: string) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);

/** By GGUF's type numbers. */
const VALUES = {
  u32: { type: 4, write: (value: number) => u32(value) },
  i32: { type: 5, write: (value: number) => u32(value) },
  f32: { type: 6, write: (value: number) => f32(value) },
  bool: { type: 7, write: (value: boolean) => Buffer.of(value ? 1 : 0) },
  string: { type: 8, write: (value: string) => string(value) },
} as const;
type Kind = keyof typeof VALUES;

function field(key: string, kind: Kind, value: unknown): Buffer {
  const { type, write } = VALUES[kind];
  const one = write as (value: unknown) => Buffer;
  if (!Array.isArray(value)) return Buffer.concat([string(key), u32(type), one(value)]);
  return Buffer.concat([string(key), u32(9), u32(type), u64(value.length), ...value.map(one)]);
}

/** GPT-2's characters for the 256 bytes: printable bytes are themselves, the others start at U+0100. */
function byteCharacters(): readonly string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

function ggufName(name: string): string | undefined {
  if (name === "lm_head.weight") return "output.weight";
  const inner = /^model\.language_model\.(.*)\.weight$/.exec(name)?.[1];
  if (inner === undefined) return undefined;
  if (inner === "embed_tokens") return "token_embd.weight";
  if (inner === "norm") return "output_norm.weight";
  const layer = /^layers\.(\d+)\.(.*)$/.exec(inner);
  return layer === null ? undefined : `blk.${layer[1]}.${LAYER_NAMES[layer[2] as string]}.weight`;
}

export async function writeTinyGguf(checkpoint: string, path: string): Promise<void> {
  const characters = byteCharacters();
  const tokens = Array.from(
    { length: 320 },
    (_, id) => SPECIAL_TOKENS[id] ?? characters[id] ?? `[unused${id}]`,
  );
  const types = tokens.map((_, id) => (id in SPECIAL_TOKENS ? 3 : id < 256 ? 1 : 5));
  const key = (name: string) => `qwen3vl.${name}`;
  const fields = [
    field("general.architecture", "string", "qwen3vl"),
    field(key("context_length"), "u32", 4096),
    field(key("embedding_length"), "u32", 64),
    field(key("block_count"), "u32", 4),
    field(key("feed_forward_length"), "u32", 96),
    field(key("attention.head_count"), "u32", 4),
    field(key("attention.head_count_kv"), "u32", 2),
    field(key("attention.key_length"), "u32", 16),
    field(key("attention.value_length"), "u32", 16),
    field(key("attention.layer_norm_rms_epsilon"), "f32", 1e-6),
    field(key("rope.freq_base"), "f32", 10000),
    field(key("rope.dimension_sections"), "i32", [4, 2, 2, 0]),
    field(key("n_deepstack_layers"), "u32", 2),
    field("tokenizer.ggml.model", "string", "gpt2"),
    field("tokenizer.ggml.pre", "string", "qwen2"),
    field("tokenizer.ggml.tokens", "string", tokens),
    field("tokenizer.ggml.token_type", "i32", types),
    field("tokenizer.ggml.merges", "string", ["a b"]),
    field("tokenizer.ggml.eos_token_id", "u32", 299),
    field("tokenizer.ggml.add_bos_token", "bool", false),
    field("tokenizer.chat_template", "string", CHAT_TEMPLATE),
  ];
  await using file = await SafetensorsFile.open(join(checkpoint, "model.safetensors"));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const [name, { shape }] of file.tensors) {
    const target = ggufName(name);
    if (target === undefined) continue;
    const { bytes } = await file.read(name);
    const values = Buffer.from(
      bf16ToF32(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)).buffer,
    );
    infos.push(
      Buffer.concat([string(target), u32(shape.length), ...shape.toReversed().map(u64), u32(0), u64(offset)]),
    );
    const padding = Buffer.alloc(-values.length & 31);
    data.push(values, padding);
    offset += values.length + padding.length;
  }
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(infos.length),
    u64(fields.length),
    ...fields,
    ...infos,
  ]);
  await writeFile(path, Buffer.concat([head, Buffer.alloc(-head.length & 31), ...data]));
}
