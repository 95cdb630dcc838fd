import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bf16ToF32,
  encodeSafetensors,
  f32ToBf16,
  type SafetensorsDType,
  type TensorData,
} from "@vitgraph/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ConvertOptions, convertToGguf } from "./convert.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-gguf-"));
});
afterEach(() => rm(folder, { recursive: true }));

const HIDDEN = 32;
const VOCAB = 16;
const TEXT_CONFIG = {
  hidden_size: HIDDEN,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_scaling: { rope_type: "default", mrope_section: [4, 2, 2] },
  rope_theta: 5e6,
  vocab_size: VOCAB,
};
const CONFIG = {
  model_type: "qwen3_vl",
  tie_word_embeddings: false,
  text_config: TEXT_CONFIG,
  vision_config: { deepstack_visual_indexes: [1, 2, 3] },
};
const LAYER = {
  "input_layernorm.weight": [HIDDEN],
  "self_attn.q_proj.weight": [32, HIDDEN],
  "self_attn.k_proj.weight": [16, HIDDEN],
  "self_attn.v_proj.weight": [16, HIDDEN],
  "self_attn.o_proj.weight": [HIDDEN, 32],
  "self_attn.q_norm.weight": [16],
  "self_attn.k_norm.weight": [16],
  "post_attention_layernorm.weight": [HIDDEN],
  "mlp.gate_proj.weight": [48, HIDDEN],
  "mlp.up_proj.weight": [48, HIDDEN],
  "mlp.down_proj.weight": [HIDDEN, 48],
};
const shapes = (prefix = "model.language_model."): Record<string, readonly number[]> => ({
  [`${prefix}embed_tokens.weight`]: [VOCAB, HIDDEN],
  ...Object.fromEntries(Object.entries(LAYER).map(([name, shape]) => [`${prefix}layers.0.${name}`, shape])),
  [`${prefix}norm.weight`]: [HIDDEN],
  "lm_head.weight": [VOCAB, HIDDEN],
  "model.visual.blocks.0.norm1.weight": [8],
});

const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const TOKENIZER = {
  added_tokens: [
    { id: 5, content: "<|im_end|>", special: true },
    { id: 6, content: "<think>", special: false },
  ],
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern: { Regex: QWEN2 } }, { type: "ByteLevel" }],
  },
  model: {
    type: "BPE",
    vocab: { a: 0, b: 1, ab: 2, Ġ: 3, Ġa: 4 },
    merges: [
      ["a", "b"],
      ["Ġ", "a"],
    ],
  },
};
const TOKENIZER_CONFIG = {
  eos_token: "<|im_end|>",
  add_bos_token: false,
  chat_template: "{{ messages }}",
  // A token that tokenizer.json lacks.
  added_tokens_decoder: { "7": { content: "<|image_pad|>", special: true } },
};

const count = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1);

/** Values that tell their place. */
const valuesOf = (shape: readonly number[]): Float32Array =>
  bf16ToF32(f32ToBf16(Float32Array.from({ length: count(shape) }, (_, i) => Math.sin(i + 1))));

function tensor(name: string, shape: readonly number[], dtype: SafetensorsDType = "BF16"): TensorData {
  const values = valuesOf(shape);
  const array = dtype === "BF16" ? f32ToBf16(values) : values;
  return { name, dtype, shape, bytes: new Uint8Array(array.buffer) };
}

interface CheckpointParts {
  readonly config?: object;
  readonly tensors?: readonly TensorData[];
  readonly tokenizer?: object | null;
  readonly tokenizerConfig?: object;
}

const json = (name: string, value: object) => writeFile(join(folder, name), JSON.stringify(value));

async function checkpoint(parts: CheckpointParts = {}): Promise<void> {
  const { config = CONFIG, tokenizer = TOKENIZER, tokenizerConfig = TOKENIZER_CONFIG } = parts;
  const { tensors = Object.entries(shapes()).map(([name, shape]) => tensor(name, shape)) } = parts;
  await json("config.json", config);
  if (tokenizer !== null) await json("tokenizer.json", tokenizer);
  await json("tokenizer_config.json", tokenizerConfig);
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
}

const output = () => join(folder, "out.gguf");

async function convert(options: ConvertOptions = { outtype: "f32" }): Promise<Gguf> {
  await convertToGguf(folder, output(), options);
  return readGguf(await readFile(output()));
}

/** The error's text without the folder; nothing may have been written. */
async function failure(options?: ConvertOptions): Promise<string> {
  const error = await convertToGguf(folder, output(), options).then(
    () => expect.fail("no error"),
    (error: Error) => error,
  );
  expect((await readdir(folder)).filter((name) => /gguf|tmp/.test(name))).toEqual([]);
  return error.message.replaceAll(folder, "DIR");
}

interface Gguf {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, { shape: readonly number[]; type: number; bytes: Buffer }>>;
}

/** The format's text read again, independently of the writer. */
function readGguf(file: Buffer): Gguf {
  let at = 0;
  /** Offset of the next `bytes` bytes. */
  const take = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const u32 = () => file.readUInt32LE(take(4));
  const u64 = () => Number(file.readBigUInt64LE(take(8)));
  const text = () => {
    const bytes = u64();
    const start = take(bytes);
    return file.toString("utf8", start, start + bytes);
  };
  const read: Record<number, () => unknown> = {
    4: u32,
    5: () => file.readInt32LE(take(4)),
    6: () => file.readFloatLE(take(4)),
    7: () => file[take(1)] === 1,
    8: text,
    9: () => {
      const type = u32();
      return Array.from({ length: u64() }, () => read[type]!());
    },
  };
  expect(file.toString("latin1", take(4), 4)).toBe("GGUF");
  expect(u32()).toBe(3);
  const [tensorCount, keyCount] = [u64(), u64()];
  const metadata = Object.fromEntries(Array.from({ length: keyCount }, () => [text(), read[u32()]!()]));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  expect(infos.every(({ offset }) => offset % 32 === 0)).toBe(true);
  const tensors = infos.map(({ name, shape, type, offset }, i) => {
    const end = infos[i + 1] === undefined ? file.length : start + infos[i + 1]!.offset;
    return [name, { shape, type, bytes: file.subarray(start + offset, end) }] as const;
  });
  return { metadata, tensors: Object.fromEntries(tensors) };
}

const floats = ({ shape, bytes }: { shape: readonly number[]; bytes: Buffer }): Float32Array =>
  new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4 * count(shape)));

describe("metadata", () => {
  test("what llama.cpp asks for", async () => {
    await checkpoint();
    await json("generation_config.json", { temperature: 0.5, top_k: 20, do_sample: true });
    const { metadata } = await convert({ outtype: "q8_0" });
    expect(metadata).toEqual({
      "general.architecture": "qwen3vl",
      "general.type": "model",
      "general.name": folder.split("/").at(-1),
      "general.file_type": 7,
      "general.quantization_version": 2,
      "general.sampling.top_k": 20,
      "general.sampling.temp": 0.5,
      "qwen3vl.block_count": 1,
      "qwen3vl.context_length": 128,
      "qwen3vl.embedding_length": 32,
      "qwen3vl.attention.head_count": 2,
      "qwen3vl.attention.head_count_kv": 1,
      "qwen3vl.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
      "qwen3vl.feed_forward_length": 48,
      "qwen3vl.attention.key_length": 16,
      "qwen3vl.attention.value_length": 16,
      "qwen3vl.rope.dimension_sections": [4, 2, 2, 0],
      "qwen3vl.rope.freq_base": 5e6,
      "qwen3vl.n_deepstack_layers": 3,
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "qwen2",
      "tokenizer.ggml.tokens": [
        ...["a", "b", "ab", "Ġ", "Ġa", "<|im_end|>", "<think>", "<|image_pad|>"],
        ...[8, 9, 10, 11, 12, 13, 14, 15].map((id) => `[PAD${id}]`),
      ],
      "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 3, 4, 3, 5, 5, 5, 5, 5, 5, 5, 5],
      "tokenizer.ggml.merges": ["a b", "Ġ a"],
      "tokenizer.ggml.eos_token_id": 5,
      "tokenizer.ggml.add_bos_token": false,
      "tokenizer.chat_template": "{{ messages }}",
    });
  });

  test("positions scaled by YaRN", async () => {
    const rope = { type: "yarn", mrope_section: [4, 2, 2], factor: 4, original_max_position_embeddings: 32 };
    await checkpoint({ config: { ...CONFIG, text_config: { ...TEXT_CONFIG, rope_scaling: rope } } });
    const { metadata } = await convert();
    expect(metadata).toMatchObject({
      "qwen3vl.rope.scaling.type": "yarn",
      "qwen3vl.rope.scaling.factor": 4,
      "qwen3vl.rope.scaling.original_context_length": 32,
    });
  });

  test("a chat template in a file beside tokenizer_config.json", async () => {
    await checkpoint({ tokenizerConfig: {} });
    await writeFile(join(folder, "chat_template.jinja"), "{{ 1 }}");
    const { metadata } = await convert();
    expect(metadata["tokenizer.chat_template"]).toBe("{{ 1 }}");
  });

  test("merges written the old way, and a space in one", async () => {
    const model = { ...TOKENIZER.model, merges: ["a b", [" ", "a"]] };
    await checkpoint({ tokenizer: { ...TOKENIZER, model } });
    expect((await convert()).metadata["tokenizer.ggml.merges"]).toEqual(["a b", "Ġ a"]);
  });
});

describe("tensors", () => {
  test("all of the language model's, under llama.cpp's names", async () => {
    await checkpoint();
    const { tensors } = await convert();
    expect(Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))).toEqual({
      "token_embd.weight": [16, 32],
      "blk.0.attn_q.weight": [32, 32],
      "blk.0.attn_k.weight": [16, 32],
      "blk.0.attn_v.weight": [16, 32],
      "blk.0.attn_output.weight": [32, 32],
      "blk.0.attn_norm.weight": [32],
      "blk.0.ffn_norm.weight": [32],
      "blk.0.attn_q_norm.weight": [16],
      "blk.0.attn_k_norm.weight": [16],
      "blk.0.ffn_gate.weight": [48, 32],
      "blk.0.ffn_up.weight": [48, 32],
      "blk.0.ffn_down.weight": [32, 48],
      "output_norm.weight": [32],
      "output.weight": [16, 32],
    });
    for (const tensor of Object.values(tensors)) expect(floats(tensor)).toEqual(valuesOf(tensor.shape));
  });

  test("vectors and norms stay float32, and rows of no whole number of Q8_0 blocks are F16", async () => {
    await checkpoint();
    const { tensors } = await convert({ outtype: "q8_0" });
    const types = { F32: 0, F16: 1, Q8_0: 8 };
    expect(tensors["blk.0.attn_q_norm.weight"]?.type).toBe(types.F32);
    expect(tensors["output_norm.weight"]?.type).toBe(types.F32);
    expect(tensors["blk.0.ffn_up.weight"]?.type).toBe(types.Q8_0);
    expect(tensors["blk.0.ffn_down.weight"]?.type).toBe(types.F16);
  });

  test("under each prefix that transformers has used", async () => {
    for (const prefix of ["model.", "language_model.model."]) {
      await checkpoint({
        tensors: Object.entries(shapes(prefix)).map(([name, shape]) => tensor(name, shape)),
      });
      expect(Object.keys((await convert()).tensors)).toHaveLength(14);
    }
  });

  test("no output matrix where it is tied to the embedding", async () => {
    const tensors = Object.entries(shapes()).map(([name, shape]) => tensor(name, shape));
    await checkpoint({
      config: { ...CONFIG, tie_word_embeddings: true },
      tensors: tensors.filter(({ name }) => name !== "lm_head.weight"),
    });
    expect((await convert()).tensors["output.weight"]).toBeUndefined();
  });

  test("from shards", async () => {
    await checkpoint();
    const tensors = Object.entries(shapes()).map(([name, shape]) => tensor(name, shape, "F32"));
    const names = ["a.safetensors", "b.safetensors"] as const;
    const files = names.map((_, file) => tensors.filter((_, i) => i % 2 === file));
    for (const [i, file] of files.entries())
      await writeFile(join(folder, names[i]!), encodeSafetensors(file));
    const map = files.flatMap((file, i) => file.map(({ name }) => [name, names[i]]));
    await json("model.safetensors.index.json", { weight_map: Object.fromEntries(map) });
    const { tensors: converted } = await convert();
    for (const tensor of Object.values(converted)) expect(floats(tensor)).toEqual(valuesOf(tensor.shape));
  });

  test("pass through memory in pieces", async () => {
    // 4 MiB as bfloat16, 8 as float32.
    const rows = 2 ** 16;
    const large = Object.entries(shapes()).map(([name, shape]) =>
      tensor(
        name,
        shape[0] === VOCAB && shape.length === 2 && !name.includes("_proj") ? [rows, HIDDEN] : shape,
      ),
    );
    await checkpoint({
      config: { ...CONFIG, text_config: { ...TEXT_CONFIG, vocab_size: rows } },
      tensors: large,
    });
    let before = 0;
    let largestStep = 0;
    const { tensors } = await convert({
      outtype: "f32",
      onProgress: (done) => {
        largestStep = Math.max(largestStep, done - before);
        before = done;
      },
    });
    expect(largestStep).toBeLessThanOrEqual(4 * 2 ** 20);
    const expected = Buffer.from(valuesOf([rows, HIDDEN]).buffer);
    expect(tensors["output.weight"]!.bytes.equals(expected)).toBe(true);
  });
});

describe("a checkpoint that cannot be converted fails before anything is written", () => {
  const all = () => Object.entries(shapes()).map(([name, shape]) => tensor(name, shape));

  test("another family", async () => {
    await checkpoint({ config: { ...CONFIG, model_type: "llava" } });
    expect(await failure()).toBe(
      `DIR has model_type "llava": the converter knows qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_vl_moe, qwen3_5, gemma3; llama.cpp's convert_hf_to_gguf.py knows more`,
    );
  });

  test("a missing tensor", async () => {
    await checkpoint({ tensors: all().filter(({ name }) => !name.includes("up_proj")) });
    expect(await failure()).toMatch(
      /^DIR has no tensor model\.language_model\.layers\.0\.mlp\.up_proj\.weight or /,
    );
  });

  test("a tensor of another shape", async () => {
    await checkpoint({ config: { ...CONFIG, text_config: { ...TEXT_CONFIG, intermediate_size: 64 } } });
    expect(await failure()).toBe(
      'tensor "model.language_model.layers.0.mlp.gate_proj.weight" has shape [48, 32], but config.json makes it [64, 32]: use the config.json of the checkpoint that the weights are from',
    );
  });

  test("a tensor that llama.cpp has no place for", async () => {
    await checkpoint({
      tensors: [...all(), tensor("model.language_model.layers.0.self_attn.q_proj.bias", [32])],
    });
    expect(await failure()).toBe(
      'DIR has tensors of the language model that llama.cpp has no place for: "model.language_model.layers.0.self_attn.q_proj.bias": config.json and the weights belong to different checkpoints, or adapters were not merged',
    );
  });

  test("a quantised language model, by config.json", async () => {
    await checkpoint({ config: { ...CONFIG, quantization_config: { quant_method: "fp8" } } });
    expect(await failure()).toBe(
      'the language model of DIR is quantised by "fp8": use the checkpoint that it was quantised from, in bf16, f16 or f32',
    );
  });

  test("a quantised language model, by its tensors", async () => {
    const name = "model.language_model.layers.0.mlp.up_proj.weight";
    const packed: TensorData = { name, dtype: "I8", shape: [48, HIDDEN], bytes: new Uint8Array(48 * HIDDEN) };
    await checkpoint({ tensors: [...all().filter((tensor) => tensor.name !== name), packed] });
    expect(await failure()).toBe(
      'the language model of DIR is quantised: it keeps "model.language_model.layers.0.mlp.up_proj.weight" as I8: use the checkpoint that it was quantised from, in bf16, f16 or f32',
    );
  });

  test("a setting that llama.cpp does not compute", async () => {
    await checkpoint({ config: { ...CONFIG, text_config: { ...TEXT_CONFIG, attention_bias: true } } });
    expect(await failure()).toBe(
      "DIR/config.json sets attention_bias to true: llama.cpp has no form for that: run this language model in another engine",
    );
  });

  const YARN = { type: "yarn", mrope_section: [4, 2, 2], factor: 4, original_max_position_embeddings: 32 };
  const SWA = { full_attention: { rope_theta: 1e6 }, sliding_attention: { rope_type: "linear", factor: 2 } };
  const GEMMA = { head_dim: 16, query_pre_attn_scalar: 16, num_hidden_layers: 1, rope_parameters: SWA };
  test.each([
    ["qwen3_vl", { rope_scaling: { ...YARN, attention_factor: 0.7 } }, "sets attention_factor to 0.7"],
    ["qwen3_vl", { rope_scaling: { ...YARN, mscale_all_dim: 1 } }, "sets mscale_all_dim to 1"],
    ["qwen3_vl", { rope_scaling: { ...YARN, truncate: false } }, "sets truncate to false"],
    [
      "qwen3_vl",
      { head_dim: 32 },
      "has mrope_section [4, 2, 2], which is not half of the 32 columns of a head that turn",
    ],
    ["qwen2_vl", { rms_norm_eps: 1e-3, hidden_act: "silu" }, "sets rms_norm_eps to 0.001"],
    ["gemma3", { ...GEMMA }, 'sets rope_type to "linear"'],
    [
      "gemma3",
      { ...GEMMA, hidden_activation: "gelu", hidden_act: "gelu" },
      'sets hidden_activation to "gelu"',
    ],
  ])("%s with %j, which llama.cpp would compute differently", async (model_type, settings, fact) => {
    const text_config = { ...TEXT_CONFIG, ...settings };
    await checkpoint({ config: { ...CONFIG, model_type, text_config } });
    expect(await failure()).toContain(`DIR/config.json ${fact}: llama.cpp has no form for that`);
  });

  test("a config without a number", async () => {
    const { head_dim: _, num_hidden_layers: __, ...rest } = TEXT_CONFIG;
    await checkpoint({ config: { ...CONFIG, text_config: rest } });
    expect(await failure()).toBe("DIR/config.json has no num_hidden_layers: copy or download it again");
  });

  test("no tokenizer", async () => {
    await checkpoint({ tokenizer: null });
    expect(await failure()).toBe(
      "DIR/tokenizer.json does not exist: download tokenizer.json and tokenizer_config.json of the checkpoint into its directory",
    );
  });

  test("a tokenizer with another pre-tokenizer", async () => {
    const pre_tokenizer = { type: "Split", pattern: { Regex: "\\s+" } };
    await checkpoint({ tokenizer: { ...TOKENIZER, pre_tokenizer } });
    expect(await failure()).toMatch(/^DIR\/tokenizer\.json splits text by "\\\\s\+": the converter knows/);
  });

  test("a token beyond the vocabulary", async () => {
    await checkpoint({ tokenizerConfig: { added_tokens_decoder: { "16": { content: "<x>" } } } });
    expect(await failure()).toBe(
      'DIR/tokenizer.json gives "<x>" the id 16, but config.json has vocab_size 16: tokenizer and config.json belong to different checkpoints',
    );
  });
});

describe("a failure while writing leaves nothing", () => {
  test("a value beyond float16", async () => {
    const name = "model.language_model.embed_tokens.weight";
    const values = new Float32Array(VOCAB * HIDDEN).fill(70_000);
    const large: TensorData = {
      name,
      dtype: "F32",
      shape: [VOCAB, HIDDEN],
      bytes: new Uint8Array(values.buffer),
    };
    await checkpoint({
      tensors: [
        ...Object.entries(shapes())
          .filter(([other]) => other !== name)
          .map(([other, shape]) => tensor(other, shape)),
        large,
      ],
    });
    expect(await failure({ outtype: "f16" })).toBe(
      'tensor "model.language_model.embed_tokens.weight" has the value 70000, which F16 cannot hold: choose --outtype bf16 or f32, which keep it',
    );
    expect((await convert({ outtype: "bf16" })).tensors["token_embd.weight"]?.type).toBe(30);
  });

  test("an abort", async () => {
    await checkpoint();
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    expect(await failure({ signal: controller.signal, onProgress })).toBe("the conversion was cancelled");
  });

  test("a directory that is not there", async () => {
    await checkpoint();
    await expect(convertToGguf(folder, join(folder, "none", "out.gguf"))).rejects.toMatchObject({
      code: "VG_FILE_UNWRITABLE",
    });
  });
});

test("progress ends at the size of the file", async () => {
  await checkpoint();
  let last: readonly number[] = [];
  const { sizeBytes } = await convertToGguf(folder, output(), {
    onProgress: (done, total) => {
      last = [done, total];
    },
  });
  expect(last).toEqual([sizeBytes, sizeBytes]);
  expect((await readFile(output())).length).toBe(sizeBytes);
});
