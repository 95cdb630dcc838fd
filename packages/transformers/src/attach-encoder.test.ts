import type { EngineItem } from "@vitgraph/core";
import { describe, expect, test } from "vitest";
import { attachEncoder, type ImageEncoder } from "./attach-encoder.js";

class FakeTensor {
  constructor(
    readonly type: string,
    readonly data: Float32Array | BigInt64Array | Uint16Array,
    readonly dims: readonly number[],
  ) {}
}

const COLUMNS = 4;

/** An encoder with one row per four patches; all values are the image's first pixel value. */
function fakeEncoder(taken: EngineItem[] = []): ImageEncoder {
  const encode = async (items: readonly EngineItem[]) => {
    taken.push(...items);
    return items.map((item) => {
      const { pixel_values, grid_thw } = item as { pixel_values: Float32Array; grid_thw: readonly number[] };
      const [t = 0, h = 0, w = 0] = grid_thw;
      const data = Float32Array.from({ length: (t * h * w * COLUMNS) / 4 }, () => pixel_values[0] as number);
      return { status: "fulfilled", value: { data, grid: { t, h, w } } };
    });
  };
  const model = { vision: { modelType: "qwen2_vl", outputColumns: [COLUMNS] } };
  return { encode, model } as unknown as ImageEncoder;
}

class FakeModel {
  readonly config = { model_type: "qwen2_vl", hidden_size: COLUMNS, image_token_id: 9, vision_config: {} };
  encode_image(_: object): Promise<unknown> {
    return Promise.resolve("the session's");
  }
  _merge_input_ids_with_image_features(inputs: object): unknown {
    return { merged: inputs };
  }
}

const twoImages = () => ({
  pixel_values: new FakeTensor("float32", Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2), [12, 1]),
  image_grid_thw: new FakeTensor("int64", BigInt64Array.of(1n, 2n, 2n, 1n, 2n, 4n), [2, 3]),
});

describe("encode_image", () => {
  test("cuts the processor's rows into images, and joins the embeddings in their order", async () => {
    const [model, taken]: [FakeModel, EngineItem[]] = [new FakeModel(), []];
    attachEncoder(model, fakeEncoder(taken));
    const features = (await model.encode_image(twoImages())) as FakeTensor;
    expect(taken.map((item) => (item as { grid_thw: unknown }).grid_thw)).toEqual([
      [1, 2, 2],
      [1, 2, 4],
    ]);
    expect(features).toBeInstanceOf(FakeTensor);
    expect(features.dims).toEqual([3, COLUMNS]);
    expect([...features.data]).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
  });

  test("refuses pixel values of another type", async () => {
    const model = new FakeModel();
    attachEncoder(model, fakeEncoder());
    const { image_grid_thw } = twoImages();
    const pixel_values = new FakeTensor("float16", new Uint16Array(12), [12, 1]);
    await expect(model.encode_image({ pixel_values, image_grid_thw })).rejects.toThrow(
      "pixel_values is float16 [12, 1], and image_grid_thw makes 12 patches: pass both as the processor of transformers.js returns them, or use prepare()",
    );
  });
});

describe("merging", () => {
  const merge = (type: string, ids: readonly number[]) => {
    const model = new FakeModel();
    attachEncoder(model, fakeEncoder());
    return model._merge_input_ids_with_image_features({
      inputs_embeds: new FakeTensor(type, new Float32Array(ids.length * COLUMNS), [1, ids.length, COLUMNS]),
      image_features: new FakeTensor("float32", new Float32Array(2 * COLUMNS), [2, COLUMNS]),
      input_ids: new FakeTensor("int64", BigInt64Array.from(ids.map(BigInt)), [1, ids.length]),
    });
  };

  test("is the model's own, once rows and places fit", () => {
    expect(merge("float32", [1, 9, 9, 2])).toHaveProperty("merged");
  });

  test("refuses embeddings of another type, into which transformers.js would write bits", () => {
    expect(() => merge("float16", [9, 9])).toThrow(
      "the text's embeddings are float16, and the images' are float32: load the model with dtype { embed_tokens: \"fp32\" }",
    );
  });

  test("refuses more image tokens than rows", () => {
    expect(() => merge("float32", [9, 9, 9])).toThrow(
      "the prompt has 3 image tokens, and its images have 2 rows",
    );
  });
});

describe("detach", () => {
  test("gives back a method that the model had of its own", async () => {
    const model = new FakeModel();
    const own = async () => "somebody's";
    model.encode_image = own;
    attachEncoder(model, fakeEncoder()).detach();
    expect(model.encode_image).toBe(own);
  });

  test("leaves a method alone that was replaced since", () => {
    const model = new FakeModel();
    const attachment = attachEncoder(model, fakeEncoder());
    const later = async () => "somebody's";
    model.encode_image = later;
    attachment.detach();
    expect(model.encode_image).toBe(later);
    expect(Object.hasOwn(model, "_merge_input_ids_with_image_features")).toBe(false);
  });

  test("lets another encoder be attached", async () => {
    const model = new FakeModel();
    attachEncoder(model, fakeEncoder()).detach();
    using _ = attachEncoder(model, fakeEncoder());
    expect(((await model.encode_image(twoImages())) as FakeTensor).dims).toEqual([3, COLUMNS]);
  });
});
