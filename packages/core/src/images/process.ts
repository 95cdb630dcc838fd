/**
 * From an image, or the frames of a video, to an item: size, resize, patches. These are the steps of transformers'
 * processors except for rescaling and normalising, which the encoder's first kernel does.
 */
import { types } from "node:util";
import { patchifyFrames, type ResizeFilter, resizeFrame } from "@vitgraph/cuda-kernels";
import { describe, VitgraphError } from "@vitgraph/errors";
import { type EncoderItem, type Grid, type GridPart, type PixelItem, tokenCount } from "../item.js";
import { concatenate } from "../numerics.js";
import { type DecodeOptions, openImage, type Raster } from "./decode.js";
import {
  type FittedImage,
  type ImageProcessor,
  normalizedLevels,
  resizeBounds,
  type VideoProcessor,
} from "./image-processor.js";
import {
  checkAspectRatio,
  checkNumbers,
  type ImageSize,
  smartResize,
  smartResizeVideo,
} from "./smart-resize.js";

/**
 * Decodes an image and fits it as transformers' processor does: an item for `VisionEncoder.encode`.
 * @param bytes a JPEG, PNG, WebP or GIF; the first frame of an animation
 * @throws VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_IMAGE_ASPECT_RATIO
 */
export async function processImage(
  bytes: Uint8Array,
  processor: ImageProcessor,
  options: DecodeOptions = {},
): Promise<EncoderItem> {
  const image = await openImage(bytes, options);
  fitImage(image, processor); // refuses an image with an invalid size before it is decoded
  return processRaster(await image.decode(), processor);
}

/**
 * Like {@link processImage}, for decoded pixels. They must not change until the promise settles.
 * @throws VG_ITEM_INVALID, VG_ARGUMENT_INVALID, VG_IMAGE_ASPECT_RATIO
 */
export async function processRaster(raster: Raster, processor: ImageProcessor): Promise<EncoderItem> {
  const item = await cutRaster(raster, processor);
  const { normalizesIn, doRescale, doNormalize } = processor;
  if (normalizesIn === undefined || !doRescale || !doNormalize) return item;
  const { grid, pixels } = item;
  return {
    format: "normalized",
    grid,
    pixelValues: normalized(pixels, normalizedLevels(processor), processor.patchSize ** 2),
  };
}

/** @param levels f32 [channels, 256]. @param pixels [patches, channels, patchArea] */
function normalized(pixels: Uint8Array, levels: Float32Array, patchArea: number): Float32Array {
  const channels = levels.length / 256;
  const values = new Float32Array(pixels.length);
  for (let start = 0; start < pixels.length; start += patchArea) {
    const first = ((start / patchArea) % channels) * 256;
    for (let at = start; at < start + patchArea; at++)
      values[at] = levels[first + (pixels[at] as number)] as number;
  }
  return values;
}

async function cutRaster(raster: Raster, processor: ImageProcessor): Promise<PixelItem> {
  checkRaster(raster, "raster");
  const fitted = fitImage(raster, processor);
  const { filter, patchSize } = processor;
  const grid = gridOfImage(fitted, processor);
  const { paddedTo, via, resizeTo, canvas = resizeTo, tile } = fitted;
  const isDirect = paddedTo === undefined && via === undefined && tile === undefined;
  if (isDirect && !processor.channelsLast && isSameSize(canvas, resizeTo)) {
    const layout = { filter, patchSize, mergeSize: mergeSizeOf(processor), temporalPatchSize: 1, resizeTo };
    return { format: "u8_still", grid, pixels: await patchifyFrames([raster.rgb], raster, layout) };
  }
  return { format: "u8_still", grid, pixels: await fittedRows(raster, fitted, processor) };
}

/** The patches of an image or a frame: of its tiles, with those of the thumbnail before or after them. */
async function fittedRows(
  raster: Raster,
  fitted: FittedImage,
  processor: ImageProcessor,
): Promise<Uint8Array> {
  const { filter } = processor;
  const { paddedTo, resizeTo, canvas = resizeTo, tile, tileResizedTo, thumbnail } = fitted;
  const image =
    paddedTo === undefined ? raster : { rgb: onCanvas(raster, paddedTo, { top: 0, left: 0 }), ...paddedTo };
  const fit = await fittedTo(image, fitted, filter);
  const placed = { rgb: placedOnCanvas(fit, fitted), ...canvas };
  const pixels = await patchRows(placed, processor, tile, tileResizedTo);
  if (thumbnail === undefined) return pixels;
  const { from, via, size } = thumbnail;
  const sizes = { ...(via && { via }), resizeTo: size ?? (tile as ImageSize) };
  const small = await fittedTo(from === "image" ? image : fit, sizes, filter);
  const smallPixels = await patchRows(small, processor, size === undefined ? tile : undefined);
  return concatenate(thumbnail.first ? [smallPixels, pixels] : [pixels, smallPixels]);
}

/** The patches of an image, or of its tiles in sequence. @param resizedTo the size that each tile is resized to */
async function patchRows(
  image: Raster,
  processor: ImageProcessor,
  tile?: ImageSize,
  resizedTo = tile,
): Promise<Uint8Array> {
  const { filter, patchSize, channelsLast } = processor;
  const patches = async (raster: Raster, mergeSize: number): Promise<Uint8Array> => {
    if (channelsLast) return pixelRows(raster, patchSize);
    // The temporal slices of a still are equal: the format `u8_still` stores one.
    const layout = { filter, patchSize, mergeSize, temporalPatchSize: 1 };
    return patchifyFrames([raster.rgb], raster, layout);
  };
  if (tile === undefined || resizedTo === undefined) return patches(image, mergeSizeOf(processor));
  const isResized = !isSameSize(tile, resizedTo);
  // For a square tile of whole patches, the tile is the merge block whose patches are adjacent.
  if (!channelsLast && !isResized && tile.height === tile.width && tile.height % patchSize === 0)
    return patches(image, tile.height / patchSize);
  // Pixels after the last whole patch of a tile are dropped.
  const kept = {
    height: Math.floor(resizedTo.height / patchSize) * patchSize,
    width: Math.floor(resizedTo.width / patchSize) * patchSize,
  };
  const tiles = (image.height / tile.height) * (image.width / tile.width);
  const pixels = new Uint8Array(tiles * kept.height * kept.width * 3);
  let at = 0;
  // Tiles are processed one at a time, so that only one copy is in memory.
  for (let top = 0; top < image.height; top += tile.height) {
    for (let left = 0; left < image.width; left += tile.width) {
      const own = isResized ? tile : kept;
      const cut = { rgb: onCanvas(image, own, { top, left }), ...own };
      const rows = await patches(isResized ? await resized(cut, resizedTo, filter) : cut, 1);
      pixels.set(rows, at);
      at += rows.length;
    }
  }
  return pixels;
}

/** Patches in raster order, with interleaved channels. */
function pixelRows({ rgb, height, width }: Raster, patchSize: number): Uint8Array {
  const pixels = new Uint8Array(rgb.length);
  const rowBytes = patchSize * 3;
  let to = 0;
  for (let top = 0; top < height; top += patchSize) {
    for (let left = 0; left < width; left += patchSize) {
      for (let row = top; row < top + patchSize; row++, to += rowBytes) {
        const from = (row * width + left) * 3;
        pixels.set(rgb.subarray(from, from + rowBytes), to);
      }
    }
  }
  return pixels;
}

/** Patches along one side of a block of patches that are adjacent in an item. */
const mergeSizeOf = ({ patchOrder, mergeSize }: ImageProcessor) => (patchOrder === "raster" ? 1 : mergeSize);

const resized = async (from: Raster, to: ImageSize, filter: ResizeFilter): Promise<Raster> =>
  isSameSize(from, to) ? from : { rgb: await resizeFrame(from.rgb, from, to, filter), ...to };

async function fittedTo(
  image: Raster,
  { via, resizeTo }: Pick<FittedImage, "via" | "resizeTo">,
  filter: ResizeFilter,
): Promise<Raster> {
  return resized(via === undefined ? image : await resized(image, via, filter), resizeTo, filter);
}

/** @param image the image after the resize, before it is placed on the canvas */
function placedOnCanvas(
  image: Raster,
  { canvas = image, origin = { top: 0, left: 0 } }: FittedImage,
): Uint8Array {
  return isSameSize(canvas, image) ? image.rgb : onCanvas(image, canvas, origin);
}

const isSameSize = (a: ImageSize, b: ImageSize) => a.height === b.height && a.width === b.width;

/** The pixels of the canvas: black where it lies outside of the image. */
function onCanvas(
  { rgb, height, width }: Raster,
  canvas: ImageSize,
  { top, left }: { readonly top: number; readonly left: number },
): Uint8Array {
  const pixels = new Uint8Array(canvas.height * canvas.width * 3);
  const [from, to] = [Math.max(left, 0), Math.max(-left, 0)];
  const columns = Math.min(width - from, canvas.width - to);
  const firstRow = Math.max(-top, 0);
  for (let row = firstRow; row < Math.min(height - top, canvas.height); row++) {
    const start = ((row + top) * width + from) * 3;
    pixels.set(rgb.subarray(start, start + columns * 3), (row * canvas.width + to) * 3);
  }
  return pixels;
}

/**
 * Preprocesses the sampled frames of a clip, all upright and of one size. The last frame is repeated to fill the last
 * temporal patch. The frames must not change until the promise settles.
 * @throws VG_ITEM_INVALID, VG_ARGUMENT_INVALID, VG_IMAGE_ASPECT_RATIO
 */
export async function processVideo(frames: readonly Raster[], processor: VideoProcessor): Promise<PixelItem> {
  const from = commonSize(frames);
  for (const [index, frame] of frames.entries()) checkRaster(frame, `frame ${index}`);
  const fitted = fitClip(frames.length, from, processor);
  const rasters = frames.map(({ rgb }) => rgb);
  return {
    format: "u8",
    grid: gridOfClip(frames.length, fitted, processor),
    pixels: await cutFrames(rasters, from, fitted, processor),
  };
}

/**
 * The patches of frames of one size, RGB [height, width, 3] each. The last frame is repeated to fill the last patch.
 */
export async function cutFrames(
  frames: readonly Uint8Array[],
  from: ImageSize,
  fitted: FittedImage,
  processor: VideoProcessor,
): Promise<Uint8Array> {
  const { filter, patchSize, temporalPatchSize, channelsLast } = processor;
  const layout = { filter, patchSize, mergeSize: mergeSizeOf(processor), temporalPatchSize };
  const { via, resizeTo, canvas = resizeTo, tile } = fitted;
  const { height, width } = from;
  if (tile !== undefined) {
    // Models with tiles have patches of one frame.
    const rows: Uint8Array[] = [];
    for (const rgb of frames) rows.push(await fittedRows({ rgb, height, width }, fitted, processor));
    return concatenate(rows);
  }
  if (via === undefined && !channelsLast && isSameSize(canvas, resizeTo))
    return patchifyFrames(frames, from, { ...layout, resizeTo });
  const canvases: Uint8Array[] = [];
  for (const rgb of frames)
    canvases.push(placedOnCanvas(await fittedTo({ rgb, height, width }, fitted, filter), fitted));
  if (channelsLast) return concatenate(canvases.map((rgb) => pixelRows({ rgb, ...canvas }, patchSize)));
  return patchifyFrames(canvases, canvas, layout);
}

/** The grid of an image of this size. @throws VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export function imageGrid(size: ImageSize, processor: ImageProcessor): Grid {
  return gridOfImage(fitImage(size, processor), processor);
}

/** Output rows of an image of this size. @throws VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export function imageTokenCount(size: ImageSize, processor: ImageProcessor): number {
  const { mergeSize, tokensOf = tokenCount } = processor;
  return tokensOf(imageGrid(size, processor), mergeSize);
}

/** The grid of a clip of frames of this size. @throws VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export function videoGrid(frames: number, size: ImageSize, processor: VideoProcessor): Grid {
  return gridOfClip(frames, fitClip(frames, size, processor), processor);
}

function fitImage(size: ImageSize, processor: ImageProcessor): FittedImage {
  const { height, width } = size;
  checkNumbers({ height, width });
  if (!processor.doResize) return { resizeTo: checkUnresized(size, processor) };
  const { fixedSize, fit, boundsCoverFrames, temporalPatchSize } = processor;
  if (fit !== undefined) return fit({ height, width }, processor);
  if (fixedSize !== undefined) return { resizeTo: fixedSize };
  const bounds = resizeBounds(processor);
  if (!boundsCoverFrames) return { resizeTo: smartResize(height, width, bounds) };
  const frames = { ...bounds, temporalFactor: temporalPatchSize };
  return { resizeTo: smartResizeVideo(temporalPatchSize, height, width, frames) };
}

/** The size rule's result for each frame of a clip. @throws VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export function fitClip(frames: number, size: ImageSize, processor: VideoProcessor): FittedImage {
  const { height, width } = size;
  checkNumbers({ frames, height, width });
  if (!processor.doResize) return { resizeTo: checkUnresized(size, processor) };
  if (processor.fitClip !== undefined) return processor.fitClip(frames, { height, width }, processor);
  if (processor.fixedSize !== undefined) return { resizeTo: processor.fixedSize };
  const bounds = resizeBounds(processor);
  if (processor.boundsCover === "frame") return { resizeTo: smartResize(height, width, bounds) };
  const covering = { ...bounds, temporalFactor: processor.temporalPatchSize };
  return { resizeTo: smartResizeVideo(frames, height, width, covering) };
}

function checkUnresized(size: ImageSize, { patchSize, mergeSize }: ImageProcessor): ImageSize {
  const { height, width } = size;
  checkAspectRatio(height, width);
  const factor = patchSize * mergeSize;
  if (height % factor === 0 && width % factor === 0) return size;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `image of ${width} × ${height} pixels cannot be cut into blocks of ${factor} × ${factor}, and do_resize is false`,
    {
      remedy: `resize it to multiples of ${factor}, or set do_resize`,
      details: { width, height, factor },
    },
  );
}

/**
 * Checks that the memory contains all pixels, is not shared with another thread, and cannot be shrunk.
 * @throws VG_ITEM_INVALID
 */
export function checkRaster(raster: Raster, name: string): void {
  const fault = faultOf(raster);
  if (fault === undefined) return;
  const { width, height } = raster;
  throw new VitgraphError("VG_ITEM_INVALID", `${name} ${fault.fact}`, {
    remedy: fault.remedy,
    details: { width, height },
  });
}

function faultOf({ rgb, width, height }: Raster): { fact: string; remedy: string } | undefined {
  const remedy = "pass the pixels as a Uint8Array with memory of its own, such as rgb.slice()";
  if (!types.isUint8Array(rgb)) return { fact: "has no Uint8Array of pixels", remedy };
  if (types.isSharedArrayBuffer(rgb.buffer)) return { fact: "has its pixels in shared memory", remedy };
  if ((rgb.buffer as ResizableBuffer).resizable)
    return { fact: "has its pixels in a resizable buffer", remedy };
  const expected = height * width * 3;
  if (rgb.length === expected) return undefined;
  if (rgb.buffer.byteLength === 0) {
    return {
      fact: "has no pixels",
      remedy: "pass the pixels again: their buffer is empty or was transferred to another thread",
    };
  }
  return {
    fact: `has ${rgb.length} bytes, but ${describe(width)} × ${describe(height)} pixels of RGB are ${expected}`,
    remedy: "pass red, green and blue bytes of every pixel",
  };
}

/** An ES2024 property; the project's type library is ES2023. */
type ResizableBuffer = ArrayBufferLike & { readonly resizable?: boolean };

function commonSize(frames: readonly Raster[]): ImageSize {
  const first = frames[0];
  if (first === undefined) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "a video has no frames", { remedy: "pass at least one" });
  }
  const other = frames.findIndex(({ height, width }) => height !== first.height || width !== first.width);
  if (other < 0) return first;
  const { width, height } = frames[other] as Raster;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `frame ${other} has ${width} × ${height} pixels, and frame 0 has ${first.width} × ${first.height}`,
    { remedy: "bring all frames of a video to one size", details: { frame: other, width, height } },
  );
}

function gridOfImage(
  { resizeTo, canvas = resizeTo, tile, tileResizedTo = tile, thumbnail, imageSize }: FittedImage,
  processor: ImageProcessor,
): Grid {
  if (tile === undefined || tileResizedTo === undefined) return gridOf(1, canvas, processor);
  const tiles = Math.floor(canvas.height / tile.height) * Math.floor(canvas.width / tile.width);
  const size = imageSize && { imageSize };
  if (thumbnail?.size === undefined)
    return { ...gridOf(thumbnail === undefined ? tiles : tiles + 1, tileResizedTo, processor), ...size };
  const parts = [gridOf(tiles, tileResizedTo, processor), gridOf(1, thumbnail.size, processor)] as const;
  const [first, next] = thumbnail.first ? [parts[1], parts[0]] : parts;
  return { ...first, next, ...size };
}

export function gridOfClip(frames: number, fitted: FittedImage, processor: VideoProcessor): Grid {
  const slots = Math.ceil(frames / processor.temporalPatchSize);
  const { next, ...frame } = gridOfImage(fitted, processor);
  return {
    ...frame,
    t: slots * frame.t,
    ...(next && { next: { ...next, t: slots * next.t } }),
    isClip: true,
  };
}

function gridOf(t: number, { height, width }: ImageSize, { patchSize }: ImageProcessor): GridPart {
  return { t, h: Math.floor(height / patchSize), w: Math.floor(width / patchSize) };
}
