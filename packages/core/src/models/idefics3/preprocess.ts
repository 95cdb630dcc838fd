/**
 * Settings of Idefics3's and SmolVLM's processors: a large image becomes tiles of one size, followed by a thumbnail;
 * each frame of a clip becomes one tile.
 */
import type {
  FittedImage,
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { linspace, roundHalfEven } from "../../numerics.js";
import { type FrameRule, LARGEST_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

interface TileSettings {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Every image is resized to this many pixels along its longer side. */
  readonly longestEdge: number;
  readonly splitting: boolean;
}

/** transformers' fixed upper bound of a side in pixels. */
const MAX_IMAGE_SIZE = 4096;

const CLASS_SIZES = { tile: 364, longestEdge: 4 * 364 };

/** transformers' Idefics3ImageProcessor. Before torchvision 0.27, and on a GPU, it uses bicubic instead of lanczos. */
const IDEFICS3_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  filter: "lanczos",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  ...tiled({ ...CLASS_SIZES, splitting: true }),
};

/** Keys of images and of videos: SmolVLM's files contain both. */
const SIZE_KEYS = ["max_image_size", "do_image_splitting", "return_row_col_info", "video_sampling"];

export const IDEFICS3_IMAGES: ImageProcessorDefaults = {
  withoutFile: IDEFICS3_CLASS,
  ofClass: IDEFICS3_CLASS,
  sizes: {
    keys: SIZE_KEYS,
    read(settings) {
      settings.onlyTrue("do_resize");
      const [size, tile] = [settings.object("size"), settings.object("max_image_size")];
      for (const object of [size, tile]) object.onlyKeys(["longest_edge"]);
      return tiled({
        tile: tile.positiveInteger("longest_edge", CLASS_SIZES.tile),
        longestEdge: size.positiveInteger("longest_edge", CLASS_SIZES.longestEdge),
        splitting: settings.boolean("do_image_splitting", true),
      });
    },
  },
};

/**
 * `sample_frames` of transformers' SmolVLMVideoProcessor: at most `maxFrames` frames in equal steps. The first and the
 * last second of a long clip are skipped.
 */
const sampleInside: FrameRule = ({ frames, fps: clipFps }, { fps, numFrames }, limits) => {
  const rate = fps ?? limits.fps ?? 1;
  const most = numFrames ?? limits.maxFrames;
  const duration = frames / clipFps;
  const count = Math.max(1, Math.min(roundHalfEven(rate * duration), most));
  const skipped = duration - 2 > most * rate ? clipFps : 0;
  const first = Math.trunc(skipped);
  const last = Math.min(Math.trunc(frames - skipped), frames - 1);
  const indices = first < last ? linspace(first, last, count) : linspace(0, frames - 1, count);
  return [...new Set(indices.map(Math.floor))];
};

/** transformers' SmolVLMVideoProcessor, with the sampling of the hub's files. */
export const SMOLVLM_VIDEOS: VideoProcessor = {
  ...IDEFICS3_CLASS,
  ...oneTile(CLASS_SIZES),
  patchSize: 16,
  boundsCover: "frame",
  sampling: sampleInside,
  fps: 1,
  minFrames: 1,
  maxFrames: 64,
};

export const SMOLVLM_VIDEO_SIZES: SizeSettings = {
  keys: SIZE_KEYS,
  read(settings) {
    settings.onlyTrue("do_resize");
    const [size, tile] = [settings.object("size"), settings.object("max_image_size")];
    const sampling = settings.object("video_sampling");
    const videoSize = sampling.object("video_size");
    for (const object of [size, tile, videoSize]) object.onlyKeys(["longest_edge"]);
    return {
      ...oneTile({
        tile: tile.positiveInteger("longest_edge", CLASS_SIZES.tile),
        longestEdge: size.positiveInteger(
          "longest_edge",
          videoSize.positiveInteger("longest_edge", CLASS_SIZES.longestEdge),
        ),
      }),
      fps: sampling.positiveNumber("fps", 1),
      maxFrames: sampling.positiveInteger("max_frames", 64, LARGEST_MAX_FRAMES),
    };
  },
};

function oneTile({ tile, longestEdge }: typeof CLASS_SIZES): Pick<VideoProcessor, "fixedSize" | "fitClip"> {
  const square = { height: tile, width: tile };
  return {
    fixedSize: square,
    fitClip(_frames, size) {
      checkAspectRatio(size.height, size.width);
      return { via: scaledTo(Math.min(longestEdge, MAX_IMAGE_SIZE), size), resizeTo: square };
    },
  };
}

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
      return { via, resizeTo, tile: square, ...(split && { thumbnail: { from: "resized" } }) };
    },
  };
}

/** Scales the longer side to `longestEdge` and rounds the other to an even number, within MAX_IMAGE_SIZE. */
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

/** Rounds the longer side up to a multiple of the tile, scales the shorter one with it, and rounds that up, too. */
function wholeTiles({ height, width }: ImageSize, tile: number): ImageSize {
  const aspect = width / height;
  const up = (side: number) => Math.ceil(side / tile) * tile;
  return width >= height
    ? { width: up(width), height: up(Math.trunc(up(width) / aspect)) }
    : { width: up(Math.trunc(up(height) * aspect)), height: up(height) };
}
