/** Checkpoints as they come: single and sharded, every dtype and prefix, and damaged in every way. */
import { mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createDevice,
  type EncoderItem,
  loadModel,
  MODEL_TYPES,
  type TensorData,
  VisionEncoder,
} from "@vitgraph/core";
import { MINIATURE_CONFIG, type MiniatureOptions, writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { joinEmbeddings } from "./fixtures.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

const item: EncoderItem = {
  format: "normalized",
  grid: { t: 1, h: 4, w: 6 },
  pixelValues: Float32Array.from({ length: 24 * 24 }, (_, index) => Math.sin(index)),
};

async function encodeWith(options: MiniatureOptions): Promise<Float32Array> {
  await writeMiniatureCheckpoint(directory, options);
  return encodeDirectory();
}

async function encodeDirectory(): Promise<Float32Array> {
  await using model = await loadModel(directory);
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({ model, device });
  return joinEmbeddings(await encoder.encode([item]));
}

/** A checkpoint with a tensor of four elements in the language model, in a dtype that the tower never has. */
function besideTensorOf(dtype: TensorData["dtype"], sizeBytes: number): MiniatureOptions {
  const tensor = { name: "model.language_model.scale", dtype, shape: [4], bytes: new Uint8Array(sizeBytes) };
  return { edit: (tensors) => [...tensors, tensor] };
}

const expected = await (async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const values = await encodeWith({});
  await rm(directory, { recursive: true });
  return values;
})();

describe("the same weights give the same embeddings", () => {
  test.each<[string, MiniatureOptions]>([
    ["in three shards", { shards: 3 }],
    ["under the older prefix", { prefix: "visual." }],
    ["under a prefix of no family", { prefix: "vlm.model.visual." }],
    ["under the prefix of a thinker", { prefix: "thinker.visual." }],
    ["under the language model's prefix", { prefix: "model.language_model.visual." }],
    ["under no prefix", { prefix: "" }],
    ["under a prefix of no family, in shards", { prefix: "vlm.model.visual.", shards: 3 }],
    ["as float32", { dtype: "F32" }],
    ["as float16", { dtype: "F16" }],
    ["beside scales of MXFP8", besideTensorOf("F8_E8M0", 4)],
    ["beside tensors of six bits", besideTensorOf("F6_E2M3", 3)],
    ["beside tensors of AMD's eight bits", besideTensorOf("F8_E4M3FNUZ", 4)],
    ["beside tensors of a dtype to come", besideTensorOf("F12" as "F16", 6)],
  ])("%s", async (_, options) => {
    const values = await encodeWith(options);
    expect(values).toHaveLength(expected.length);
    for (const [index, value] of values.entries()) expect(value).toBeCloseTo(expected[index]!, 5);
  });
});

test("shards without an index are read, as vLLM does", async () => {
  await writeMiniatureCheckpoint(directory, { shards: 3 });
  await rm(join(directory, "model.safetensors.index.json"));
  expect(await encodeDirectory()).toEqual(expected);
});

test.each(["qwen3_5", "qwen3_5_moe"])(
  "the tower of %s has the columns of Qwen3-VL's, without deepstack",
  async (model_type) => {
    await writeMiniatureCheckpoint(directory, {
      edit: (tensors) => tensors.filter(({ name }) => !name.includes("deepstack")),
    });
    const vision_config = { ...MINIATURE_CONFIG.vision_config, deepstack_visual_indexes: [] };
    await writeFile(join(directory, "config.json"), JSON.stringify({ model_type, vision_config }));
    const columns = vision_config.out_hidden_size;
    const main = expected.filter((_, index) => index % (2 * columns) < columns);
    expect(await encodeDirectory()).toEqual(main);
  },
);

test("a prefix of no family is said", async () => {
  await writeMiniatureCheckpoint(directory, { prefix: "vlm.model.visual." });
  await using foreign = await loadModel(directory);
  expect(foreign.notes).toEqual([
    "the vision tower's tensors have the prefix vlm.model.visual. instead of model.visual.",
  ]);
  await writeMiniatureCheckpoint(directory, { prefix: "visual." });
  await using usual = await loadModel(directory);
  expect(usual.notes).toEqual([]);
});

test("the tower of Qwen3-Omni's thinker, under its own names", async () => {
  const base = await encodeWith({});
  const renamed = (name: string) =>
    name
      .replace("model.visual.", "thinker.visual.")
      .replace("deepstack_merger_list.", "merger_list.")
      .replace(/(merger|merger_list\.0)\.norm\./, "$1.ln_q.")
      .replace(/(merger|merger_list\.0)\.linear_fc1\./, "$1.mlp.0.")
      .replace(/(merger|merger_list\.0)\.linear_fc2\./, "$1.mlp.2.");
  await writeMiniatureCheckpoint(directory, {
    edit: (tensors) => tensors.map((tensor) => ({ ...tensor, name: renamed(tensor.name) })),
  });
  const { vision_config } = MINIATURE_CONFIG;
  const config = { model_type: "qwen3_omni_moe", thinker_config: { vision_config } };
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  const processor = { patch_size: 2, image_mean: 0.5, image_std: 0.5 };
  await writeFile(join(directory, "preprocessor_config.json"), JSON.stringify(processor));
  await using model = await loadModel(directory);
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({ model, device });
  expect(model.notes).toEqual([]);
  expect(joinEmbeddings(await encoder.encode([item]))).toEqual(base);
});

test("deepstack levels come in the order of the layers, whatever the order of the list", async () => {
  const withLevels = async (deepstack_visual_indexes: number[], swap: boolean) => {
    const vision_config = { ...MINIATURE_CONFIG.vision_config, deepstack_visual_indexes };
    await writeMiniatureCheckpoint(directory, {
      edit: (tensors) => [
        ...tensors.map((tensor) =>
          swap ? { ...tensor, name: tensor.name.replace("merger_list.0.", "merger_list.1.") } : tensor,
        ),
        ...tensors
          .filter(({ name }) => name.includes("merger_list.0."))
          .map((tensor) => ({
            ...tensor,
            name: swap ? tensor.name : tensor.name.replace("merger_list.0.", "merger_list.1."),
            bytes: tensor.bytes.map((byte, at) => (at % 2 === 0 ? byte ^ 0x55 : byte)),
          })),
      ],
    });
    await writeFile(
      join(directory, "config.json"),
      JSON.stringify({ model_type: "qwen3_vl", vision_config }),
    );
    await using model = await loadModel(directory);
    using device = createDevice({ backend: "cpu" });
    using encoder = await VisionEncoder.create({ model, device });
    return joinEmbeddings(await encoder.encode([item]));
  };
  // The mergers belong to the list's places: both checkpoints have the same merger after each layer.
  expect(await withLevels([1, 0], true)).toEqual(await withLevels([0, 1], false));
});

describe("a model's id instead of a directory", () => {
  afterEach(() => vi.unstubAllEnvs());
  const commit = "0123456789abcdef0123456789abcdef01234567";

  test("is found in the local cache of the hub", async () => {
    vi.stubEnv("HF_HUB_CACHE", join(directory, "hub"));
    const folder = join(directory, "hub/models--some-org--a.model");
    await mkdir(join(folder, "refs"), { recursive: true });
    await writeFile(join(folder, "refs/main"), commit);
    await writeMiniatureCheckpoint(join(folder, "snapshots", commit));
    await using model = await loadModel("some-org/a.model");
    expect(model.name).toBe("some-org/a.model");
    expect(model.notes).toEqual([`some-org/a.model is read from ${join(folder, "snapshots", commit)}`]);
    await rename(join(folder, "snapshots", commit), join(folder, "snapshots", "gone"));
    await expect(loadModel("some-org/a.model")).rejects.toMatchObject({ code: "VG_FILE_UNREADABLE" });
    // A damaged ref can't point out of the cache.
    await writeFile(join(folder, "refs/main"), "gone");
    await expect(loadModel("some-org/a.model")).rejects.toMatchObject({ code: "VG_FILE_UNREADABLE" });
  });

  test.each([
    ["HF_HOME", "hub"],
    ["XDG_CACHE_HOME", "huggingface/hub"],
  ])("the cache is found by %s", async (variable, below) => {
    for (const name of ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]) vi.stubEnv(name, "");
    vi.stubEnv(variable, directory);
    const folder = join(directory, below, "models--org--model");
    await mkdir(join(folder, "refs"), { recursive: true });
    await writeFile(join(folder, "refs/main"), `${commit}\n`);
    await writeMiniatureCheckpoint(join(folder, "snapshots", commit));
    await using model = await loadModel("org/model");
    expect(model.weights.size).toBeGreaterThan(0);
  });

  test("that is not there says how to download it", async () => {
    vi.stubEnv("HF_HUB_CACHE", directory);
    await expect(loadModel("org/model")).rejects.toThrow(
      "there is no directory org/model: if it is a model's id, download it: hf download org/model",
    );
  });
});

test("a shard without a tensor of the tower is never opened", async () => {
  await writeMiniatureCheckpoint(directory, { shards: 2 });
  const index = JSON.parse(await readFile(join(directory, "model.safetensors.index.json"), "utf8"));
  index.weight_map["model.language_model.layers.0.weight"] = "model-of-the-language-part.safetensors";
  await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify(index));
  await using model = await loadModel(directory);
  expect(model.weights.size).toBeGreaterThan(0);
});

describe("a damaged checkpoint is answered with what is wrong", () => {
  async function failure(prepare: () => Promise<unknown>): Promise<{ code: string; message: string }> {
    await writeMiniatureCheckpoint(directory);
    await prepare();
    try {
      await using model = await loadModel(directory);
      using device = createDevice({ backend: "cpu" });
      using _encoder = await VisionEncoder.create({ model, device });
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return { code, message: message.replaceAll(directory, "DIR") };
    }
    throw new Error("it loaded");
  }
  const rewrite = (options: MiniatureOptions) => () => writeMiniatureCheckpoint(directory, options);
  const config = (value: unknown) => () => writeFile(join(directory, "config.json"), JSON.stringify(value));

  test("a directory that does not exist", async () => {
    expect(await failure(() => rm(join(directory, "config.json")))).toEqual({
      code: "VG_FILE_UNREADABLE",
      message: expect.stringMatching(
        /^cannot read DIR\/config.json \(ENOENT.*\): give the directory of a checkpoint, or its id on the Hugging Face hub \(ORG\/NAME\)$/,
      ),
    });
  });

  test.each([
    ["of another family", "mllama", "MllamaForConditionalGeneration"],
    ["of text alone", "qwen3", "Qwen3ForCausalLM"],
    ["of a type that nobody has", "foo", "FooModel"],
  ])("a checkpoint %s, with the list of families", async (_what, modelType, architecture) => {
    expect(await failure(config({ model_type: modelType, architectures: [architecture] }))).toEqual({
      code: "VG_MODEL_UNSUPPORTED",
      message:
        `model_type "${modelType}" (architectures: ${architecture}) is not supported: ` +
        `supported model types: ${MODEL_TYPES.join(", ")}`,
    });
  });

  test("a config that contradicts itself", async () => {
    const { vision_config } = MINIATURE_CONFIG;
    const change = (change: object) =>
      config({ ...MINIATURE_CONFIG, vision_config: { ...vision_config, ...change } });
    expect((await failure(change({ num_heads: 3 }))).message).toBe(
      "vision_config.num_heads is 3: expected a divisor of hidden_size 16; check the checkpoint's config.json",
    );
    expect((await failure(change({ deepstack_visual_indexes: [7] }))).message).toBe(
      "vision_config.deepstack_visual_indexes is 7: expected layers below depth 2; check the checkpoint's config.json",
    );
    expect((await failure(change({ depth: "two" }))).message).toBe(
      'vision_config.depth is "two": expected a positive integer; check the checkpoint\'s config.json',
    );
  });

  test("a missing tensor", async () => {
    const missing = "model.visual.blocks.1.mlp.linear_fc1.weight";
    expect(await failure(rewrite({ edit: (list) => list.filter(({ name }) => name !== missing) }))).toEqual({
      code: "VG_WEIGHTS_INVALID",
      message:
        "DIR has no tensor model.visual.blocks.1.mlp.linear_fc1.weight or visual.blocks.1.mlp.linear_fc1.weight: " +
        "the checkpoint is incomplete, or config.json belongs to another",
    });
  });

  test("a tensor of another shape", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) =>
        tensor.name.endsWith("0.attn.qkv.weight") ? { ...tensor, shape: [24, 32] } : tensor,
      );
    expect((await failure(rewrite({ edit }))).message).toBe(
      'tensor "model.visual.blocks.0.attn.qkv.weight" has shape [24, 32], but config.json makes it [48, 16]: ' +
        "use the config.json of the checkpoint that the weights are from",
    );
  });

  test("a dtype that no kernel reads", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) =>
        tensor.name.endsWith("0.attn.qkv.weight")
          ? { ...tensor, dtype: "F8_E4M3", bytes: tensor.bytes.subarray(0, tensor.bytes.length / 2) }
          : tensor,
      );
    expect((await failure(rewrite({ edit }))).message).toMatch(
      /the vision tower of .* is quantised: it keeps "model.visual.blocks.0.attn.qkv.weight" as F8_E4M3: use a/,
    );
  });

  test.each<[string, string, string, object?]>([
    ["AWQ", ".qweight", "AWQ or GPTQ"],
    ["GPTQ", ".g_idx", "GPTQ"],
    ["compressed-tensors", ".weight_packed", "compressed-tensors"],
    ["bitsandbytes", ".weight.absmax", "bitsandbytes"],
    ["fp8 in blocks", ".weight_scale_inv", "fp8 in blocks"],
    ["a method that config.json names", ".qweight", "awq", { quantization_config: { quant_method: "awq" } }],
    [
      "NVFP4 by compressed-tensors",
      ".weight_packed",
      "compressed-tensors (nvfp4-pack-quantized)",
      { quantization_config: { quant_method: "compressed-tensors", format: "nvfp4-pack-quantized" } },
    ],
    [
      "a method beside the language model",
      ".qweight",
      "gptq",
      { text_config: { quantization_config: { quant_method: "gptq" } } },
    ],
  ])("a tower that was quantised: %s", async (_, suffix, method, more = {}) => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) => ({ ...tensor, name: tensor.name.replace(/(qkv)\.weight$/, `$1${suffix}`) }));
    const { code, message } = await failure(async () => {
      await writeMiniatureCheckpoint(directory, { edit });
      await config({ ...MINIATURE_CONFIG, ...more })();
    });
    expect(code).toBe("VG_WEIGHTS_INVALID");
    expect(message).toBe(
      `the vision tower of DIR is quantised by "${method}": it has "model.visual.blocks.0.attn.qkv${suffix}": ` +
        "use a checkpoint whose vision tower is bf16, f16 or f32; the language model may be quantised",
    );
  });

  test("a tower that was quantised: bitsandbytes keeps the names of its weights, and packs them", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) => {
        if (!tensor.name.endsWith("attn.qkv.weight")) return tensor;
        const bytes = tensor.bytes.subarray(0, tensor.bytes.length / 4);
        return { ...tensor, dtype: "U8", shape: [bytes.length, 1], bytes };
      });
    const quantization_config = { quant_method: "bitsandbytes", load_in_4bit: true };
    const { code, message } = await failure(async () => {
      await writeMiniatureCheckpoint(directory, { edit });
      await config({ ...MINIATURE_CONFIG, quantization_config })();
    });
    expect(code).toBe("VG_WEIGHTS_INVALID");
    expect(message).toMatch(
      /^the vision tower of DIR is quantised by "bitsandbytes": it keeps "\S+attn\.qkv\.weight" as U8: use a/,
    );
  });

  test("a method of quantisation that holds for the language model alone does not matter", async () => {
    await writeMiniatureCheckpoint(directory);
    await config({ ...MINIATURE_CONFIG, quantization_config: { quant_method: "awq" } })();
    await using model = await loadModel(directory);
    expect(model.notes).toEqual([]);
  });

  test("a tower of float64", async () => {
    const edit: MiniatureOptions["edit"] = (list) =>
      list.map((tensor) =>
        tensor.dtype === "BF16"
          ? { ...tensor, dtype: "F64", bytes: new Uint8Array(tensor.bytes.length * 4) }
          : tensor,
      );
    expect((await failure(rewrite({ edit }))).message).toMatch(
      /^tensor "model\.visual\.\S+" has dtype "F64": vitgraph reads F32, F16, BF16: use a checkpoint whose/,
    );
  });

  test("a part of a tower under another prefix, and two towers", async () => {
    const under =
      (prefix: string): MiniatureOptions["edit"] =>
      (list) =>
        list.map((tensor) => ({ ...tensor, name: tensor.name.replace("model.visual.", prefix) }));
    const partly: MiniatureOptions["edit"] = (list) => under("a.")!(list).filter((_, at) => at !== 3);
    expect((await failure(rewrite({ edit: partly }))).message).toMatch(
      /DIR has no tensor \S+ or \S+: tensors of that name are under "a\.", but not all of the tower's are: /,
    );
    const twice: MiniatureOptions["edit"] = (list) => [
      ...under("a.")!(list),
      ...under("b.")!(list).slice(0, -1),
    ];
    expect(await failure(rewrite({ edit: twice }))).toEqual({
      code: "VG_WEIGHTS_INVALID",
      message:
        'DIR has 2 vision towers, under the prefixes "a.", "b.": rename the tensors of one of them to model.visual.',
    });
  });

  test("numbers that only Python's JSON has, where they matter", async () => {
    const text = (value: string) => () =>
      writeFile(
        join(directory, "config.json"),
        JSON.stringify({ ...MINIATURE_CONFIG, note: 'NaN "\\ Infinity', text_config: { range: "X" } })
          .replace('"X"', "[NaN, -Infinity, Infinity]")
          .replace('"depth":2', `"depth":${value}`),
      );
    await writeMiniatureCheckpoint(directory);
    await text("2")();
    await using model = await loadModel(directory);
    expect(model.vision.config.depth).toBe(2);
    expect((await failure(text("Infinity"))).message).toMatch(
      /^vision_config.depth is Infinity: expected a pos/,
    );
    expect((await failure(text("NaN"))).message).toMatch(
      /^vision_config.depth is "NaN": expected a positive/,
    );
  });

  test("a file that was cut off", async () => {
    const { code, message } = await failure(() => truncate(join(directory, "model.safetensors"), 5000));
    expect(code).toBe("VG_WEIGHTS_INVALID");
    expect(message).toMatch(/the file is damaged: copy or download it again|is cut off/);
  });

  test("an index that names a shard that is not there", async () => {
    const { code, message } = await failure(async () => {
      await writeMiniatureCheckpoint(directory, { shards: 2 });
      await rm(join(directory, "model-00002-of-00002.safetensors"));
    });
    expect(code).toBe("VG_FILE_UNREADABLE");
    expect(message).toMatch(/^cannot open DIR\/model-00002-of-00002.safetensors/);
  });
});
