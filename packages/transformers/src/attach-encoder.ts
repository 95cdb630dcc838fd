/**
 * Replaces the vision session of a transformers.js model by vitgraph's encoder. `generate` calls the model's
 * `encode_image` for the images of a prompt; `attachEncoder` replaces that method on one model. It also wraps the method
 * that merges image rows and text embeddings, because transformers.js does not check the rows' width.
 */
import type { EncoderEngine, EngineItem, Grid } from "@vitgraph/core";
import { describe, listed, VitgraphError } from "@vitgraph/errors";
import {
  type HostModel,
  type HostTensor,
  type HostTokenizer,
  type ImageInputs,
  type MergeInputs,
  type PreparedInputs,
  tensorLike,
} from "./host-model.js";
import { SUPPORTED_MODELS } from "./supported-models.js";

/** The part of an `EncoderEngine` that is used here. */
export type ImageEncoder = Pick<EncoderEngine, "encode" | "model">;

/** vitgraph in the place of a model's vision session, until it is detached. */
export interface Attachment extends Disposable {
  /**
   * Encodes images with vitgraph's own decoding and preprocessing, and makes inputs for `model.generate` of them: each
   * image token of the text (`<|image_pad|>`) becomes as many as its image has rows.
   * @param text with one image token per image, in their order: a chat template's output
   * @throws VG_ARGUMENT_INVALID if the text has another number of image tokens; the encoder's error for an image
   */
  prepare(tokenizer: HostTokenizer, text: string, images: readonly EngineItem[]): Promise<PreparedInputs>;
  /** Restores the model's own methods. A second call does nothing. */
  detach(): void;
}

const SUPPORTED = listed(SUPPORTED_MODELS, 10, String);

const METHODS = ["encode_image", "_merge_input_ids_with_image_features"] as const;

/**
 * Lets the encoder encode the model's images. The vision session is not used, and need not be loaded:
 * `AutoModelForCausalLM` loads a model without it. The caller closes the encoder.
 * @param model one of the supported models, of transformers.js 4
 * @throws VG_REGISTRATION_FAILED, with the reason in `details.reason`
 */
export function attachEncoder(model: HostModel, encoder: ImageEncoder): Attachment {
  checkMethods(model);
  checkModelType(model, encoder);
  checkWidth(hiddenSize(model), encoder);
  if (attached.has(model)) {
    throw registrationFailed(
      "already_registered",
      "the model has an encoder of vitgraph already",
      "detach it first",
    );
  }
  attached.add(model);
  const prepared = new WeakMap<HostTensor, HostTensor>();
  const host = model as HostModel & { [Method in (typeof METHODS)[number]]: unknown };
  const merge = Reflect.get(model, METHODS[1]) as (inputs: MergeInputs) => unknown;
  const replacements = {
    encode_image: async (inputs: ImageInputs) =>
      prepared.get(inputs.pixel_values) ?? encodeImages(inputs, encoder),
    _merge_input_ids_with_image_features(inputs: MergeInputs) {
      checkMerge(inputs, model);
      return merge.call(model, inputs);
    },
  };
  const own = METHODS.map((method) => Object.getOwnPropertyDescriptor(model, method));
  Object.assign(host, replacements);
  const detach = () => {
    if (!attached.delete(model)) return;
    for (const [i, method] of METHODS.entries()) {
      // A method that was replaced since then is kept.
      if (host[method] !== replacements[method]) continue;
      Reflect.deleteProperty(model, method);
      if (own[i] !== undefined) Object.defineProperty(model, method, own[i]);
    }
  };
  return {
    async prepare(tokenizer, text, images) {
      const { rows, grids } = await encodeAll(images, encoder);
      const counts = rows.map(({ length }) => length / width(encoder));
      const encoded = tokenizer(expandImageTokens(text, imageToken(model, tokenizer), counts));
      const { input_ids, attention_mask } = encoded as Pick<PreparedInputs, "input_ids" | "attention_mask">;
      const pixelValues = tensorLike(input_ids, "float32", new Float32Array(0), [0, 1]);
      prepared.set(pixelValues, featuresOf(input_ids, rows, encoder));
      return {
        input_ids,
        attention_mask,
        pixel_values: pixelValues,
        image_grid_thw: gridTensor(input_ids, grids),
      };
    },
    detach,
    [Symbol.dispose]: detach,
  };
}

/** Models with an attached encoder. */
const attached = new WeakSet<HostModel>();

// ---- checks

function checkMethods(model: HostModel): void {
  const missing = METHODS.filter((method) => typeof Reflect.get(model ?? {}, method) !== "function");
  if (missing.length === 0) return;
  throw registrationFailed(
    "host_malformed",
    `the model has no method ${missing.join(", ")}`,
    `pass a model that transformers.js 4 has loaded: ${SUPPORTED}`,
  );
}

function checkModelType({ config }: HostModel, { model }: ImageEncoder): void {
  const { model_type: type } = config;
  const own: unknown[] = config.vision_config?.deepstack_visual_indexes ?? [];
  const levels = Math.max(own.length, model.vision.outputColumns.length - 1);
  if (levels > 0) {
    throw registrationFailed(
      "model_unsupported",
      `transformers.js adds no deepstack levels to its decoder's layers, and the vision tower of ${describe(type)} has ${levels}`,
      "its answers would be wrong with any encoder: use llama.cpp (@vitgraph/llama-cpp) or vLLM for this model",
    );
  }
  if (!SUPPORTED_MODELS.includes(type)) {
    throw registrationFailed(
      "model_unsupported",
      `the model has model_type ${describe(type)}`,
      `attachEncoder takes ${SUPPORTED}`,
    );
  }
  // MoE models have the tower of the dense ones.
  if (String(type).replace(/_moe$/, "") === model.vision.modelType.replace(/_moe$/, "")) return;
  throw registrationFailed(
    "model_mismatch",
    `the model is ${describe(type)}, and the encoder's checkpoint is ${describe(model.vision.modelType)}`,
    "give the engine the checkpoint that the ONNX model was made of",
  );
}

const hiddenSize = ({ config }: HostModel): unknown => config.text_config?.hidden_size ?? config.hidden_size;

const width = ({ model }: ImageEncoder): number => model.vision.outputColumns[0] as number;

function checkWidth(expected: unknown, encoder: ImageEncoder): void {
  if (expected === width(encoder)) return;
  throw registrationFailed(
    "model_mismatch",
    `the encoder's embeddings have ${width(encoder)} columns, and the model takes ${describe(expected)}`,
    "give the engine the checkpoint that the ONNX model was made of",
  );
}

/** Checks the rows before the merge: transformers.js only checks their number, and would write too few columns. */
function checkMerge(
  { inputs_embeds: embeds, image_features: features, input_ids: ids }: MergeInputs,
  model: HostModel,
): void {
  const columns = embeds.dims.at(-1);
  const fail = (fact: string, remedy: string) => new VitgraphError("VG_ITEM_INVALID", fact, { remedy });
  if (embeds.type !== "float32") {
    throw fail(
      `the text's embeddings are ${embeds.type}, and the images' are float32`,
      'load the model with dtype { embed_tokens: "fp32" }',
    );
  }
  if (features.dims.at(-1) !== columns) {
    throw fail(
      `the images' embeddings have ${features.dims.at(-1)} columns, and the text's have ${columns}`,
      "give the engine the checkpoint that the ONNX model was made of",
    );
  }
  const image = BigInt(model.config.image_token_id);
  const places = (ids.data as BigInt64Array).reduce(
    (count, id) => (BigInt(id) === image ? count + 1 : count),
    0,
  );
  if (places === features.dims[0]) return;
  throw fail(
    `the prompt has ${places} image tokens, and its images have ${features.dims[0]} rows`,
    "give the processor's input_ids and pixel_values of the same images, or use prepare()",
  );
}

/** The reasons of a failed registration, as in the encoder plugin's contract. */
type Reason = "host_malformed" | "already_registered" | "model_unsupported" | "model_mismatch";

function registrationFailed(reason: Reason, fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_REGISTRATION_FAILED", fact, { remedy, details: { reason } });
}

// ---- encoding

/** Replaces the vision session: the processor's `pixel_values` in, f32 [tokens, hidden size] out. */
async function encodeImages(
  { pixel_values: pixels, image_grid_thw: gridThw }: ImageInputs,
  encoder: ImageEncoder,
): Promise<HostTensor> {
  const grids = readGrids(gridThw);
  const [patches = 0, columns = 0] = pixels.dims;
  const total = grids.reduce((sum, [t, h, w]) => sum + t * h * w, 0);
  if (pixels.type !== "float32" || pixels.dims.length !== 2 || patches !== total) {
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `pixel_values is ${pixels.type} [${pixels.dims.join(", ")}], and image_grid_thw makes ${total} patches`,
      { remedy: "pass both as the processor of transformers.js returns them, or use prepare()" },
    );
  }
  let row = 0;
  const items = grids.map((grid): EngineItem => {
    const rows = grid[0] * grid[1] * grid[2];
    const values = (pixels.data as Float32Array).subarray(row * columns, (row + rows) * columns);
    row += rows;
    return { pixel_values: values, grid_thw: grid };
  });
  const { rows } = await encodeAll(items, encoder);
  return featuresOf(pixels, rows, encoder);
}

function readGrids({ data, dims }: HostTensor): readonly (readonly [number, number, number])[] {
  return Array.from({ length: dims[0] ?? 0 }, (_, i) => {
    const [t, h, w] = [0, 1, 2].map((axis) => Number(data[3 * i + axis]));
    return [t as number, h as number, w as number];
  });
}

/** @throws the first item's error */
async function encodeAll(
  items: readonly EngineItem[],
  encoder: ImageEncoder,
): Promise<{ readonly rows: readonly Float32Array[]; readonly grids: readonly Grid[] }> {
  const outcomes = await encoder.encode(items);
  const embeddings = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
  return { rows: embeddings.map(({ data }) => data), grids: embeddings.map(({ grid }) => grid) };
}

function featuresOf(example: HostTensor, rows: readonly Float32Array[], encoder: ImageEncoder): HostTensor {
  const features = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const data of rows) {
    features.set(data, at);
    at += data.length;
  }
  return tensorLike(example, "float32", features, [features.length / width(encoder), width(encoder)]);
}

const gridTensor = (example: HostTensor, grids: readonly Grid[]): HostTensor =>
  tensorLike(example, "int64", BigInt64Array.from(grids.flatMap(({ t, h, w }) => [t, h, w].map(BigInt))), [
    grids.length,
    3,
  ]);

// ---- the prompt

const imageToken = ({ config }: HostModel, tokenizer: HostTokenizer): string =>
  tokenizer.decode([config.image_token_id], { skip_special_tokens: false });

function expandImageTokens(text: string, token: string, counts: readonly number[]): string {
  const [first = "", ...rest] = text.split(token);
  if (rest.length !== counts.length) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `the text has ${rest.length} times ${token}, and there are ${counts.length} images`,
      { remedy: "write the image token once for each image, in their order: the chat template does" },
    );
  }
  return first + rest.map((part, i) => token.repeat(counts[i] as number) + part).join("");
}
