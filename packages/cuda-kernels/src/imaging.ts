/**
 * Resizing and cutting of decoded pixels, in native code and off JavaScript's thread.
 *
 * Arithmetic on bytes, independent of file formats and models. Input arrays are copied on the calling thread, since
 * JavaScript can take their memory away while other threads read it: up to a megabyte at the call, and more in parts with
 * a turn of the event loop in between. The arrays must not change until the promise settles; one that is transferred or
 * shrunk meanwhile is VG_ITEM_INVALID.
 */
import { VitgraphError } from "@vitgraph/errors";
import { fromNative, type NativeFrame, type NativeImaging, requireAddon } from "./native.js";

/** In pixels. */
export interface FrameSize {
  readonly height: number;
  readonly width: number;
}

/** All filters are antialiased: they widen when they shrink an image. */
export const RESIZE_FILTERS = ["bicubic", "bilinear", "lanczos"] as const;
/** torchvision's filters, antialiased. */
export type ResizeFilter = (typeof RESIZE_FILTERS)[number];

/** How pixels are cut into patches. */
export interface PatchLayout {
  /** Pixels along one side of a patch. */
  readonly patchSize: number;
  /** Patches along one side of a token; the mergeSize² patches of a token are adjacent in the result. */
  readonly mergeSize: number;
  /** Frames in a patch. */
  readonly temporalPatchSize: number;
  /** The frames are resized to this size first, as by {@link resizeFrame}. Default: no resize. */
  readonly resizeTo?: FrameSize;
  /** Default: bicubic. */
  readonly filter?: ResizeFilter;
}

const CHANNELS = 3;
/** The native code's limit, far above any image. */
const LONGEST_SIDE = 2 ** 24;

/**
 * Antialiased resize of RGB bytes [height, width, 3], bit for bit what torch makes of uint8 on the CPU
 * (`interpolate(mode=filter, antialias=True)`, which torchvision's `resize` calls).
 * @throws VG_ARGUMENT_INVALID for sizes that are not positive whole numbers, that do not match the bytes, or whose aspect
 *   ratios differ so much that the image between the two passes would be too large; VG_ITEM_INVALID;
 *   VG_DEVICE_OUT_OF_MEMORY
 */
export async function resizeFrame(
  rgb: Uint8Array,
  from: FrameSize,
  to: FrameSize,
  filter: ResizeFilter = "bicubic",
): Promise<Uint8Array> {
  checkSizes({ height: from.height, width: from.width, "to.height": to.height, "to.width": to.width });
  checkBytes("rgb", rgb, from);
  const { height, width } = from;
  return callNative([rgb], (native, [frame]) =>
    native.resizeFrame({
      rgb: frame as Copied,
      filter,
      height,
      width,
      toHeight: to.height,
      toWidth: to.width,
    }),
  );
}

/**
 * Frames of RGB bytes → patches in merge-block order: u8 [t · h · w, channels, temporalPatchSize, patchSize, patchSize]
 * with t = frames / temporalPatchSize rounded up (the last frame repeats), h and w in patches. With a
 * temporalPatchSize of 1 that is the format `u8_still`, otherwise `u8`.
 * @throws VG_ARGUMENT_INVALID if a size is not a multiple of patchSize · mergeSize; as {@link resizeFrame}
 */
export async function patchifyFrames(
  frames: readonly Uint8Array[],
  from: FrameSize,
  layout: PatchLayout,
): Promise<Uint8Array> {
  const { patchSize, mergeSize, temporalPatchSize, resizeTo: to = from, filter = "bicubic" } = layout;
  checkSizes({
    height: from.height,
    width: from.width,
    "resizeTo.height": to.height,
    "resizeTo.width": to.width,
  });
  checkSizes({ patchSize, mergeSize, temporalPatchSize });
  checkBlocks(to, patchSize * mergeSize);
  if (frames.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "there are no frames", { remedy: "pass at least one" });
  }
  for (const [index, frame] of frames.entries()) checkBytes(`frame ${index}`, frame, from);
  return callNative(frames, (native, copied) =>
    native.patchifyFrames({
      frames: copied,
      filter,
      height: from.height,
      width: from.width,
      toHeight: to.height,
      toWidth: to.width,
      patchSize,
      mergeSize,
      temporalPatchSize,
    }),
  );
}

/**
 * CMYK bytes [pixels, 4] (255 is full ink) → RGB [pixels, 3] by Pillow's formula, which knows no colour profiles.
 * @throws VG_ARGUMENT_INVALID if the bytes are not whole pixels; VG_ITEM_INVALID; VG_DEVICE_OUT_OF_MEMORY
 */
export async function cmykToRgb(cmyk: Uint8Array): Promise<Uint8Array> {
  if (cmyk.length % 4 !== 0) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `cmyk has ${cmyk.length} bytes, which are not whole pixels`,
      {
        remedy: "pass 4 bytes for each pixel",
        details: { sizeBytes: cmyk.length },
      },
    );
  }
  return callNative([cmyk], (native, [frame]) =>
    native.cmykToRgb({ pixels: cmyk.length / 4, cmyk: frame as Copied }),
  );
}

/** Pixels of a request: a small array, which native code copies, or a copy in the addon's memory. */
type Copied = Uint8Array | NativeFrame;

/** Every image passes through the CPU addon, whichever device encodes it: that one is built everywhere. */
async function callNative(
  arrays: readonly Uint8Array[],
  work: (imaging: NativeImaging, copied: readonly Copied[]) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const addon = requireAddon("cpu");
  const sizeBytes = arrays.reduce((sum, { length }) => sum + length, 0);
  const frames: NativeFrame[] = [];
  try {
    if (sizeBytes <= PART_BYTES) return await work(addon, [...arrays]);
    const lengths = arrays.map(({ length }) => length);
    for (const [index, array] of arrays.entries())
      frames.push(await copyInParts(addon, array, lengths[index] as number));
    return await work(addon, frames);
  } catch (error) {
    for (const frame of frames) frame.dispose();
    throw fromNative(error);
  }
}

/** Its copy takes about half a millisecond where the memory is new. */
const PART_BYTES = 2 ** 20;

/** @param length of the array when it was checked */
async function copyInParts(
  { Frame }: NativeImaging,
  array: Uint8Array,
  length: number,
): Promise<NativeFrame> {
  const frame = new Frame(length);
  try {
    for (let at = 0; at < length; at += PART_BYTES) {
      await new Promise((resolve) => setImmediate(resolve));
      if (array.length !== length) throw changedMeanwhile();
      frame.append(array.subarray(at, at + PART_BYTES));
    }
    return frame;
  } catch (error) {
    frame.dispose();
    throw error;
  }
}

function changedMeanwhile(): VitgraphError {
  return new VitgraphError("VG_ITEM_INVALID", "pixels were transferred or shrunk while they were copied", {
    remedy: "leave them as they are until the promise settles",
  });
}

function checkSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (Number.isInteger(value) && value > 0 && value <= LONGEST_SIDE) continue;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${value}`, {
      remedy: `give a whole number from 1 to ${LONGEST_SIDE}`,
      details: { name, value },
    });
  }
}

function checkBlocks({ height, width }: FrameSize, block: number): void {
  if (height % block === 0 && width % block === 0) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `a frame of ${width} × ${height} pixels cannot be cut into blocks of ${block} × ${block}`,
    { remedy: `resize it to multiples of ${block}`, details: { width, height, block } },
  );
}

function checkBytes(name: string, bytes: Uint8Array, { height, width }: FrameSize): void {
  const expected = height * width * CHANNELS;
  if (bytes.length === expected) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `${name} has ${bytes.length} bytes, but ${width} × ${height} pixels of RGB are ${expected}`,
    {
      remedy: "pass red, green and blue bytes of every pixel",
      details: { width, height, sizeBytes: bytes.length, expected },
    },
  );
}
