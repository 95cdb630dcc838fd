/** The settings of Idefics3's image processor: a large image becomes tiles of one size, and the whole picture behind them. */
import type { FittedImage, ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

interface TileSettings {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Every image is brought to this many pixels along its longer side. */
  readonly longestEdge: number;
  readonly splitting: boolean;
}

/** transformers' bound on a side, whatever the settings say. */
const MAX_IMAGE_SIZE = 4096;

/** transformers' Idefics3ImageProcessor. Before torchvision 0.27, and on a GPU, transformers itself takes bicubic for lanczos. */
const IDEFICS3_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  filter: "lanczos",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  ...tiled({ tile: 364, longestEdge: 4 * 364, splitting: true }),
};

export const IDEFICS3_IMAGES: ImageProcessorDefaults = {
  withoutFile: IDEFICS3_CLASS,
  ofClass: IDEFICS3_CLASS,
  sizes: {
    keys: ["max_image_size", "do_image_splitting", "return_row_col_info"],
    read(settings) {
      const [size, tile] = [settings.object("size"), settings.object("max_image_size")];
      for (const object of [size, tile]) object.onlyKeys(["longest_edge"]);
      return tiled({
        tile: tile.positiveInteger("longest_edge", 364),
        longestEdge: size.positiveInteger("longest_edge", 4 * 364),
        splitting: settings.boolean("do_image_splitting", true),
      });
    },
  },
};

function tiled({
  tile,
  longestEdge,
  splitting,
}: TileSettings): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fixedSize" | "fit"> {
  const most = splitting ? Math.ceil(Math.min(longestEdge, MAX_IMAGE_SIZE) / tile) ** 2 : 1;
  const square = { height: tile, width: tile };
  return {
    fixedSize: square,
    minPixels: tile ** 2,
    maxPixels: (most > 1 ? most + 1 : 1) * tile ** 2,
    fit(size): FittedImage {
      checkAspectRatio(size.height, size.width);
      const via = scaledTo(longestEdge, size);
      if (!splitting) return { via, resizeTo: square, tile: square };
      const resizeTo = wholeTiles(via, tile);
      const split = resizeTo.height > tile || resizeTo.width > tile;
      return { via, resizeTo, tile: square, ...(split && { whole: { from: "resized" } }) };
    },
  };
}

/** The longer side becomes `longestEdge`, and the other one even; then both are bounded. */
function scaledTo(longestEdge: number, { height, width }: ImageSize): ImageSize {
  const aspect = width / height;
  const even = (side: number) => side + (side % 2);
  const scaled =
    width >= height
      ? { width: longestEdge, height: even(Math.trunc(longestEdge / aspect)) }
      : { width: even(Math.trunc(longestEdge * aspect)), height: longestEdge };
  const { width: w, height: h } = { width: Math.max(scaled.width, 1), height: Math.max(scaled.height, 1) };
  if (Math.max(w, h) <= MAX_IMAGE_SIZE) return { width: w, height: h };
  return w >= h
    ? { width: MAX_IMAGE_SIZE, height: Math.max(1, Math.trunc(MAX_IMAGE_SIZE / (w / h))) }
    : { width: Math.max(1, Math.trunc(MAX_IMAGE_SIZE * (w / h))), height: MAX_IMAGE_SIZE };
}

/** Both sides go up to multiples of a tile, the shorter one from where the longer one takes it. */
function wholeTiles({ height, width }: ImageSize, tile: number): ImageSize {
  const aspect = width / height;
  const up = (side: number) => Math.ceil(side / tile) * tile;
  return width >= height
    ? { width: up(width), height: up(Math.trunc(up(width) / aspect)) }
    : { width: up(Math.trunc(up(height) * aspect)), height: up(height) };
}
