import { loadDummyModel, patchCount } from "@vitgraph/core";
import { describe, expect, test } from "vitest";
import {
  BUILT_IN_WORKLOADS,
  checkWorkload,
  fitWorkload,
  parseWorkloads,
  printWorkloads,
  type Workload,
  workloadBudget,
  workloadGrids,
  workloadItems,
  workloadTokens,
} from "./workloads.js";

const model = loadDummyModel("qwen3-vl-2b");

test.each([
  ["1x224", 196, 64],
  ["1x448", 784, 256],
  ["1x1024", 4096, 1024],
  ["8x320x352", 3520, 1024],
  ["16mix", 15_772, 4096],
  ["1x2048", 16_384, 4096],
  ["8x1280x960+3x1024", 50_688, 13_824],
])("%s has %i patches and budget %i", (name, patches, budget) => {
  const workload = BUILT_IN_WORKLOADS.find((candidate) => candidate.name === name)!;
  checkWorkload(workload, model);
  expect(workloadTokens(workload, model)).toBe(patches / 4);
  expect(workloadBudget(workload, model)).toBe(budget);
  const items = workloadItems(workload, model);
  expect(items.reduce((sum, { grid }) => sum + patchCount(grid), 0)).toBe(patches);
});

test("what is printed reads back the same", () => {
  expect(parseWorkloads(printWorkloads(BUILT_IN_WORKLOADS), "printed")).toEqual(BUILT_IN_WORKLOADS);
});

describe("a workload without a budget gets the power of two that holds it", () => {
  test.each<[Omit<Workload, "name">, number]>([
    [{ sizes: [[32, 32]] }, 64],
    [{ sizes: [[256, 256]] }, 64],
    [{ sizes: [[256, 288]] }, 128],
    [{ sizes: [[256, 256]], frames: 3 }, 128],
  ])("%j: %i", (workload, budget) => {
    expect(workloadBudget({ name: "w", ...workload }, model)).toBe(budget);
  });
});

describe("items", () => {
  test("are images whose two frames are the same, or clips of as many slices as their frames fill", () => {
    const [image] = workloadItems({ name: "image", sizes: [[64, 96]] }, model);
    expect(image).toMatchObject({ format: "u8_still", grid: { t: 1, h: 4, w: 6 } });
    expect((image as { pixels: Uint8Array }).pixels).toHaveLength(64 * 96 * 3);
    const [clip] = workloadItems({ name: "clip", sizes: [[64, 96]], frames: 5 }, model);
    expect(clip).toMatchObject({ format: "u8", grid: { t: 3, h: 4, w: 6 } });
    expect((clip as { pixels: Uint8Array }).pixels).toHaveLength(3 * 2 * 64 * 96 * 3);
  });

  test("are the same each time, and no two of a workload are", () => {
    const workload: Workload = {
      name: "two",
      sizes: [
        [32, 32],
        [32, 32],
      ],
    };
    const [first, second] = workloadItems(workload, model);
    expect(workloadItems(workload, model)[0]).toEqual(first);
    expect(second).not.toEqual(first);
  });
});

describe("a workload file that is wrong is answered with what is", () => {
  test.each([
    ["[", /^w\.json is not JSON \(.*\): write \{"name": \{"sizes": /],
    ["{}", /^w\.json has no workloads: write /],
    ["[1]", /^w\.json has no workloads: write /],
    ['{"a": 5}', /^workload "a" of w\.json is 5: write /],
    [
      '{"a": {}}',
      'workload "a" of w.json has no sizes: list the height and width of each item in pixels: [[448, 448], …]',
    ],
    ['{"a": {"sizes": []}}', /^workload "a" of w\.json has no sizes: /],
    [
      '{"a": {"sizes": [[32, 32], [32]]}}',
      'workload "a" of w.json has [32] as size 1: give [height, width] in pixels, both whole numbers above 0',
    ],
    ['{"a": {"sizes": [[32, -32]]}}', /^workload "a" of w\.json has \[32,-32\] as size 0: /],
    ['{"a": {"sizes": [[32, 32.5]]}}', /has \[32,32\.5\] as size 0/],
    ['{"a": {"sizes": ["32x32"]}}', /has "32x32" as size 0/],
    [
      '{"a": {"sizes": [[32, 32]], "frames": 0}}',
      'workload "a" of w.json has frames 0: give a whole number above 0, or leave it out',
    ],
    ['{"a": {"sizes": [[32, 32]], "budget": "64"}}', /has budget "64": give a whole number/],
    [
      '{"a": {"sizes": [[32, 32]], "frame": 2}}',
      'workload "a" of w.json has a key "frame": its keys are sizes, frames and budget',
    ],
  ])("%s", (text, message) => {
    expect(() => parseWorkloads(text, "w.json")).toThrow(
      expect.objectContaining({
        code: "VG_ARGUMENT_INVALID",
        message: typeof message === "string" ? message : expect.stringMatching(message),
      }),
    );
  });
});

describe("sizes that the model cannot take as they are", () => {
  test("no multiple of its blocks", () => {
    expect(() => checkWorkload({ name: "odd", sizes: [[224, 230]] }, model)).toThrow(
      'size [224, 230] of workload "odd" is not made of blocks of 32 × 32 pixels: give multiples of 32: [224, 224]',
    );
  });

  test("beyond its rotary angles", () => {
    const side = model.vision.maxGridSide * 16;
    expect(() => checkWorkload({ name: "long", sizes: [[32, side]] }, model)).not.toThrow();
    expect(() => checkWorkload({ name: "long", sizes: [[32, side + 32]] }, model)).toThrow(
      `size [32, ${side + 32}] of workload "long" is too large for the model: give at most ${side} pixels per side`,
    );
  });
});

describe("a built-in workload for a model of other blocks", () => {
  const workload = (name: string) => BUILT_IN_WORKLOADS.find((candidate) => candidate.name === name)!;

  test("has the nearest sizes, and its budget where that still holds it", () => {
    const qwen = loadDummyModel("qwen2.5-vl-7b");
    expect(fitWorkload(workload("1x224"), qwen)).toEqual({ name: "1x224", sizes: [[224, 224]], budget: 64 });
    // 73 × 73 tokens are more than the budget of 4096.
    expect(fitWorkload(workload("1x2048"), qwen)).toEqual({ name: "1x2048", sizes: [[2044, 2044]] });
    for (const each of BUILT_IN_WORKLOADS) checkWorkload(fitWorkload(each, qwen), qwen);
  });

  test("is brought to the model's one size", () => {
    const gemma = loadDummyModel("gemma-3-4b");
    const fitted = fitWorkload(workload("8x320x352"), gemma);
    expect(workloadGrids(fitted, gemma)).toEqual(new Array(8).fill({ t: 1, h: 64, w: 64 }));
    expect(workloadTokens(fitted, gemma)).toBe(8 * 256);
    // One image of 256 tokens, whatever its size: not the budget of 1024 of an image of 1024².
    const single = fitWorkload(workload("1x1024"), gemma);
    expect(workloadBudget(single, gemma)).toBe(256);
  });

  test.each([
    // 3 × 3 tiles and a thumbnail, of 256 tokens each.
    ["internvl3-8b", [{ t: 10, h: 32, w: 32 }], 2560],
    // 4 × 4 tiles and the whole picture, of 144.
    ["llama-4-scout", [{ t: 17, h: 24, w: 24 }], 2448],
    // 4 × 4 tiles of 512 and the whole picture, of 64.
    ["smolvlm2-500m", [{ t: 17, h: 32, w: 32 }], 1088],
  ] as const)("is cut into the tiles of %s", (name, grids, tokens) => {
    const tiled = loadDummyModel(name);
    expect(workloadGrids(fitWorkload(workload("1x1024"), tiled), tiled)).toEqual(grids);
    expect(workloadTokens(workload("1x1024"), tiled)).toBe(tokens);
    expect(workloadItems(workload("1x1024"), tiled)[0]).toMatchObject({ grid: grids[0] });
  });

  test("is refused as a clip where the model takes none", () => {
    const gemma = loadDummyModel("gemma-3-4b");
    expect(() => checkWorkload({ name: "clip", sizes: [[896, 896]], frames: 4 }, gemma)).toThrow(
      "gemma-3-4b takes no videos",
    );
  });

  test("stays as it is where the blocks are its own", () => {
    for (const each of BUILT_IN_WORKLOADS) expect(fitWorkload(each, model)).toEqual(each);
  });
});
