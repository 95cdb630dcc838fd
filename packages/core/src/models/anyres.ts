/**
 * Anyres tiling of images, as in transformers' `select_best_resolution`, `get_patch_output_size` and
 * `pack_image_features`. The image is resized and padded to the best of a list of sizes, the pinpoints. The output has
 * the rows of the base tile (a thumbnail), then those of the tiles as one grid: without padding, in some families
 * scaled down if too large, and with a newline after each row.
 */
import { describe, VitgraphError } from "@vitgraph/errors";
import type { ImageProcessor, SizeSettings } from "../images/image-processor.js";
import type { SettingsReader } from "../images/settings-reader.js";
import { checkAspectRatio, type ImageSize } from "../images/smart-resize.js";
import type { AxisTap } from "./patch-tables.js";

/** Height and width in pixels. */
export type Pinpoint = readonly [height: number, width: number];

/** Maximum tiles of an image. 36 tiles have 5 million pixels. */
const MAX_TILES = 256;

/** The pinpoints of config.json. @param tile pixels along one side. @throws VG_MODEL_INVALID */
export function pinpointsOf(
  { image_grid_pinpoints: value }: Readonly<Record<string, unknown>>,
  tile: number,
  absent: readonly Pinpoint[],
): readonly Pinpoint[] {
  const pinpoints = readPinpoints(value ?? absent, tile);
  if (pinpoints !== undefined) return pinpoints;
  throw new VitgraphError("VG_MODEL_INVALID", `image_grid_pinpoints is ${describe(value)}`, {
    remedy: `expected pairs of a height and a width in multiples of image_size ${tile}; check the checkpoint's config.json`,
  });
}

/** Reads the pinpoints of a processor file. @param readTile returns the pixels along one side of a tile */
export function anyresSizes(
  readTile: (settings: SettingsReader) => number,
  absent: readonly Pinpoint[],
): SizeSettings {
  return {
    keys: ["image_grid_pinpoints"],
    read(settings) {
      const tile = readTile(settings);
      const pinpoints = readPinpoints(settings.value("image_grid_pinpoints", absent), tile);
      if (pinpoints !== undefined) return anyresImages(tile, pinpoints);
      return settings.fail("image_grid_pinpoints", `pairs of a height and a width in multiples of ${tile}`);
    },
  };
}

/** @param tile pixels along one side */
export function anyresImages(
  tile: number,
  pinpoints: readonly Pinpoint[],
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const areas = pinpoints.map(([height, width]) => height * width);
  return {
    minPixels: Math.min(...areas) + tile ** 2,
    maxPixels: Math.max(...areas) + tile ** 2,
    fit(imageSize) {
      const pinpoint = bestPinpoint(imageSize, pinpoints);
      const [height, width] = pinpoint;
      const resizeTo = fittedSize(imageSize, pinpoint);
      return {
        resizeTo,
        canvas: { height, width },
        // Padding is equal on both sides, with an odd pixel at the end.
        origin: {
          top: -Math.floor((height - resizeTo.height) / 2),
          left: -Math.floor((width - resizeTo.width) / 2),
        },
        tile: { height: tile, width: tile },
        thumbnail: { from: "image", first: true },
        imageSize,
      };
    },
  };
}

/** Undefined if the value is not a list of sizes in whole tiles. */
function readPinpoints(value: unknown, tile: number): readonly Pinpoint[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_TILES) return undefined;
  const isPinpoint = (pair: unknown): pair is Pinpoint =>
    Array.isArray(pair) &&
    pair.length === 2 &&
    pair.every((side) => Number.isSafeInteger(side) && side > 0 && side % tile === 0) &&
    (pair[0] * pair[1]) / tile ** 2 <= MAX_TILES;
  return value.every(isPinpoint) ? value : undefined;
}

/** The pinpoint that keeps most of the image's pixels; on ties, the smallest. */
function bestPinpoint({ height, width }: ImageSize, pinpoints: readonly Pinpoint[]): Pinpoint {
  let best = pinpoints[0] as Pinpoint;
  let [most, least] = [0, Number.POSITIVE_INFINITY];
  for (const pinpoint of pinpoints) {
    const [tall, wide] = pinpoint;
    const scale = Math.min(wide / width, tall / height);
    const shown = Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
    const wasted = tall * wide - shown;
    if (shown > most || (shown === most && wasted < least)) [best, most, least] = [pinpoint, shown, wasted];
  }
  return best;
}

/** The image's size inside of a pinpoint. @throws VG_IMAGE_ASPECT_RATIO */
function fittedSize({ height, width }: ImageSize, [tall, wide]: Pinpoint): ImageSize {
  checkAspectRatio(height, width);
  const [across, down] = [wide / width, tall / height];
  return across < down
    ? { height: Math.min(Math.ceil(height * across), tall), width: wide }
    : { height: tall, width: Math.min(Math.ceil(width * down), wide) };
}

/** Parameters of tiling and of the output rows. */
export interface Anyres {
  readonly pinpoints: readonly Pinpoint[];
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Patches along one side of a tile. */
  readonly side: number;
  /** A larger grid is scaled down to about the patches of this many tiles. Default: never. */
  readonly maxTiles?: number;
  /** Output rows of a clip, for families with videos. */
  readonly clips?: ClipRows;
}

/** Each frame of a clip is one tile, of which fewer rows are output. */
export interface ClipRows {
  /** For each output row along one side of a frame, the two patches that it reads. */
  readonly axis: readonly (readonly AxisTap[])[];
  /** A newline follows the last frame. */
  readonly newline: boolean;
}

/** Size of the tiles' grid in the output, in rows and columns of tokens. */
interface Shrunk {
  readonly shownRows: number;
  readonly shownColumns: number;
}

/** The part of the tiles' grid that shows the image, without padding, in patches. */
export interface ShownGrid extends Shrunk {
  /** Tiles per row. */
  readonly tileColumns: number;
  readonly top: number;
  readonly left: number;
  readonly rows: number;
  readonly columns: number;
}

/** Number of tiles of an image, including the base tile. @throws VG_IMAGE_ASPECT_RATIO */
export function tileCount(imageSize: ImageSize, { pinpoints, tile }: Anyres): number {
  checkAspectRatio(imageSize.height, imageSize.width);
  const [tall, wide] = bestPinpoint(imageSize, pinpoints);
  return 1 + (tall / tile) * (wide / tile);
}

export function shownGrid(
  { height, width }: ImageSize,
  { pinpoints, tile, side, maxTiles = Number.POSITIVE_INFINITY }: Anyres,
): ShownGrid {
  const [tall, wide] = bestPinpoint({ height, width }, pinpoints);
  const tileColumns = wide / tile;
  const [allRows, allColumns] = [(tall / tile) * side, tileColumns * side];
  const padding = (all: number, shown: number) =>
    Math.floor((all - Math.trunc(Number(shown.toFixed(7)))) / 2);
  const wider = width / height > allColumns / allRows;
  const top = wider ? padding(allRows, height * (allColumns / width)) : 0;
  const left = wider ? 0 : padding(allColumns, width * (allRows / height));
  const [rows, columns] = [allRows - 2 * top, allColumns - 2 * left];
  return { tileColumns, top, left, rows, columns, ...shrunk(rows, columns, side, maxTiles) };
}

function shrunk(rows: number, columns: number, side: number, maxTiles: number) {
  const ratio = Math.sqrt((rows * columns) / (maxTiles * side ** 2));
  if (ratio <= 1.1) return { shownRows: rows, shownColumns: columns };
  return { shownRows: floorDivide(rows, ratio), shownColumns: floorDivide(columns, ratio) };
}

/** Number of output rows: the base tile's, and the grid's with a newline after each row. */
export function outputRows(side: number, { shownRows, shownColumns }: Shrunk): number {
  return side ** 2 + shownRows * (shownColumns + 1);
}

/** Python's `//` for floats. */
function floorDivide(dividend: number, divisor: number): number {
  const quotient = (dividend - (dividend % divisor)) / divisor;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}
