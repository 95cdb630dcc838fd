/**
 * How LLaVA-OneVision tiles an image, as transformers' `select_best_resolution`, `get_patch_output_size` and
 * `pack_image_features` do: the image is fitted to the best of some sizes, the pinpoints, and padded; the answer has the base
 * tile's rows, and those of the tiles as one grid without the padding, shrunk where it is too large, each row with a newline.
 */
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";

/** Height and width in pixels. */
export type Pinpoint = readonly [height: number, width: number];

/** Those of transformers' class: 1 to 6 tiles of 384 pixels along each side. */
export const PINPOINTS: readonly Pinpoint[] = [1, 2, 3, 4, 5, 6].flatMap((rows) =>
  [1, 2, 3, 4, 5, 6].map((columns) => [rows * 384, columns * 384] as const),
);

/** Tiles of an image at most. An image of 36 has 5 million pixels. */
const MAX_TILES = 256;

/** Undefined where the value is no list of sizes in whole tiles. */
export function readPinpoints(value: unknown, tile: number): readonly Pinpoint[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_TILES) return undefined;
  const isPinpoint = (pair: unknown): pair is Pinpoint =>
    Array.isArray(pair) &&
    pair.length === 2 &&
    pair.every((side) => Number.isSafeInteger(side) && side > 0 && side % tile === 0) &&
    (pair[0] * pair[1]) / tile ** 2 <= MAX_TILES;
  return value.every(isPinpoint) ? value : undefined;
}

/** The pinpoint that shows most of the image's pixels; of several, the smallest. */
export function bestPinpoint({ height, width }: ImageSize, pinpoints: readonly Pinpoint[]): Pinpoint {
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
export function fittedSize({ height, width }: ImageSize, [tall, wide]: Pinpoint): ImageSize {
  checkAspectRatio(height, width);
  const [across, down] = [wide / width, tall / height];
  return across < down
    ? { height: Math.min(Math.ceil(height * across), tall), width: wide }
    : { height: tall, width: Math.min(Math.ceil(width * down), wide) };
}

/** What says how the tiles of an image become an answer. */
export interface Anyres {
  readonly pinpoints: readonly Pinpoint[];
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Patches along one side of a tile. */
  readonly side: number;
  /** The grid is shrunk to the patches of so many tiles. */
  readonly maxTiles: number;
}

/** The size of the tiles' grid in an answer, in patches. */
interface Shrunk {
  readonly shownRows: number;
  readonly shownColumns: number;
}

/** In patches. */
export interface ShownGrid extends Shrunk {
  /** Tiles of a row of them. */
  readonly tileColumns: number;
  /** The part of the tiles' grid that shows the image. */
  readonly top: number;
  readonly left: number;
  readonly rows: number;
  readonly columns: number;
}

/** An image's tiles, the base tile among them. @throws VG_IMAGE_ASPECT_RATIO */
export function tileCount(imageSize: ImageSize, { pinpoints, tile }: Anyres): number {
  checkAspectRatio(imageSize.height, imageSize.width);
  const [tall, wide] = bestPinpoint(imageSize, pinpoints);
  return 1 + (tall / tile) * (wide / tile);
}

export function shownGrid(
  { height, width }: ImageSize,
  { pinpoints, tile, side, maxTiles }: Anyres,
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

/** Rows of the answer: those of the base tile, and a newline behind each row of the grid. */
export function answerRows(side: number, { shownRows, shownColumns }: Shrunk): number {
  return side ** 2 + shownRows * (shownColumns + 1);
}

/** Python's `//` of floats. */
function floorDivide(dividend: number, divisor: number): number {
  const quotient = (dividend - (dividend % divisor)) / divisor;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}
