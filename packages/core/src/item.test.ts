import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test } from "vitest";
import {
  checkGrid,
  checkItem,
  copyGrid,
  type EncoderItem,
  type Grid,
  gridKey,
  partsInRowOrder,
  patchCount,
  rowElements,
  tokenCount,
} from "./item.js";

const shape = { mergeSize: 2, channels: 3, temporal: 2, patch: 16 };
const ROW = 3 * 16 * 16;

function still(grid: Grid, rows = patchCount(grid)): EncoderItem {
  return { format: "u8_still", grid, pixels: new Uint8Array(rows * ROW) };
}

test("counts: patches before the merge, tokens after it", () => {
  expect(patchCount({ t: 2, h: 4, w: 6 })).toBe(48);
  expect(tokenCount({ t: 2, h: 4, w: 6 }, 2)).toBe(12);
});

test("a row of a still image has one temporal slice, the others have all of them", () => {
  expect(rowElements("u8_still", shape)).toBe(ROW);
  expect(rowElements("u8", shape)).toBe(2 * ROW);
  expect(rowElements("normalized", shape)).toBe(2 * ROW);
});

test("items whose rows fill their grid pass", () => {
  const grid = { t: 1, h: 4, w: 6 };
  checkItem(still(grid), shape);
  checkItem({ format: "u8", grid, pixels: new Uint8Array(24 * 2 * ROW) }, shape);
  checkItem({ format: "normalized", grid, pixelValues: new Float32Array(24 * 2 * ROW) }, shape);
});

describe("refuses", () => {
  function message(item: EncoderItem): string {
    try {
      checkItem(item, shape);
    } catch (error) {
      if (VitgraphError.is(error) && error.code === "VG_ITEM_INVALID") return error.message;
      throw error;
    }
    return expect.unreachable("it passed");
  }

  test("what is no item: an unknown format, no grid, rows of another kind", () => {
    const grid = { t: 1, h: 2, w: 2 };
    const as = (item: unknown) => message(item as EncoderItem);
    expect(as({ format: "f32", grid })).toBe('an item has format "f32": use one of u8_still, u8, normalized');
    expect(as({ format: "u8", pixels: new Uint8Array(4) })).toMatch(
      /^grid undefined × undefined × undefined is not made of positive whole numbers: /,
    );
    expect(as({ format: "u8", grid, pixels: [1, 2, 3] })).toBe(
      "item.pixels must be a Uint8Array for format u8, and is a list of 3: pass its rows in a Uint8Array",
    );
    expect(as({ format: "normalized", grid, pixelValues: new Float64Array(4) })).toBe(
      "item.pixelValues must be a Float32Array for format normalized, and is a Float64Array of 32 bytes: pass its rows in a Float32Array",
    );
  });

  test("a grid whose product differs from the rows", () => {
    expect(message(still({ t: 1, h: 4, w: 6 }, 23))).toBe(
      `pixels has ${23 * ROW} elements, but grid 1 × 4 × 6 needs ${24 * ROW}: ` +
        "pass 24 rows of 768 (3 channels × 16 × 16), or correct the grid",
    );
    expect(
      message({ format: "normalized", grid: { t: 1, h: 2, w: 2 }, pixelValues: new Float32Array(ROW) }),
    ).toBe(
      `pixelValues has ${ROW} elements, but grid 1 × 2 × 2 needs ${8 * ROW}: ` +
        "pass 4 rows of 1536 (3 channels × 2 frames × 16 × 16), or correct the grid",
    );
  });

  test("memory that can change under the work: shared, transferred, shrunk", () => {
    const grid = { t: 1, h: 2, w: 2 };
    const shared = new Uint8Array(new SharedArrayBuffer(4 * ROW));
    expect(message({ format: "u8_still", grid, pixels: shared })).toBe(
      "item.pixels lies in shared memory: pass a copy: array.slice()",
    );
    const item = still(grid, 4);
    structuredClone((item as { pixels: Uint8Array }).pixels, {
      transfer: [(item as { pixels: Uint8Array }).pixels.buffer as ArrayBuffer],
    });
    expect(message(item)).toMatch(/^pixels has 0 elements \(its buffer was transferred\), but grid/);
    // Resizable buffers are younger than the library that the compiler is told of.
    const Resizable = ArrayBuffer as unknown as new (
      bytes: number,
      options: object,
    ) => ArrayBuffer & { resize(n: number): void };
    const buffer = new Resizable(4 * ROW, { maxByteLength: 8 * ROW });
    const resizable: EncoderItem = { format: "u8_still", grid, pixels: new Uint8Array(buffer) };
    buffer.resize(ROW);
    expect(message(resizable)).toMatch(/^pixels has 768 elements, but grid/);
  });

  test.each([
    { t: 0, h: 2, w: 2 },
    { t: 1, h: -2, w: 2 },
    { t: 1, h: 2, w: 2.5 },
    { t: Number.NaN, h: 2, w: 2 },
    { t: 1, h: 2, w: Number.POSITIVE_INFINITY },
  ])("a grid of $t × $h × $w", (grid) => {
    expect(message(still(grid, 4))).toMatch(
      /^grid .* is not made of positive whole numbers: give frames, rows/,
    );
  });

  test.each([
    { t: 1, h: 3, w: 2 },
    { t: 1, h: 2, w: 5 },
  ])("a grid of $t × $h × $w, which cannot be merged", (grid) => {
    expect(message(still(grid))).toBe(
      `grid 1 × ${grid.h} × ${grid.w} cannot be merged 2 × 2: ` +
        "resize the image so that its height and width in patches are multiples of 2",
    );
  });
});

test("a clip's second grid must have as many tiles for each frame, and stands behind each frame's first", () => {
  const clip = (tiles: number) => ({
    ...{ t: 3, h: 4, w: 2, isClip: true as const },
    next: { t: tiles, h: 2, w: 2 },
  });
  expect(() => checkGrid(clip(4), 2)).toThrow(
    "grid 3 × 4 × 2 and 4 × 2 × 2 of a clip has 4 tiles, which do not divide among its 3 frames: " +
      "give every frame the same number of tiles",
  );
  expect(() => checkGrid(clip(6), 2)).not.toThrow();
  const frame = [
    { t: 1, h: 4, w: 2 },
    { t: 2, h: 2, w: 2 },
  ];
  expect(partsInRowOrder(clip(6))).toEqual([...frame, ...frame, ...frame]);
  expect(partsInRowOrder({ ...clip(6), isClip: undefined } as never)).toHaveLength(2);
});

test("a copied grid has the fields of a grid, and a name that no other grid has", () => {
  const grid = {
    t: 3,
    h: 4,
    w: 2,
    next: { t: 1, h: 6, w: 2 },
    imageSize: { height: 50, width: 70 },
    isClip: true as const,
  };
  const copy = copyGrid({ ...grid, more: 1 } as never);
  expect(copy).toEqual(grid);
  expect(copy.next).not.toBe(grid.next);
  const { next, imageSize, isClip, ...first } = grid;
  const names = [grid, first, { ...first, next }, { ...first, imageSize }, { ...first, isClip }].map(gridKey);
  expect(names).toEqual([
    "3x4x2 1x6x2 of 50x70 clip",
    "3x4x2",
    "3x4x2 1x6x2",
    "3x4x2 of 50x70",
    "3x4x2 clip",
  ]);
});
