/** Details of the tower that change no shape, and that ports have overlooked; the fixture's embeddings check them together. */
import { expect, test } from "vitest";
import { ARCHITECTURES } from "../architectures.js";
import { createVisionModel } from "../index.js";

const PUBLISHED = ARCHITECTURES["muse-glimmer-30b"];

/** With windows of 4 × 4 patches. */
const MODEL = createVisionModel({
  ...PUBLISHED,
  vision_config: { ...PUBLISHED.vision_config, pos_emb_height: 4, pos_emb_width: 4 },
});

const pairs = (values: ArrayLike<number>) =>
  Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at], values[2 * at + 1]]);

test("RoPE takes the column of a patch before its row, and counts both from 1", () => {
  const { positions } = MODEL.layout({ t: 1, h: 2, w: 4 }).patchTables();
  expect(pairs(positions!)).toEqual([
    ...[
      [1, 1],
      [2, 1],
      [1, 2],
      [2, 2],
    ],
    ...[
      [3, 1],
      [4, 1],
      [3, 2],
      [4, 2],
    ],
  ]);
});

test("an item has its patches row by row, and the tower window by window, with a token's patches adjacent", () => {
  const { patchOrder, tokenOrder, segments } = MODEL.layout({ t: 1, h: 4, w: 6 });
  expect([...patchOrder!]).toEqual([
    ...[0, 1, 6, 7, 2, 3, 8, 9, 12, 13, 18, 19, 14, 15, 20, 21],
    ...[4, 5, 10, 11, 16, 17, 22, 23],
  ]);
  expect([...tokenOrder!]).toEqual([0, 1, 4, 2, 3, 5]);
  expect(segments).toEqual({ cu_seqlens: [24], cu_window_seqlens: [16, 8] });
});

test("windows and full attention of a clip stay within a frame", () => {
  const { patchOrder, segments } = MODEL.layout({ t: 2, h: 2, w: 6 });
  expect(segments).toEqual({ cu_seqlens: [12, 12], cu_window_seqlens: [8, 4, 8, 4] });
  expect(patchOrder!.findIndex((patch) => patch >= 12)).toBe(12);
});

test("weights are reordered from frames before channels, and from channels before merged patches", () => {
  const graph = MODEL.buildGraph({ channelScale: new Float32Array(6) });
  const orderOf = (name: string) => {
    const node = graph.nodes.find((each) => each.op === "weight" && each.name === name);
    expect(node?.attributes).toHaveProperty("reordered");
    return (node!.attributes as { reordered?: unknown }).reordered;
  };
  expect(orderOf("vision_tower.patch_embedder.patch_embedding.weight")).toEqual({
    sides: [1536, 2, 3, 196],
    axes: [0, 2, 1, 3],
  });
  expect(orderOf("vision_adapter.fc1.weight")).toEqual({ sides: [4096, 1536, 2, 2], axes: [0, 2, 3, 1] });
});

test("every fourth layer and the last one attend within a frame", () => {
  const layers = createVisionModel({ ...PUBLISHED }).config.full_attention_layers;
  expect(layers).toEqual([3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 49]);
});

test.each([
  [{ pos_emb_width: 16 }, "vision_config.pos_emb_width is 16"],
  [{ pos_emb_height: 31, pos_emb_width: 31 }, "vision_config.pos_emb_height is 31"],
  [{ layer_types: ["full_attention"] }, "vision_config.layer_types is"],
  [{ layer_types: new Array(50).fill("sliding_attention") }, "vision_config.layer_types is"],
  [{ merge_size: 0 }, "vision_config.merge_size is 0"],
  [{ num_attention_heads: 7 }, "vision_config.num_attention_heads is 7"],
])("a config with %j is refused", (given, text) => {
  const config = { ...PUBLISHED, vision_config: { ...PUBLISHED.vision_config, ...given } };
  expect(() => createVisionModel(config)).toThrow(text);
});
