/**
 * Image bytes → pixels, as Pillow's `convert("RGB")` after `exif_transpose` has them: what transformers loads.
 *
 * That is not what a viewer shows. Colour profiles are ignored, and transparency is dropped without blending: a
 * transparent pixel shows the colour that the file keeps under it. Limits are checked from the header, before any
 * memory is taken for pixels.
 */
import { types } from "node:util";
import { cmykToRgb } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import sharp, { type Sharp, type SharpOptions } from "sharp";
import { gifBackground } from "./gif-background.js";
import { detectFormat, formatName, type ImageFormat } from "./image-format.js";
import type { ImageSize } from "./smart-resize.js";

/** Decoded pixels, 8 bits a channel. */
export interface Raster extends ImageSize {
  /** [height, width, 3]: red, green, blue. */
  readonly rgb: Uint8Array;
}

/** An image whose header was read and found within the limits. */
export interface OpenedImage extends ImageSize {
  readonly format: ImageFormat;
  /** @throws VG_IMAGE_INVALID where what follows the header is truncated or damaged */
  decode(): Promise<Raster>;
}

export interface DecodeOptions {
  /** Pixels above which an image is refused. Default {@link DEFAULT_MAX_PIXELS}. */
  readonly maxPixels?: number;
}

/** Where Pillow, too, refuses an image as a decompression bomb: half a gigabyte of RGB. */
export const DEFAULT_MAX_PIXELS = 178_956_970;

const SHARP_OPTIONS: SharpOptions = {
  autoOrient: true,
  ignoreIcc: true,
  // Truncation and damage are errors; what Pillow accepts too, such as JPEG data that ends early in a whole file, is not.
  failOn: "error",
  // The limit is ours, with our error.
  limitInputPixels: false,
};

/**
 * Reads an image's header. Height and width are those of the upright image: an EXIF orientation that turns it by a
 * quarter exchanges them. `bytes` must not change until the image is decoded.
 * @throws VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_ARGUMENT_INVALID
 */
export async function openImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<OpenedImage> {
  const { maxPixels = DEFAULT_MAX_PIXELS } = options;
  checkArguments(bytes, maxPixels);
  const format = detectFormat(bytes);
  // Declared sizes that libpng can't take would otherwise be reported as damage.
  if (format === "png") checkPixels(pngSize(bytes), maxPixels);
  const { autoOrient, space } = await sharp(bytes, SHARP_OPTIONS)
    .metadata()
    .catch((cause) => {
      throw undecodable(format, bytes, cause);
    });
  const { height, width } = autoOrient;
  checkPixels(autoOrient, maxPixels);
  const cmyk = space === "cmyk";
  const decode = async (): Promise<Raster> => {
    const pixels = await raw(dropAlpha(sharp(bytes, SHARP_OPTIONS), format, bytes, cmyk)).catch((cause) => {
      throw undecodable(format, bytes, cause);
    });
    return { height, width, rgb: cmyk ? await cmykToRgb(pixels) : pixels };
  };
  return { format, height, width, decode };
}

/**
 * The pixels of a JPEG, PNG, WebP or GIF (of an animation, the first frame).
 *
 * Grey becomes red = green = blue; of 16-bit channels the high byte is kept; CMYK is converted by Pillow's formula.
 * @throws VG_IMAGE_INVALID where the bytes are no such image, or a truncated or damaged one; VG_IMAGE_TOO_LARGE;
 *   VG_ARGUMENT_INVALID
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<Raster> {
  const image = await openImage(bytes, options);
  return image.decode();
}

function dropAlpha(image: Sharp, format: ImageFormat, bytes: Uint8Array, cmyk: boolean): Sharp {
  // Both ends of the pipeline, or libvips would convert through a colour profile of its own.
  if (cmyk) return image.pipelineColourspace("cmyk").toColourspace("cmyk");
  // A GIF's pixels are opaque or transparent, so that this fills the transparent ones and changes no other.
  if (format === "gif") return image.flatten({ background: gifBackground(bytes) });
  return image.removeAlpha();
}

async function raw(image: Sharp): Promise<Uint8Array> {
  const pixels = await image.raw({ depth: "uchar" }).toBuffer();
  return new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length);
}

/** Width and height as the PNG header declares them: the first chunk, at a fixed place. */
function pngSize(bytes: Uint8Array): ImageSize {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24) return { width: 0, height: 0 };
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function checkArguments(bytes: unknown, maxPixels: number): void {
  if (!types.isUint8Array(bytes)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the image is ${describe(bytes)}, not bytes`, {
      remedy: "pass the content of its file as a Uint8Array",
    });
  }
  if (!(maxPixels > 0)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `maxPixels is ${maxPixels}`, {
      remedy: "give a positive number; Infinity takes the limit away",
      details: { maxPixels },
    });
  }
}

function describe(value: unknown): string {
  return value === null || value === undefined ? `${value}` : `of type ${typeof value}`;
}

function checkPixels({ width, height }: ImageSize, maxPixels: number): void {
  if (width * height <= maxPixels) return;
  throw new VitgraphError(
    "VG_IMAGE_TOO_LARGE",
    `image of ${width} × ${height} pixels is above the limit of ${maxPixels} pixels`,
    {
      remedy: "make it smaller, or raise maxPixels where its source is trusted",
      details: { width, height, maxPixels },
    },
  );
}

function undecodable(format: ImageFormat, bytes: Uint8Array, cause: unknown): VitgraphError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const reason = message.replace(/^Input buffer has corrupt header: */, "").split("\n")[0];
  return new VitgraphError(
    "VG_IMAGE_INVALID",
    `${formatName(format)} image of ${bytes.length} bytes is truncated or damaged${reason ? ` (${reason})` : ""}`,
    { remedy: "copy or download it again", details: { format, sizeBytes: bytes.length }, cause },
  );
}
