/**
 * Settings of GLM's image and video processors. Glm4vImageProcessor and Glm46VImageProcessor are equal.
 * Glm5NextImageProcessor of GLM-5.3 pads images to whole tokens.
 */
import type {
  FittedImage,
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { roundHalfEven } from "../../numerics.js";
import { USUAL_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { sampleAtRate, sampleByDuration, sampleSteps } from "./frames.js";

const GLM4V_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  minPixels: 112 * 112,
  maxPixels: 28 * 28 * 15_000,
  boundsCoverFrames: true,
};

export const GLM4V_IMAGES: ImageProcessorDefaults = { withoutFile: GLM4V_CLASS, ofClass: GLM4V_CLASS };

/** transformers' Glm46VVideoProcessor. A processor file cannot change its sampling. */
export const GLM46V_VIDEOS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  minPixels: 112 * 112,
  maxPixels: 28 * 28 * 2 * 30_000,
  boundsCover: "clip",
  sampling: sampleByDuration,
  minFrames: 1,
  maxFrames: 640,
};

/** transformers' Glm4vVideoProcessor. */
export const GLM4V_VIDEOS: VideoProcessor = {
  ...GLM46V_VIDEOS,
  sampling: sampleAtRate,
  fps: 2,
  maxDuration: 300,
  maxFrames: USUAL_MAX_FRAMES,
};

interface TokenBounds {
  /** Pixels along one side of a token. */
  readonly block: number;
  readonly minTokens: number;
  readonly maxTokens: number;
}

/** transformers' Glm5NextImageProcessor and Glm5NextVideoProcessor. */
const BOUNDS: TokenBounds = { block: 28, minTokens: 16, maxTokens: 8000 };
const VIDEO_BOUNDS: TokenBounds = { ...BOUNDS, maxTokens: 240_000 };

const GLM5_NEXT_CLASS: ImageProcessor = { ...QWEN2_VL_IMAGE_CLASS, ...padded(BOUNDS) };

export const GLM5_NEXT_IMAGES: ImageProcessorDefaults = {
  withoutFile: GLM5_NEXT_CLASS,
  ofClass: GLM5_NEXT_CLASS,
  sizes: sizesWithin(BOUNDS),
};

export const GLM5_NEXT_VIDEOS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...padded(VIDEO_BOUNDS),
  boundsCover: "clip",
  sampling: sampleSteps,
  fps: 2,
  maxDuration: Number.POSITIVE_INFINITY,
  minFrames: 1,
  maxFrames: 2048,
};

export const GLM5_NEXT_VIDEO_SIZES = sizesWithin(VIDEO_BOUNDS);

function sizesWithin({ minTokens, maxTokens }: TokenBounds): SizeSettings {
  return {
    // transformers ignores `size` for these processors.
    keys: ["min_image_tokens", "max_image_tokens", "patch_expand_factor"],
    read(settings, { patchSize, mergeSize }) {
      const side = settings.patchSize(patchSize) * settings.positiveInteger("merge_size", mergeSize);
      return padded({
        block: side * settings.positiveInteger("patch_expand_factor", 1),
        minTokens: settings.positiveInteger("min_image_tokens", minTokens),
        maxTokens: settings.positiveInteger("max_image_tokens", maxTokens),
      });
    },
  };
}

function padded(bounds: TokenBounds): Pick<VideoProcessor, "minPixels" | "maxPixels" | "fit" | "fitClip"> {
  const { block, minTokens, maxTokens } = bounds;
  return {
    minPixels: minTokens * block ** 2,
    maxPixels: maxTokens * block ** 2,
    fit: (size) => fitPadded(size, bounds, 2),
    fitClip: (frames, size) => fitPadded(size, bounds, frames),
  };
}

/** The bounds apply to all frames. A token covers two frames, so a still counts as two. */
function fitPadded(size: ImageSize, bounds: TokenBounds, frames: number): FittedImage {
  checkAspectRatio(size.height, size.width);
  const canvas = canvasOf(size, bounds, frames);
  const { height, width } = size;
  const fitting = Math.min(canvas.height / height, canvas.width / width);
  // Only images below the lower bound are enlarged.
  const isLarge = (frames / 2) * height * width >= bounds.minTokens * bounds.block ** 2;
  const scale = isLarge ? Math.min(1, fitting) : fitting;
  const scaled = (side: number, most: number) => Math.max(1, Math.min(most, Math.floor(side * scale)));
  return {
    resizeTo: { height: scaled(height, canvas.height), width: scaled(width, canvas.width) },
    canvas,
  };
}

/** The canvas: sides rounded up to whole tokens, scaled to fit the bounds. */
function canvasOf(
  { height, width }: ImageSize,
  { block, minTokens, maxTokens }: TokenBounds,
  frames: number,
): ImageSize {
  const patches = Math.max(1, roundHalfEven(frames / 2));
  const [least, most] = [minTokens * block ** 2, maxTokens * block ** 2];
  const up = (side: number) => Math.ceil(side / block) * block;
  let canvas = { height: up(height), width: up(width) };
  if (patches * canvas.height * canvas.width < least) {
    const scale = Math.sqrt(least / ((frames / 2) * height * width));
    const grown = (side: number) => up(Math.max(1, Math.ceil(side * scale)));
    canvas = { height: grown(height), width: grown(width) };
  }
  if (patches * canvas.height * canvas.width <= most) return canvas;
  // A binary search for the largest content height that fits, as in transformers.
  let [low, high] = [1, height];
  canvas = { height: block, width: block };
  while (low <= high) {
    const tall = Math.floor((low + high) / 2);
    const found = { height: up(tall), width: up(Math.max(1, Math.floor((width * tall) / height))) };
    const fits = patches * found.height * found.width <= most;
    if (fits) canvas = found;
    if (fits) low = tall + 1;
    else high = tall - 1;
  }
  return canvas;
}
