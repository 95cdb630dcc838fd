/**
 * Settings of Gemma 4's processors: every image, and every frame of a clip, is resized to use its token budget as far
 * as its aspect ratio allows.
 */
import type {
  FittedImage,
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { USUAL_MAX_FRAMES } from "../../video/sample-frames.js";

/** Values of `max_soft_tokens` that the processor supports. */
const TOKEN_BUDGETS = [70, 140, 280, 560, 1120];

const IMAGE_TOKENS = 280;
const FRAME_TOKENS = 70;

/** transformers' Gemma4ImageProcessor. Pixels are from 0 to 1; the tower itself maps them to −1 … 1. */
const GEMMA4_CLASS: ImageProcessor = {
  patchSize: 16,
  mergeSize: 3,
  patchOrder: "raster",
  channelsLast: true,
  temporalPatchSize: 1,
  filter: "bicubic",
  imageMean: [0, 0, 0],
  imageStd: [1, 1, 1],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: false,
  ...budgeted(IMAGE_TOKENS, 16, 3),
};

export const GEMMA4_IMAGES: ImageProcessorDefaults = {
  withoutFile: GEMMA4_CLASS,
  ofClass: GEMMA4_CLASS,
  sizes: sizesFor(IMAGE_TOKENS),
};

/**
 * transformers' Gemma4VideoProcessor and Gemma4UnifiedVideoProcessor. They normalise frames, with a mean of 0 and a
 * deviation of 1.
 */
export const GEMMA4_VIDEOS: VideoProcessor = {
  ...GEMMA4_CLASS,
  ...budgeted(FRAME_TOKENS, 16, 3),
  doNormalize: true,
  boundsCover: "frame",
  sampling: "stride",
  numFrames: 32,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

export const GEMMA4_VIDEO_SIZES = sizesFor(FRAME_TOKENS);

/** @param absent default of `max_soft_tokens` */
function sizesFor(absent: number): SizeSettings {
  return {
    keys: ["max_soft_tokens", "pooling_kernel_size"],
    read(settings, { patchSize, mergeSize }) {
      const tokens = settings.positiveInteger("max_soft_tokens", absent);
      if (!TOKEN_BUDGETS.includes(tokens))
        settings.fail("max_soft_tokens", `one of ${TOKEN_BUDGETS.join(", ")}`);
      return budgeted(
        tokens,
        settings.patchSize(patchSize),
        settings.positiveInteger("pooling_kernel_size", mergeSize),
      );
    },
  };
}

function budgeted(
  tokens: number,
  patch: number,
  pool: number,
): Pick<VideoProcessor, "minPixels" | "maxPixels" | "fit" | "fitClip"> {
  const most = tokens * (patch * pool) ** 2;
  return {
    // A nominal lower bound: sides are rounded down, so an image has fewer tokens than its budget.
    minPixels: Math.ceil(most / 2),
    maxPixels: most,
    fit: (size, processor) => fitBudget(size, tokens, processor),
    fitClip: (_frames, size, processor) => fitBudget(size, tokens, processor),
  };
}

function fitBudget(
  { height, width }: ImageSize,
  tokens: number,
  { patchSize, mergeSize }: ImageProcessor,
): FittedImage {
  checkAspectRatio(height, width);
  const block = patchSize * mergeSize;
  const factor = Math.sqrt((tokens * block ** 2) / (height * width));
  const blocks = (side: number) => Math.floor((side * factor) / block);
  // A side that rounds to 0 gets one token, and the other side as many as the aspect ratio and the budget allow.
  const along = (longer: number, shorter: number) => Math.min(Math.floor(longer / shorter), tokens);
  const [rows, columns] =
    blocks(height) === 0
      ? [1, along(width, height)]
      : blocks(width) === 0
        ? [along(height, width), 1]
        : [blocks(height), blocks(width)];
  return { resizeTo: { height: rows * block, width: columns * block } };
}
