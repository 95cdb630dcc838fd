/**
 * A video file as an item: sampled frames, decoded one temporal patch at a time, resized and split into patches as they
 * arrive. A clip's frames are never in memory together; its resized patches are, and the processor bounds their size.
 */
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VitgraphError } from "@vitgraph/errors";
import { DEFAULT_MAX_PIXELS } from "../images/decode.js";
import type { FittedImage, VideoProcessor } from "../images/image-processor.js";
import { cutFrames, fitClip, gridOfClip } from "../images/process.js";
import type { ImageSize } from "../images/smart-resize.js";
import { type Grid, type PixelItem, patchCount } from "../item.js";
import { mayBeAnimation, openAnimation } from "./animation.js";
import { type ClipInfo, DECODER_FRAMES, decodeFrames, MAX_FRAME_PIXELS, probeClip } from "./ffmpeg.js";
import { type FrameSampling, patchTimestamps, sampleFrames } from "./sample-frames.js";

export interface OpenClipOptions extends FrameSampling {
  /** Limit on the pixels of a frame, or of all frames of an animation together. Default: as for images. */
  readonly maxPixels?: number;
  readonly signal?: AbortSignal;
}

/** A clip whose container was read. Must be disposed, which deletes its temporary file. */
export interface OpenedClip extends AsyncDisposable {
  readonly info: ClipInfo;
  /** Indices of the sampled frames, ascending. */
  readonly indices: readonly number[];
  /** Timestamp of each temporal patch, in seconds from the start of the clip. */
  readonly timestamps: readonly number[];
  readonly grid: Grid;
  /** Memory of `decode` besides its result: a temporal patch of frames and ffmpeg's, or all frames of an animation. */
  readonly decodeBytes: number;
  /** @throws VG_VIDEO_INVALID; the signal's reason */
  decode(): Promise<PixelItem>;
}

/**
 * Opens a video and chooses the frames that the model's processor would sample. `decode` decodes them.
 *
 * @param source a file's path or content. Animated GIF and WebP need no decoder; other files need ffmpeg.
 * @throws VG_VIDEO_INVALID, VG_VIDEO_DECODER_MISSING, VG_IMAGE_TOO_LARGE, VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID
 */
export async function openClip(
  source: string | Uint8Array,
  processor: VideoProcessor,
  { fps, numFrames, maxPixels = DEFAULT_MAX_PIXELS, signal }: OpenClipOptions = {},
): Promise<OpenedClip> {
  const file = await openSource(source, maxPixels, signal);
  try {
    const { info } = file;
    checkFrame(info, maxPixels, file.holdsAll ? maxPixels : MAX_FRAME_PIXELS);
    const indices = sampleFrames(info, { fps, numFrames }, processor);
    const fitted = fitClip(indices.length, info, processor);
    const grid = gridOfClip(indices.length, fitted, processor);
    return {
      info,
      indices,
      timestamps: patchTimestamps(indices, info.fps, processor.temporalPatchSize),
      grid,
      decodeBytes: 3 * decodePixels(info, fitted, processor.temporalPatchSize, file.holdsAll),
      decode: () => patchify(file.frames(indices), info, fitted, grid, processor),
      [Symbol.asyncDispose]: file.remove,
    };
  } catch (error) {
    await file.remove();
    throw error;
  }
}

/** Pixels in memory at a time: the frames of a patch twice, and one frame at its intermediate size or before tiling. */
function decodePixels(
  info: ClipInfo,
  { via, resizeTo, tile }: FittedImage,
  temporalPatch: number,
  holdsAll: boolean,
): number {
  const frames = 2 * temporalPatch + (holdsAll ? info.frames : DECODER_FRAMES);
  const area = ({ width, height }: ImageSize) => width * height;
  return area(info) * frames + (via ? area(via) : 0) + (tile ? 2 * area(resizeTo) : 0);
}

interface ClipSource {
  readonly info: ClipInfo;
  /** Whether all frames are decoded at once. */
  readonly holdsAll: boolean;
  frames(indices: readonly number[]): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** Removes its temporary file. */
  remove(): Promise<void>;
}

async function openSource(
  source: string | Uint8Array,
  maxPixels: number,
  signal: AbortSignal | undefined,
): Promise<ClipSource> {
  if (typeof source === "string") {
    if (mayBeAnimation(await firstBytes(source)))
      return openSource(await readFile(source), maxPixels, signal);
    const info = await probeClip(source, signal);
    const frames = (indices: readonly number[]) => decodeFrames(source, info, indices, signal);
    return { info, holdsAll: false, frames, remove: async () => {} };
  }
  if (mayBeAnimation(source)) {
    const { info, frames } = await openAnimation(source, maxPixels);
    return { info, holdsAll: true, frames, remove: async () => {} };
  }
  // ffmpeg needs to seek: many files have their index at the end, so a pipe will not do.
  const folder = await mkdtemp(join(tmpdir(), "vitgraph-clip-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "clip");
    await writeFile(path, source, { mode: 0o600 });
    return { ...(await openSource(path, maxPixels, signal)), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Of a file; none where it cannot be read, which ffprobe reports. */
async function firstBytes(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    return buffer.subarray(0, bytesRead);
  } catch {
    return new Uint8Array();
  }
}

/** @param most what the decoder takes at all */
function checkFrame({ width, height }: ClipInfo, maxPixels: number, most: number): void {
  const limit = Math.min(maxPixels, most);
  if (width * height <= limit) return;
  const canRaise = width * height <= most;
  throw new VitgraphError(
    "VG_IMAGE_TOO_LARGE",
    `frames of ${width} × ${height} pixels are above the limit of ${limit} pixels`,
    {
      remedy: `make them smaller${canRaise ? ", or raise maxPixels where their source is trusted" : ""}`,
      details: { width, height, maxPixels: limit },
    },
  );
}

async function patchify(
  frames: ReturnType<ClipSource["frames"]>,
  from: ClipInfo,
  fitted: FittedImage,
  grid: Grid,
  processor: VideoProcessor,
): Promise<PixelItem> {
  const { patchSize, temporalPatchSize } = processor;
  const pixels = new Uint8Array(temporalPatchSize * patchCount(grid) * patchSize ** 2 * 3);
  const slotBytes = pixels.length / grid.t;
  let slot = 0;
  let waiting: Uint8Array[] = [];
  const flush = async () => {
    // A partial slot repeats its last frame.
    pixels.set(await cutFrames(waiting, from, fitted, processor), slot * slotBytes);
    slot += 1;
    waiting = [];
  };
  for await (const frame of frames) {
    waiting.push(frame);
    if (waiting.length === temporalPatchSize) await flush();
  }
  if (waiting.length > 0) await flush();
  return { format: "u8", grid, pixels };
}
