/**
 * Settings of Llama 4's image processor: an image is resized to fit the best of a list of canvases of whole tiles,
 * padded, and cut into tiles; a thumbnail is one more tile. Pixels are normalised in bfloat16.
 */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";

interface CanvasSettings {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Maximum tiles of a canvas. */
  readonly maxTiles: number;
  /** Whether a small image is enlarged to the largest canvas. */
  readonly toLargest: boolean;
}

/** transformers' Llama4ImageProcessor. */
const LLAMA4_CLASS: ImageProcessor = {
  patchSize: 14,
  mergeSize: 2,
  temporalPatchSize: 1,
  patchOrder: "raster",
  normalizesIn: "bf16",
  filter: "bilinear",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
  ...onCanvases({ tile: 336, maxTiles: 16, toLargest: false }),
};

export const LLAMA4_IMAGES: ImageProcessorDefaults = {
  withoutFile: LLAMA4_CLASS,
  ofClass: LLAMA4_CLASS,
  sizes: {
    keys: ["max_patches", "resize_to_max_canvas"],
    read(settings) {
      settings.onlyTrue("do_resize");
      const tile = settings.object("size").square(336);
      const maxTiles = settings.positiveInteger("max_patches", 16);
      if (maxTiles > 256) settings.fail("max_patches", "at most 256");
      return onCanvases({
        tile,
        maxTiles,
        toLargest: settings.boolean("resize_to_max_canvas", false),
      });
    },
  },
};

function onCanvases(
  settings: CanvasSettings,
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fixedSize" | "fit"> {
  const { tile, maxTiles, toLargest } = settings;
  const canvases = canvasesOf(tile, maxTiles);
  const square = { height: tile, width: tile };
  return {
    fixedSize: square,
    minPixels: tile ** 2,
    maxPixels: (maxTiles > 1 ? maxTiles + 1 : 1) * tile ** 2,
    fit(size) {
      checkAspectRatio(size.height, size.width);
      const canvas = bestCanvas(size, canvases, toLargest);
      // An image is enlarged at most to the side of one tile.
      const bounded = (side: number, most: number) =>
        toLargest ? most : Math.min(Math.max(side, tile), most);
      const within = {
        height: bounded(size.height, canvas.height),
        width: bounded(size.width, canvas.width),
      };
      const isOneTile = canvas.height === tile && canvas.width === tile;
      return {
        resizeTo: undistorted(size, within),
        canvas,
        tile: square,
        ...(!isOneTile && { thumbnail: { from: "image" } }),
      };
    },
  };
}

/** All arrangements of tiles, grouped by aspect ratio, in transformers' order. */
function canvasesOf(tile: number, maxTiles: number): readonly ImageSize[] {
  const byAspect = new Map<number, ImageSize[]>();
  for (let count = maxTiles; count > 0; count--) {
    for (let rows = 1; rows <= count; rows++) {
      if (count % rows !== 0) continue;
      const columns = count / rows;
      const canvas = { height: rows * tile, width: columns * tile };
      byAspect.set(rows / columns, [...(byAspect.get(rows / columns) ?? []), canvas]);
    }
  }
  return [...byAspect.values()].flat();
}

/**
 * The canvas that enlarges the image least; if all canvases shrink it, the canvas that shrinks it least. On ties, the
 * smallest canvas. Scales are float32, as in torch.
 */
function bestCanvas(
  { height, width }: ImageSize,
  canvases: readonly ImageSize[],
  toLargest: boolean,
): ImageSize {
  const scaled = canvases.map((canvas) => {
    const scale = Math.min(Math.fround(canvas.width / width), Math.fround(canvas.height / height));
    return { canvas, scale };
  });
  const growing = scaled.flatMap(({ scale }) => (scale >= 1 ? [scale] : []));
  const chosen =
    growing.length === 0
      ? Math.max(...scaled.map(({ scale }) => scale))
      : Math[toLargest ? "max" : "min"](...growing);
  const area = (size: ImageSize) => size.height * size.width;
  return scaled
    .filter(({ scale }) => scale === chosen)
    .map(({ canvas }) => canvas)
    .reduce((best, canvas) => (area(canvas) < area(best) ? canvas : best));
}

function undistorted({ height, width }: ImageSize, within: ImageSize): ImageSize {
  const [across, down] = [within.width / width, within.height / height];
  const fitted =
    across < down
      ? { height: Math.min(Math.floor(height * across), within.height), width: within.width }
      : { height: within.height, width: Math.min(Math.floor(width * down), within.width) };
  return { height: Math.max(fitted.height, 1), width: Math.max(fitted.width, 1) };
}
