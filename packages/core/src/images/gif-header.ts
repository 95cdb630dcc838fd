/**
 * GIF: screen, palettes and the first frame, by Pillow's rules.
 *
 * The output stream is a GIF with only the first frame, without offset and transparency, and with a palette that makes
 * the decoded pixels equal to those of Pillow's `convert("RGB")`.
 */
import { type GifHeader, HeaderError, StepCounter } from "./image-header.js";

/** Maximum blocks: 256 MiB of frame data in blocks of 255 bytes. */
const MAX_BLOCKS = 1 << 20;

const SCREEN_END = 13;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
const DESCRIPTOR_BYTES = 9;

type Colour = GifHeader["background"];

export function readGif(bytes: Uint8Array): GifHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps = new StepCounter(MAX_BLOCKS, "blocks");
  if (file.length < SCREEN_END) throw new HeaderError("its screen descriptor is cut off");
  const screen = { width: file.readUInt16LE(6), height: file.readUInt16LE(8) };
  const screenPalette = readPalette(file, SCREEN_END, file[10] as number);
  let at = SCREEN_END + screenPalette.length;
  let transparent: number | undefined;
  while (file[at] !== IMAGE) {
    steps.count();
    const introducer = file[at];
    if (introducer === undefined || introducer === TRAILER) throw new HeaderError("it has no frame");
    if (introducer !== EXTENSION) {
      at += 1; // Pillow skips stray bytes
      continue;
    }
    if (file[at + 1] === GRAPHIC_CONTROL && (file[at + 2] as number) >= 4 && (file[at + 3] as number) & 1) {
      transparent = file[at + 6];
    }
    at = endOfBlocks(file, at + 2, steps);
  }
  const descriptor = at + 1;
  const lzw = descriptor + DESCRIPTOR_BYTES;
  if (lzw > file.length) throw new HeaderError("its first frame is cut off");
  const frame = {
    left: file.readUInt16LE(descriptor),
    top: file.readUInt16LE(descriptor + 2),
    width: file.readUInt16LE(descriptor + 4),
    height: file.readUInt16LE(descriptor + 6),
  };
  if (frame.width === 0 || frame.height === 0) {
    throw new HeaderError(`its first frame is ${frame.width} × ${frame.height}`);
  }
  const flags = file[descriptor + 8] as number;
  const framePalette = readPalette(file, lzw, flags);
  const colours = fullPalette(framePalette, screenPalette);
  const data = lzw + framePalette.length;
  // The appended trailer must not complete a block that is cut off at the end of the file.
  const dataEnd = endOfBlocks(file, data + 1, steps);
  const end = dataEnd > file.length + 1 ? NOTHING : END;
  const fill = (transparent ?? 0) * 3;
  return {
    format: "gif",
    // As in Pillow, a frame that reaches beyond the screen enlarges it.
    width: Math.max(screen.width, frame.left + frame.width),
    height: Math.max(screen.height, frame.top + frame.height),
    orientation: 1,
    frame,
    background: [...colours.subarray(fill, fill + 3)] as unknown as Colour,
    stream: writeGif(frame, (flags & INTERLACED) !== 0, colours, [file.subarray(data, dataEnd), end]),
  };
}

const INTERLACED = 0x40;
/** The empty block that ends the data (some files lack it), and the trailer. */
const END = Buffer.of(0, TRAILER);
const NOTHING = Buffer.alloc(0);

/** Empty if the flags say that there is no palette. */
function readPalette(file: Buffer, at: number, flags: number): Buffer {
  const sizeBytes = flags & 0x80 ? 3 << ((flags & 7) + 1) : 0;
  if (at + sizeBytes > file.length) throw new HeaderError("a palette is cut off");
  return file.subarray(at, at + sizeBytes);
}

/**
 * A colour for each of the 256 indices: black beyond the palette. As in Pillow, a palette that is a grey ramp (colour i
 * is grey level i) is skipped in favour of the other one. Without a palette, colour i is grey level i.
 */
function fullPalette(frame: Buffer, screen: Buffer): Buffer {
  const isCounting = (palette: Buffer) => palette.every((value, index) => value === Math.floor(index / 3));
  const palette = [frame, screen].find((candidate) => !isCounting(candidate));
  if (palette === undefined)
    return Buffer.from(Array.from({ length: 768 }, (_, index) => Math.floor(index / 3)));
  const full = Buffer.alloc(768);
  full.set(palette);
  return full;
}

/** The offset after a chain of sub-blocks (size byte, data) that a size of 0 ends. May exceed the file's size. */
function endOfBlocks(file: Buffer, start: number, steps: StepCounter): number {
  let at = start;
  for (let sizeBytes = file[at] ?? 0; sizeBytes > 0; sizeBytes = file[at] ?? 0) {
    steps.count();
    at += 1 + sizeBytes;
  }
  return at + 1;
}

/** @param data the frame's code size and sub-blocks, copied from the file, and `END` */
function writeGif(
  { width, height }: GifHeader["frame"],
  interlaced: boolean,
  colours: Buffer,
  data: readonly Buffer[],
): Buffer {
  const screen = Buffer.from("GIF89a\0\0\0\0\xf7\0\0", "latin1"); // 0xf7: a palette of 256 colours
  screen.writeUInt16LE(width, 6);
  screen.writeUInt16LE(height, 8);
  const descriptor = Buffer.alloc(1 + DESCRIPTOR_BYTES);
  descriptor[0] = IMAGE;
  descriptor.writeUInt16LE(width, 5);
  descriptor.writeUInt16LE(height, 7);
  descriptor[9] = interlaced ? INTERLACED : 0;
  return Buffer.concat([screen, colours, descriptor, ...data]);
}
