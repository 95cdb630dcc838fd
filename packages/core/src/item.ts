/**
 * The item: one image or video clip, cut into patches and ready for an encoder. Decoding and resizing produce it;
 * packing and running take it.
 *
 * It holds no file and no pixel raster. Rows are patches in the order of the family's processor. Usually that is
 * merge-block order: the mergeSize × mergeSize patches of one token are adjacent, blocks are ordered left to right and
 * top to bottom, then by frame. Other families order them row by row, or with the channels of a pixel adjacent. Tiles
 * of one image are frames of its grid; a thumbnail of another size has its own grid after or before theirs. If a
 * clip's frames are cut into tiles, the rows are ordered by frame.
 */
import { types } from "node:util";
import { describe, VitgraphError } from "@vitgraph/errors";
import { countInputPatches, type Grid, type GridPart, partsOf } from "@vitgraph/scheduler";

export { type Grid, type GridPart, partsOf };

/** Pixels as they were decoded; the first kernel rescales and normalises them. */
export interface PixelItem {
  /**
   * What a row holds: `u8_still` [channels, patch, patch], an image whose temporal slices repeat;
   * `u8` [channels, temporal, patch, patch].
   */
  readonly format: "u8_still" | "u8";
  readonly grid: Grid;
  /** t·h·w rows. */
  readonly pixels: Uint8Array;
}

/** `pixel_values` from a host's own image processor. */
export interface NormalizedItem {
  readonly format: "normalized";
  readonly grid: Grid;
  /**
   * t·h·w rows as the family's processor orders them, rescaled and normalised: usually [channels, temporal, patch,
   * patch].
   */
  readonly pixelValues: Float32Array;
}

/** A preprocessed image or clip: its grid, and its rows of patches. */
export type EncoderItem = PixelItem | NormalizedItem;

/** The row format that an encoder expects, and the patches per token. */
export interface PatchShape {
  /** Patches along one side of a token. */
  readonly mergeSize: number;
  readonly channels: number;
  /** Frames in a patch. */
  readonly temporal: number;
  /** Pixels along one side of a patch. */
  readonly patch: number;
}

/** Patches of a grid: the rows of its item, vLLM's `input_size`. */
export function patchCount(grid: Grid): number {
  return countInputPatches([grid]);
}

/** The grids of an item's rows, one after the other: those of a clip frame by frame, each with its share of the second grid. */
export function partsInRowOrder(grid: Grid): readonly GridPart[] {
  const { t, h, w, next, isClip } = grid;
  if (next === undefined || !isClip) return partsOf(grid);
  const frame = [
    { t: 1, h, w },
    { ...next, t: next.t / t },
  ];
  return Array.from({ length: t }, () => frame).flat();
}

/** Tokens that a grid becomes after the merge: vLLM's `output_tokens`. */
export function tokenCount(grid: Grid, mergeSize: number): number {
  return patchCount(grid) / (mergeSize * mergeSize);
}

/** Elements of one row of an item in this format. */
export function rowElements(
  format: EncoderItem["format"],
  { channels, temporal, patch }: PatchShape,
): number {
  const frame = channels * patch * patch;
  return format === "u8_still" ? frame : frame * temporal;
}

/**
 * Checks that the item's grid and rows match and that its grid can be merged. Items may come from untyped hosts, so
 * every field is checked. The rows are the caller's memory, which can be transferred or shrunk at any time: check again
 * ({@link checkRows}) before using them.
 * @throws VG_ITEM_INVALID
 */
export function checkItem(item: EncoderItem, shape: PatchShape): void {
  if (typeof item !== "object" || item === null) {
    throw new VitgraphError("VG_ITEM_INVALID", `an item is ${describe(item)}`, {
      remedy: "pass an object with format, grid and rows",
    });
  }
  if (!Object.hasOwn(ROWS, item.format)) {
    throw new VitgraphError("VG_ITEM_INVALID", `an item has format ${describe(item.format)}`, {
      remedy: `use one of ${Object.keys(ROWS).join(", ")}`,
    });
  }
  checkGrid(item.grid, shape.mergeSize);
  checkRows(item, shape);
}

/** Checks that the item's memory currently holds the rows of its grid. @throws VG_ITEM_INVALID */
export function checkRows(item: EncoderItem, shape: PatchShape): void {
  const { field, type } = ROWS[item.format];
  const values = (item as unknown as Readonly<Record<string, unknown>>)[field];
  if (!isTypedArray(values, type)) {
    const fact = `item.${field} must be a ${type} for format ${item.format}, and is ${describe(values)}`;
    throw new VitgraphError("VG_ITEM_INVALID", fact, { remedy: `pass its rows in a ${type}` });
  }
  checkUnshared(`item.${field}`, values);
  const rows = patchCount(item.grid);
  const elements = rowElements(item.format, shape);
  const expected = rows * elements;
  if (values.length === expected) return;
  throw new VitgraphError(
    "VG_ITEM_INVALID",
    `${field} has ${values.length} elements${isDetached(values) ? " (its buffer was transferred)" : ""}, but grid ${printGrid(item.grid)} needs ${expected}`,
    {
      remedy: `pass ${rows} rows of ${elements} (${printRow(item.format, shape)}), or correct the grid`,
      details: { grid: item.grid, format: item.format, elements: values.length, expected },
    },
  );
}

/**
 * A copy of the list, so that it cannot change while a call runs.
 * @param example of an item, for the message: "{ image: bytes }"
 * @throws VG_ARGUMENT_INVALID for anything but a list
 */
export function checkedList<T>(method: string, items: readonly T[], example: string): readonly T[] {
  if (Array.isArray(items)) return [...items];
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `the items of ${method} are ${describe(items)}, not a list`,
    { remedy: `pass a list: ${method}([${example}])` },
  );
}

/** Other threads can write to shared memory while it is read. @throws VG_ITEM_INVALID */
export function checkUnshared(name: string, { buffer }: ArrayBufferView): void {
  if (!types.isSharedArrayBuffer(buffer)) return;
  throw new VitgraphError("VG_ITEM_INVALID", `${name} lies in shared memory`, {
    remedy: "pass a copy: array.slice()",
  });
}

function isDetached({ buffer, byteOffset }: Uint8Array | Float32Array): boolean {
  return buffer.byteLength === 0 && byteOffset === 0;
}

/** Where each format keeps its rows. */
const ROWS = {
  u8_still: { field: "pixels", type: "Uint8Array" },
  u8: { field: "pixels", type: "Uint8Array" },
  normalized: { field: "pixelValues", type: "Float32Array" },
} as const satisfies Record<EncoderItem["format"], { field: string; type: string }>;

/** Not by `instanceof`, which fails for arrays of another realm. */
function isTypedArray(
  value: unknown,
  type: "Uint8Array" | "Float32Array",
): value is Uint8Array | Float32Array {
  return type === "Uint8Array" ? types.isUint8Array(value) : types.isFloat32Array(value);
}

/** @throws VG_ITEM_INVALID */
export function checkGrid(grid: Grid, mergeSize: number): void {
  const { next, imageSize, isClip } = grid ?? {};
  const parts = next === undefined ? [grid] : [grid, next];
  const whole = (values: readonly (number | undefined)[]) =>
    values.every((value) => Number.isSafeInteger(value) && (value as number) > 0);
  if (!parts.every((part) => whole([part?.t, part?.h, part?.w])) || !Number.isSafeInteger(patchCount(grid))) {
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `grid ${printGrid(grid)} is not made of positive whole numbers`,
      {
        remedy: "give frames, rows and columns in patches, as image_grid_thw has them",
        details: { grid },
      },
    );
  }
  if (imageSize !== undefined && !whole([imageSize?.height, imageSize?.width])) {
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `grid.imageSize is ${describe(imageSize?.width)} × ${describe(imageSize?.height)}`,
      { remedy: "give the height and width of the image in pixels", details: { grid } },
    );
  }
  if (isClip && next !== undefined && next.t % grid.t !== 0) {
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `grid ${printGrid(grid)} of a clip has ${next.t} tiles, which do not divide among its ${grid.t} frames`,
      { remedy: "give every frame the same number of tiles", details: { grid } },
    );
  }
  if (parts.some(({ h, w }) => h % mergeSize !== 0 || w % mergeSize !== 0)) {
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `grid ${printGrid(grid)} cannot be merged ${mergeSize} × ${mergeSize}`,
      {
        remedy: `resize the image so that its height and width in patches are multiples of ${mergeSize}`,
        details: { grid, mergeSize },
      },
    );
  }
}

/** A copy of a grid's fields, independent of later changes by the caller. */
export function copyGrid(grid: Grid | undefined): Grid {
  const partOf = ({ t, h, w }: GridPart): GridPart => ({ t, h, w });
  const { next, imageSize, isClip } = grid ?? {};
  return {
    ...partOf(grid ?? ({} as Grid)),
    ...(next && { next: partOf(next) }),
    ...(imageSize && { imageSize: { height: imageSize.height, width: imageSize.width } }),
    ...(isClip && { isClip }),
  };
}

/** Identifies the grid: equal for equal grids only. */
export function gridKey(grid: Grid): string {
  const { imageSize, isClip } = grid;
  const parts = partsOf(grid).map(({ t, h, w }) => `${t}x${h}x${w}`);
  if (imageSize) parts.push(`of ${imageSize.height}x${imageSize.width}`);
  if (isClip) parts.push("clip");
  return parts.join(" ");
}

function printGrid(grid: Grid): string {
  const print = (part: GridPart) => [part?.t, part?.h, part?.w].map(describe).join(" × ");
  return grid?.next === undefined ? print(grid) : `${print(grid)} and ${print(grid.next)}`;
}

function printRow(format: EncoderItem["format"], { channels, temporal, patch }: PatchShape): string {
  return format === "u8_still"
    ? `${channels} channels × ${patch} × ${patch}`
    : `${channels} channels × ${temporal} frames × ${patch} × ${patch}`;
}
