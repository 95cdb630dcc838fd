/**
 * The colour that Pillow shows where a GIF's first frame is transparent.
 *
 * `convert("RGB")` drops transparency, so such a pixel has the colour that the palette happens to have at the
 * transparent index. Decoders that yield alpha have lost it; the file has it.
 */

const HEADER_BYTES = 6;
const SCREEN_BYTES = 7;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
const IMAGE = 0x2c;
const IMAGE_BYTES = 10;

export interface Colour {
  readonly r: number;
  readonly g: number;
  readonly b: number;
}

/** @param gif bytes that a decoder has accepted as a GIF. Black where the file has no palette. */
export function gifBackground(gif: Uint8Array): Colour {
  const byte = (index: number) => gif[index] ?? 0;
  const screenFlags = byte(HEADER_BYTES + 4);
  const globalPalette = HEADER_BYTES + SCREEN_BYTES;
  let at = globalPalette + paletteBytes(screenFlags);
  let transparent = 0;
  while (byte(at) === EXTENSION) {
    // introducer, label, then blocks: a size byte and so many bytes, up to a size of 0
    if (byte(at + 1) === GRAPHIC_CONTROL) transparent = byte(at + 3) & 1 ? byte(at + 6) : 0;
    at += 2;
    while (byte(at) !== 0) at += 1 + byte(at);
    at += 1;
  }
  const imageFlags = byte(at) === IMAGE ? byte(at + IMAGE_BYTES - 1) : 0;
  const palette = paletteBytes(imageFlags) > 0 ? at + IMAGE_BYTES : globalPalette;
  if (paletteBytes(imageFlags) + paletteBytes(screenFlags) === 0) return { r: 0, g: 0, b: 0 };
  const colour = palette + transparent * 3;
  return { r: byte(colour), g: byte(colour + 1), b: byte(colour + 2) };
}

/** Bytes of the palette that follows a descriptor with these flags; 0 where none does. */
function paletteBytes(flags: number): number {
  return flags & 0x80 ? 3 << ((flags & 7) + 1) : 0;
}
