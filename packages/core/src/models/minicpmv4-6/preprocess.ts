/**
 * Settings of MiniCPM-V 4.6's processors: an image, or a frame of a clip, is resized to about the area of one square. A
 * larger one is cut into slices of that area, with a thumbnail before them.
 */
import type {
  FittedImage,
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { linspace, roundHalfEven } from "../../numerics.js";
import { type FrameRule, LARGEST_MAX_FRAMES, refuseSampling } from "../../video/sample-frames.js";

interface SliceSettings {
  /** A slice has about resolution² pixels. */
  readonly resolution: number;
  readonly maxSlices: number;
  readonly slicing: boolean;
  readonly patchSize: number;
}

/** Patches along one side of a token. */
const MERGE = 4;

/** transformers' MiniCPMV4_6ImageProcessor. */
const MINICPM_CLASS: ImageProcessor = {
  patchSize: 14,
  mergeSize: MERGE,
  temporalPatchSize: 1,
  patchOrder: "raster",
  filter: "bicubic",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
  ...sliced({ resolution: 448, maxSlices: 9, slicing: true, patchSize: 14 }),
};

// The last two are ignored: they affect the model and the prompt.
const SLICE_KEYS = ["max_slice_nums", "scale_resolution", "slice_mode", "downsample_mode", "use_image_id"];

export const MINICPM_IMAGES: ImageProcessorDefaults = {
  withoutFile: MINICPM_CLASS,
  ofClass: MINICPM_CLASS,
  sizes: { keys: SLICE_KEYS, read: readSlices },
};

/** `sample_frames` of transformers' MiniCPMV4_6VideoProcessor: one frame per second, at most `maxFrames`. */
const sampleSeconds: FrameRule = ({ frames, fps }, wanted, { maxFrames }) => {
  refuseSampling(wanted);
  const seconds = frames / fps;
  const at = (second: number) => Math.min(Math.trunc(second * fps), frames - 1);
  if (seconds <= maxFrames) return Array.from({ length: Math.ceil(seconds) }, (_, second) => at(second));
  // Equal steps, rounded to tenths of a second.
  const tenths = linspace(0, Math.trunc(seconds / 0.1) - 1, maxFrames).map(Math.trunc);
  return tenths.map((tenth) => at(tenth / 10));
};

/** transformers' MiniCPMV4_6VideoProcessor. */
export const MINICPM_VIDEOS: VideoProcessor = {
  ...MINICPM_CLASS,
  boundsCover: "frame",
  sampling: sampleSeconds,
  minFrames: 1,
  maxFrames: 128,
};

export const MINICPM_VIDEO_SIZES: SizeSettings = {
  keys: [...SLICE_KEYS, "max_num_frames", "stack_frames"],
  read(settings) {
    // With more than 1, transformers 5.17 samples more frames but does not stack them.
    if (settings.positiveInteger("stack_frames", 1) > 1) settings.fail("stack_frames", "1");
    const maxFrames = settings.positiveInteger(
      "max_num_frames",
      MINICPM_VIDEOS.maxFrames,
      LARGEST_MAX_FRAMES,
    );
    return { ...readSlices(settings), maxFrames };
  },
};

function readSlices(settings: SettingsReader): Sliced {
  settings.onlyTrue("do_resize");
  const maxSlices = settings.positiveInteger("max_slice_nums", 9);
  if (maxSlices > 256) settings.fail("max_slice_nums", "at most 256");
  const resolution = settings.positiveInteger("scale_resolution", 448);
  if (resolution > 4096) settings.fail("scale_resolution", "at most 4096");
  const slicing = settings.boolean("slice_mode", true);
  return sliced({ resolution, maxSlices, slicing, patchSize: settings.patchSize(14) });
}

type Sliced = Pick<VideoProcessor, "minPixels" | "maxPixels" | "fit" | "fitClip">;

function sliced(settings: SliceSettings): Sliced {
  const { resolution, maxSlices, slicing } = settings;
  return {
    minPixels: (settings.patchSize * MERGE) ** 2,
    maxPixels: (slicing && maxSlices > 1 ? maxSlices + 1 : 1) * resolution ** 2,
    fit: (size) => fitSlices(size, settings),
    fitClip: (_frames, size) => fitSlices(size, settings),
  };
}

function fitSlices(size: ImageSize, settings: SliceSettings): FittedImage {
  checkAspectRatio(size.height, size.width);
  const grid = settings.slicing ? sliceGrid(size, settings) : undefined;
  const whole = fittedSize(size, settings, grid === undefined);
  if (grid === undefined) return { resizeTo: whole };
  const slice = fittedSize(
    {
      height: nearestMultiple(size.height, grid.rows) / grid.rows,
      width: nearestMultiple(size.width, grid.columns) / grid.columns,
    },
    settings,
    true,
  );
  return {
    resizeTo: { height: slice.height * grid.rows, width: slice.width * grid.columns },
    tile: slice,
    thumbnail: { from: "image", size: whole, first: true },
  };
}

/** The grid with the nearest aspect ratio and about area / resolution² slices. Undefined for a small image. */
function sliceGrid(
  { height, width }: ImageSize,
  { resolution, maxSlices }: SliceSettings,
): { readonly rows: number; readonly columns: number } | undefined {
  const logAspect = Math.log(width / height);
  const slices = Math.min(Math.ceil((width * height) / resolution ** 2), maxSlices);
  if (slices <= 1) return undefined;
  let best = { rows: 1, columns: 1 };
  let least = Number.POSITIVE_INFINITY;
  for (const count of [slices - 1, slices, slices + 1]) {
    if (count === 1 || count > maxSlices) continue;
    for (let columns = 1; columns <= count; columns++) {
      if (count % columns !== 0) continue;
      const rows = count / columns;
      const error = Math.abs(logAspect - Math.log(columns / rows));
      if (error < least) [best, least] = [{ rows, columns }, error];
    }
  }
  return best;
}

/**
 * The image's size rounded to whole tokens, after scaling it to the area resolution² if it is larger, or if `grows`.
 */
function fittedSize(
  { height, width }: ImageSize,
  { resolution, patchSize }: SliceSettings,
  grows: boolean,
): ImageSize {
  const block = patchSize * MERGE;
  let sides = { height, width };
  if (grows || height * width > resolution ** 2) {
    const aspect = width / height;
    const tall = Math.trunc(resolution / Math.sqrt(aspect));
    sides = { height: tall, width: Math.trunc(tall * aspect) };
  }
  return { height: nearestMultiple(sides.height, block), width: nearestMultiple(sides.width, block) };
}

function nearestMultiple(side: number, factor: number): number {
  return Math.max(roundHalfEven(side / factor) * factor, factor);
}
