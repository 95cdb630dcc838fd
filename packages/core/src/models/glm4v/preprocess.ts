/**
 * The settings of GLM's image and video processors. Glm4vImageProcessor and Glm46VImageProcessor are alike; Glm5NextImageProcessor, of
 * GLM-5.3, pads an image up to whole tokens.
 */
import type { ImageProcessor, ImageProcessorDefaults, VideoProcessor } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { sampleAtRate, sampleByDuration } from "./frames.js";

const GLM4V_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  minPixels: 112 * 112,
  maxPixels: 28 * 28 * 15_000,
  boundsCoverFrames: true,
};

export const GLM4V_IMAGES: ImageProcessorDefaults = { withoutFile: GLM4V_CLASS, ofClass: GLM4V_CLASS };

/** transformers' Glm46VVideoProcessor, whose file can't change the sampling. */
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
  // The pixels of a clip are bounded, not its frames.
  maxFrames: Number.POSITIVE_INFINITY,
};

interface TokenBounds {
  /** Pixels along one side of a token. */
  readonly block: number;
  readonly minTokens: number;
  readonly maxTokens: number;
}

const GLM5_NEXT_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...padded({ block: 28, minTokens: 16, maxTokens: 8000 }),
};

export const GLM5_NEXT_IMAGES: ImageProcessorDefaults = {
  withoutFile: GLM5_NEXT_CLASS,
  ofClass: GLM5_NEXT_CLASS,
  sizes: {
    // transformers does not read this processor's `size`.
    keys: ["min_image_tokens", "max_image_tokens", "patch_expand_factor"],
    read(settings, { patchSize, mergeSize }) {
      const side = settings.patchSize(patchSize) * settings.positiveInteger("merge_size", mergeSize);
      return padded({
        block: side * settings.positiveInteger("patch_expand_factor", 1),
        minTokens: settings.positiveInteger("min_image_tokens", 16),
        maxTokens: settings.positiveInteger("max_image_tokens", 8000),
      });
    },
  },
};

function padded(bounds: TokenBounds): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const { block, minTokens, maxTokens } = bounds;
  const minPixels = minTokens * block ** 2;
  return {
    minPixels,
    maxPixels: maxTokens * block ** 2,
    fit(size) {
      checkAspectRatio(size.height, size.width);
      const canvas = canvasOf(size, bounds);
      const { height, width } = size;
      const fitting = Math.min(canvas.height / height, canvas.width / width);
      // Only an image below the bound grows.
      const scale = height * width >= minPixels ? Math.min(1, fitting) : fitting;
      const scaled = (side: number, most: number) => Math.max(1, Math.min(most, Math.floor(side * scale)));
      return {
        resizeTo: { height: scaled(height, canvas.height), width: scaled(width, canvas.width) },
        canvas,
      };
    },
  };
}

/** The sides in whole tokens, rounded up, within the bounds. */
function canvasOf({ height, width }: ImageSize, { block, minTokens, maxTokens }: TokenBounds): ImageSize {
  const [least, most] = [minTokens * block ** 2, maxTokens * block ** 2];
  const up = (side: number) => Math.ceil(side / block) * block;
  let canvas = { height: up(height), width: up(width) };
  if (canvas.height * canvas.width < least) {
    const scale = Math.sqrt(least / (height * width));
    const grown = (side: number) => up(Math.max(1, Math.ceil(side * scale)));
    canvas = { height: grown(height), width: grown(width) };
  }
  if (canvas.height * canvas.width <= most) return canvas;
  // The tallest content that fits, as transformers searches it.
  let [low, high] = [1, height];
  canvas = { height: block, width: block };
  while (low <= high) {
    const tall = Math.floor((low + high) / 2);
    const found = { height: up(tall), width: up(Math.max(1, Math.floor((width * tall) / height))) };
    const fits = found.height * found.width <= most;
    if (fits) canvas = found;
    if (fits) low = tall + 1;
    else high = tall - 1;
  }
  return canvas;
}
