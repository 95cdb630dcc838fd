/** transformers.js itself with vitgraph's encoder: the same tokens as with an ONNX session of the same weights. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  AutoImageProcessor,
  AutoModelForCausalLM,
  AutoTokenizer,
  env,
  type PreTrainedTokenizer,
  Qwen2VLForConditionalGeneration,
  RawImage,
  Tensor,
} from "@huggingface/transformers";
import { compareWithReference, EncoderEngine, type EncoderEngineOptions } from "@vitgraph/core";
import { attachEncoder, type ImageEncoder } from "@vitgraph/transformers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runReadmeExample } from "../../vitest.readme.js";
import { writeOnnxModel } from "./onnx-qwen2-vl.js";

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const CHECKPOINT = fixture("models/qwen2-vl-tiny");
const TOKENIZER = fixture("qwen3-vl-chat-tiny");
const PHOTO = fixture("models/images/image1_150x210_RGB.png");
const OTHER_PHOTO = fixture("models/images/image2_330x100_RGB.png");

const IDS = { vocabSize: 320, image: 300, visionStart: 301, video: 303, end: 299 };
const IMAGE = "<|vision_start|><|image_pad|><|vision_end|>";
const NEW_TOKENS = 12;

// biome-ignore lint/suspicious/noExplicitAny: transformers.js has no types for encode_image and what generate takes
type Model = any;

let folder: string;
let withVision: Model;
let withoutVision: Model;
let tokenizer: PreTrainedTokenizer;
let engine: EncoderEngine;
/** Of PHOTO, as transformers.js' own processor and tokenizer make them. */
let inputs: { pixel_values: Tensor; image_grid_thw: Tensor; input_ids: Tensor; attention_mask: Tensor };

const createEngine = (options: Partial<EncoderEngineOptions> = {}) =>
  EncoderEngine.create({ model: CHECKPOINT, devices: [{ backend: "cpu" }], ...options });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-onnx-"));
  env.allowRemoteModels = false;
  env.localModelPath = folder;
  await writeOnnxModel(join(folder, "model"), CHECKPOINT, IDS);
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await cp(join(TOKENIZER, name), join(folder, "model", name));
  // Larger images than the fixture's: some 40 rows.
  const settings = JSON.parse(await readFile(join(CHECKPOINT, "preprocessor_config.json"), "utf8"));
  settings.size = { shortest_edge: 3136, longest_edge: 40_000 };
  await writeFile(join(folder, "model", "preprocessor_config.json"), JSON.stringify(settings));
  const options = { dtype: "fp32", device: "cpu", local_files_only: true } as const;
  withVision = await Qwen2VLForConditionalGeneration.from_pretrained("model", options);
  withoutVision = await AutoModelForCausalLM.from_pretrained("model", options);
  tokenizer = await AutoTokenizer.from_pretrained("model");
  const processor = await AutoImageProcessor.from_pretrained("model");
  const { pixel_values, image_grid_thw } = await processor(await RawImage.read(PHOTO));
  const [t, h, w] = [...image_grid_thw.data].map(Number) as [number, number, number];
  const prompt = `What is this? ${IMAGE}`.replace("<|image_pad|>", "<|image_pad|>".repeat((t * h * w) / 4));
  inputs = {
    pixel_values,
    image_grid_thw,
    ...(tokenizer(prompt) as Pick<typeof inputs, "input_ids" | "attention_mask">),
  };
  engine = await createEngine();
}, 120_000);

afterAll(async () => {
  await engine?.close();
  await rm(folder, { recursive: true, force: true });
});

async function generate(model: Model, given: object = inputs): Promise<number[]> {
  const output = await model.generate({ ...given, max_new_tokens: NEW_TOKENS, do_sample: false });
  const prompt = (given as typeof inputs).input_ids.dims[1] as number;
  return output.tolist()[0].map(Number).slice(prompt);
}

async function generateAttached(model: Model, encoder: ImageEncoder = engine): Promise<number[]> {
  using _ = attachEncoder(model, encoder);
  return generate(model);
}

describe("greedy tokens", () => {
  test("equal those of the ONNX vision session", async () => {
    const expected = await generate(withVision);
    expect(expected.length).toBeGreaterThan(4);
    expect(new Set(expected).size).toBeGreaterThan(4);
    expect(await generateAttached(withVision)).toEqual(expected);
  });

  test("equal them where no vision session is loaded", async () => {
    expect(Object.keys(withoutVision.sessions)).not.toContain("vision_encoder");
    expect(await generateAttached(withoutVision)).toEqual(await generate(withVision));
  });

  test("depend on the image", async () => {
    const grey = new Tensor(
      "float32",
      new Float32Array(inputs.pixel_values.data.length),
      inputs.pixel_values.dims,
    );
    using _ = attachEncoder(withoutVision, engine);
    expect(await generate(withoutVision, { ...inputs, pixel_values: grey })).not.toEqual(
      await generate(withoutVision),
    );
  });

  test.each([
    ["graphs", { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] }],
    ["no graphs", { cudagraph_mm_encoder: false }],
    ["no compilation", { compile_mm_encoder: false, cudagraph_mm_encoder: false }],
  ])("are the same with %s", async (_, compilationConfig) => {
    const other = await createEngine({ compilationConfig });
    expect(await generateAttached(withoutVision, other)).toEqual(await generate(withVision));
    await other.close();
  });
});

test("embeddings equal the ONNX session's", async () => {
  const expected = (await withVision.encode_image(inputs)) as Tensor;
  using _ = attachEncoder(withoutVision, engine);
  const features = (await withoutVision.encode_image(inputs)) as Tensor;
  expect(features.dims).toEqual(expected.dims);
  const [value, reference] = [features.data, expected.data] as Float32Array[];
  // Both compute in float32, in another order.
  expect(compareWithReference(value!, reference!).relativeL2).toBeLessThan(1e-4);
});

describe("the other families that it takes", () => {
  test.each([
    ["qwen2_5_vl", "Qwen2_5_VL", "models/qwen2-5-vl-tiny"],
    ["qwen3_5", "Qwen3_5", "models/qwen3-5-tiny"],
  ])("%s: its own class, and rows of its own tower", async (modelType, name, path) => {
    const directory = join(folder, modelType);
    await cp(join(folder, "model"), directory, { recursive: true });
    const { vision_config } = JSON.parse(await readFile(join(fixture(path), "config.json"), "utf8"));
    const config = JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
    const text_config = {
      ...config,
      model_type: `${modelType}_text`,
      layer_types: ["full_attention", "full_attention"],
    };
    await writeFile(
      join(directory, "config.json"),
      JSON.stringify({
        ...config,
        model_type: modelType,
        architectures: [`${name}ForConditionalGeneration`],
        text_config,
        vision_config,
      }),
    );
    const options = { dtype: "fp32", device: "cpu", local_files_only: true } as const;
    const model: Model = await AutoModelForCausalLM.from_pretrained(modelType, options);
    expect(model.constructor.name).toBe(`${name}ForCausalLM`);
    const other = await createEngine({ model: fixture(path) });
    const image = { image: await readFile(PHOTO) };
    using attachment = attachEncoder(model, other);
    const prepared = await attachment.prepare(tokenizer, IMAGE, [image]);
    const tokens = await generate(model, prepared);
    const [outcome] = await other.encode([image]);
    if (outcome?.status !== "fulfilled") throw new Error("not encoded");
    const { data, tokens: rows } = outcome.value;
    attachment.detach();
    model.encode_image = async () => new Tensor("float32", data, [rows, 32]);
    expect(tokens).toEqual(await generate(model, prepared));
    model.encode_image = async () => new Tensor("float32", new Float32Array(rows * 32), [rows, 32]);
    expect(tokens).not.toEqual(await generate(model, prepared));
    await other.close();
  });
});

describe("prepare", () => {
  test("takes encoded images, several of them, and makes what the ONNX session would see", async () => {
    using attachment = attachEncoder(withoutVision, engine);
    const images = await Promise.all([PHOTO, OTHER_PHOTO].map((path) => readFile(path)));
    const text = `${IMAGE} and ${IMAGE}?`;
    const prepared = await attachment.prepare(
      tokenizer,
      text,
      images.map((image) => ({ image })),
    );
    const tokens = await generate(withoutVision, prepared);
    const embeddings = (await engine.encode(images.map((image) => ({ image })))).map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
    // By hand: the text with as many image tokens, and rows one after the other.
    const ids = tokenizer(
      embeddings
        .reduce((prompt, { tokens }) => prompt.replace("<|image_pad|>", "§".repeat(tokens)), text)
        .replaceAll("§", "<|image_pad|>"),
    );
    expect(prepared.input_ids.data).toEqual(ids.input_ids.data);
    expect([...prepared.image_grid_thw.data].map(Number)).toEqual(
      embeddings.flatMap(({ grid: { t, h, w } }) => [t, h, w]),
    );
    const features = Float32Array.from(embeddings.flatMap(({ data }) => [...data]));
    withVision.encode_image = async () => new Tensor("float32", features, [features.length / 32, 32]);
    const expected = await generate(withVision, prepared);
    delete withVision.encode_image;
    expect(tokens).toEqual(expected);
    const swapped = await attachment.prepare(
      tokenizer,
      text,
      images.toReversed().map((image) => ({ image })),
    );
    expect(await generate(withoutVision, swapped)).not.toEqual(tokens);
  });

  test("refuses a text with another number of image tokens", async () => {
    using attachment = attachEncoder(withoutVision, engine);
    await expect(
      attachment.prepare(tokenizer, IMAGE + IMAGE, [{ image: await readFile(PHOTO) }]),
    ).rejects.toThrow(
      "the text has 2 times <|image_pad|>, and there are 1 images: write the image token once for each image, in their order: the chat template does",
    );
  });

  test("throws the encoder's error for an image", async () => {
    using attachment = attachEncoder(withoutVision, engine);
    await expect(attachment.prepare(tokenizer, IMAGE, [{ image: new Uint8Array(9) }])).rejects.toMatchObject({
      code: "VG_IMAGE_INVALID",
    });
  });
});

describe("nothing wrong goes in silently", () => {
  test("too few rows for the prompt", async () => {
    using _ = attachEncoder(withoutVision, engine);
    const { input_ids, attention_mask } = tokenizer(IMAGE) as Pick<
      typeof inputs,
      "input_ids" | "attention_mask"
    >;
    const rows = inputs.input_ids.tolist()[0].filter((id: bigint) => id === 300n).length;
    await expect(generate(withoutVision, { ...inputs, input_ids, attention_mask })).rejects.toThrow(
      `the prompt has 1 image tokens, and its images have ${rows} rows: give the processor's input_ids and pixel_values of the same images, or use prepare()`,
    );
  });

  test("rows that are narrower than the text's", async () => {
    const vision = { ...engine.model.vision, outputColumns: [16] };
    const narrow: ImageEncoder = {
      model: { ...engine.model, vision },
      encode: (items) => engine.encode(items),
    };
    const config = { ...withoutVision.config, hidden_size: 16 };
    const liar = Object.assign(Object.create(withoutVision), { config });
    using _ = attachEncoder(liar, narrow);
    await expect(generate(liar)).rejects.toThrow(
      "the images' embeddings have 16 columns, and the text's have 32: give the engine the checkpoint that the ONNX model was made of",
    );
  });

  test("pixel values without their grid", async () => {
    using _ = attachEncoder(withoutVision, engine);
    const image_grid_thw = new Tensor("int64", BigInt64Array.of(1n, 4n, 4n), [1, 3]);
    await expect(withoutVision.encode_image({ ...inputs, image_grid_thw })).rejects.toThrow(
      /^pixel_values is float32 \[\d+, 1176\], and image_grid_thw makes 16 patches: /,
    );
  });
});

describe("what attachEncoder refuses", () => {
  const attachWith = (config: object) => () =>
    attachEncoder(
      Object.assign(Object.create(withoutVision), { config: { ...withoutVision.config, ...config } }),
      engine,
    );

  test("Qwen3-VL, whose deepstack levels transformers.js drops", () => {
    const vision_config = { deepstack_visual_indexes: [5, 11, 17] };
    expect(attachWith({ model_type: "qwen3_vl", vision_config })).toThrow(
      `transformers.js adds no deepstack levels to its decoder's layers, and the vision tower of "qwen3_vl" has 3: its answers would be wrong with any encoder: use llama.cpp (@vitgraph/llama-cpp) or vLLM for this model`,
    );
  });

  test("an encoder of another family", () => {
    expect(attachWith({ model_type: "qwen2_5_vl" })).toThrow(
      `the model is "qwen2_5_vl", and the encoder's checkpoint is "qwen2_vl": give the engine the checkpoint that the ONNX model was made of`,
    );
  });

  test("an encoder of another size", () => {
    expect(attachWith({ hidden_size: 64 })).toThrow(
      "the encoder's embeddings have 32 columns, and the model takes 64: give the engine the checkpoint that the ONNX model was made of",
    );
  });

  test("another model, and something else", () => {
    expect(attachWith({ model_type: "llava" })).toThrow(
      'the model has model_type "llava": attachEncoder takes qwen2_vl, qwen2_5_vl, qwen3_5, qwen3_5_moe',
    );
    expect(() => attachEncoder({} as Model, engine)).toThrow(
      "the model has no method encode_image, _merge_input_ids_with_image_features: pass a model that transformers.js 4 has loaded: qwen2_vl, qwen2_5_vl, qwen3_5, qwen3_5_moe",
    );
  });

  test("a second encoder", () => {
    using _ = attachEncoder(withoutVision, engine);
    expect(() => attachEncoder(withoutVision, engine)).toThrow(
      "the model has an encoder of vitgraph already: detach it first",
    );
  });
});

test("detach gives the model its own methods back", async () => {
  const before = [withVision.encode_image, withVision._merge_input_ids_with_image_features];
  const expected = await generate(withVision);
  const attachment = attachEncoder(withVision, engine);
  expect(withVision.encode_image).not.toBe(before[0]);
  attachment.detach();
  attachment.detach();
  expect([withVision.encode_image, withVision._merge_input_ids_with_image_features]).toEqual(before);
  expect(Object.hasOwn(withVision, "encode_image")).toBe(false);
  expect(await generate(withVision)).toEqual(expected);
  attachEncoder(withVision, engine).detach();
});

test("the README's example runs", async () => {
  const readme = new URL("../../packages/transformers/README.md", import.meta.url);
  const { printed } = await runReadmeExample(readme, import.meta.url, {
    edit: (example) =>
      example
        .replace('"onnx-community/Qwen2-VL-2B-Instruct"', '"model"')
        .replace('"q4"', '"fp32"')
        .replace("path/to/Qwen2-VL-2B-Instruct", CHECKPOINT)
        .replace("photo.jpg", PHOTO)
        .replace("max_new_tokens: 200", "max_new_tokens: 5"),
  });
  expect(printed).toHaveLength(1);
  expect(printed[0]).not.toBe("");
});
