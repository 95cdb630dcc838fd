/**
 * Reads the orientation that Pillow's `exif_transpose` applies: from EXIF IFD0, or from XMP if EXIF has no such tag.
 *
 * The parsers read untrusted bytes. They visit each IFD entry once and follow no pointer to another IFD, since a
 * directory that points to itself would take quadratic time (as it does in libexif).
 */

/** EXIF numbering: 1 is upright, 6 is rotated by 90°. 5 to 8 swap width and height. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** Metadata that may contain an orientation. The last of each kind in the file counts. */
export interface OrientationSources {
  /** A TIFF structure, possibly after "Exif\0\0" headers. */
  exif?: Uint8Array | undefined;
  /** An XMP packet: XML in UTF-8. */
  xmp?: Uint8Array | undefined;
}

/** Longer packets are read up to here. The standard's packets are at most 64 KiB. */
const MAX_XMP_BYTES = 1 << 20;

const ORIENTATION_TAG = 0x0112;
const ENTRY_BYTES = 12;
const EXIF_HEADER = Buffer.from("Exif\0\0", "latin1");

/** Byte order by the first four bytes. Like Pillow, accepts the version number in either byte order. */
const LITTLE_ENDIAN_BY_HEADER: Readonly<Record<string, boolean>> = {
  "II*\0": true,
  "II\0*": true,
  "MM\0*": false,
  "MM*\0": false,
};

interface FieldType {
  readonly sizeBytes: number;
  /** Absent if Pillow does not read a number of this type: then the tag counts as present, with the value upright. */
  readonly read?: (view: DataView, at: number, littleEndian: boolean) => number;
}

/** TIFF field types by their number. An entry of any other type is skipped. */
const FIELD_TYPES: Readonly<Record<number, FieldType>> = {
  1: { sizeBytes: 1 }, // Pillow reads BYTE, ASCII and UNDEFINED as strings
  2: { sizeBytes: 1 },
  7: { sizeBytes: 1 },
  3: { sizeBytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  4: { sizeBytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  5: {
    sizeBytes: 8,
    read: (view, at, little) => view.getUint32(at, little) / view.getUint32(at + 4, little),
  },
  6: { sizeBytes: 1, read: (view, at) => view.getInt8(at) },
  8: { sizeBytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  9: { sizeBytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  10: { sizeBytes: 8, read: (view, at, little) => view.getInt32(at, little) / view.getInt32(at + 4, little) },
  11: { sizeBytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  12: { sizeBytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
  13: { sizeBytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  16: { sizeBytes: 8, read: (view, at, little) => Number(view.getBigUint64(at, little)) },
};

/** 1 if the sources have no orientation, or one that Pillow ignores. */
export function readOrientation({ exif, xmp }: OrientationSources): Orientation {
  const fromExif = exif === undefined ? undefined : exifOrientation(exif);
  return fromExif ?? (xmp === undefined ? undefined : xmpOrientation(xmp)) ?? 1;
}

/** Swaps width and height if the orientation rotates the picture by 90°. */
export function uprightSize<S extends { width: number; height: number }>(size: S, orientation: Orientation) {
  const { width, height } = size;
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

/**
 * @returns undefined if the EXIF data has no orientation tag. 1 for data that is not a TIFF structure: for such data
 *   Pillow refuses the image, or ignores both EXIF and XMP.
 */
export function exifOrientation(exif: Uint8Array): Orientation | undefined {
  const tiff = withoutExifHeaders(exif);
  if (tiff.length === 0) return undefined;
  const littleEndian = LITTLE_ENDIAN_BY_HEADER[Buffer.from(tiff.subarray(0, 4)).toString("latin1")];
  if (littleEndian === undefined || tiff.length < 8) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const directory = view.getUint32(4, littleEndian);
  if (directory + 2 > tiff.length) return undefined;
  const entries = view.getUint16(directory, littleEndian);
  let found: Orientation | undefined;
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + entry * ENTRY_BYTES;
    if (at + ENTRY_BYTES > tiff.length) break;
    const type: FieldType | undefined = FIELD_TYPES[view.getUint16(at + 2, littleEndian)];
    const count = view.getUint32(at + 4, littleEndian);
    if (type === undefined || count === 0) continue;
    const sizeBytes = type.sizeBytes * count;
    const value = sizeBytes > 4 ? view.getUint32(at + 8, littleEndian) : at + 8;
    // Pillow stops at the first value that reaches beyond the end, and keeps the tags before it.
    if (value + sizeBytes > tiff.length) break;
    if (view.getUint16(at, littleEndian) !== ORIENTATION_TAG) continue;
    found = orientationOf(type.read?.(view, value, littleEndian));
  }
  return found;
}

/** Uses Pillow's pattern, `tiff:Orientation(="|>)([0-9])`, for an attribute or an element, without parsing XML. */
export function xmpOrientation(xmp: Uint8Array): Orientation | undefined {
  const packet = Buffer.from(xmp.buffer, xmp.byteOffset, Math.min(xmp.byteLength, MAX_XMP_BYTES));
  const digit = /tiff:Orientation(?:="|>)([0-9])/.exec(packet.toString("latin1"))?.[1];
  return digit === undefined ? undefined : orientationOf(Number(digit));
}

function withoutExifHeaders(exif: Uint8Array): Uint8Array {
  let start = 0;
  while (EXIF_HEADER.every((byte, index) => exif[start + index] === byte)) start += EXIF_HEADER.length;
  return exif.subarray(start);
}

function orientationOf(value: number | undefined): Orientation {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 8
    ? (value as Orientation)
    : 1;
}
