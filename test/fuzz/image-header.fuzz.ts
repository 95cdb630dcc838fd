/**
 * Images with bytes changed, cut out, repeated and exchanged between files. Opening ends in a size or in a coded error,
 * after a number of reads that the file's length bounds; decoding gives a raster of this size or a coded error.
 */
import { readdirSync, readFileSync } from "node:fs";
import { decodeImage, openImage } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { fixture } from "../fixtures.js";
import type { FuzzTarget } from "./fuzz-target.js";

const SEEDS = ["images/pillow", "images/pillow-rules"].flatMap((folder) =>
  readdirSync(fixture(folder))
    .filter((name) => /\.(jpg|png|webp|gif)$/.test(name))
    .map((name) => readFileSync(fixture(`${folder}/${name}`))),
);

/** Values that lengths, counts and types break at. */
const EDGES = [0, 1, 6, 0x7f, 0x80, 0xda, 0xff];

interface Change {
  readonly kind: "byte" | "edge" | "length" | "cut" | "repeat" | "remove" | "splice";
  /** Where, as a share of the file. */
  readonly place: number;
  readonly value: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("byte", "edge", "length", "cut", "repeat", "remove", "splice"),
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  value: fc.nat(),
});
const input = fc.tuple(fc.nat({ max: SEEDS.length - 1 }), fc.array(change, { minLength: 1, maxLength: 5 }));

function apply(bytes: Buffer, { kind, place, value }: Change): Buffer {
  const at = Math.floor(place * bytes.length);
  const copy = Buffer.from(bytes);
  switch (kind) {
    case "byte":
      copy[at] = value & 0xff;
      return copy;
    case "edge":
      copy[at] = EDGES[value % EDGES.length] as number;
      return copy;
    case "length":
      if (at + 4 <= copy.length)
        copy.writeUInt32BE([0, 0xffff, 0x7fffffff, 0xffffffff][value % 4] as number, at);
      return copy;
    case "cut":
      return copy.subarray(0, at + 1);
    case "repeat":
      return Buffer.concat([copy.subarray(0, at + (value % 64)), copy.subarray(at)]);
    case "remove":
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + (value % 32))]);
    case "splice":
      return Buffer.concat([copy.subarray(0, at), (SEEDS[value % SEEDS.length] as Buffer).subarray(at)]);
    default:
      return kind satisfies never;
  }
}

const READS = [
  "readUInt8",
  "readUInt16BE",
  "readUInt16LE",
  "readUInt32BE",
  "readUInt32LE",
  "readUIntLE",
  "indexOf",
] as const;

/** Counts the reads of numbers, and searches, that `work` makes before it first waits. */
function countReads<T>(work: () => Promise<T>): { result: Promise<T>; reads: number } {
  let reads = 0;
  const prototype = Buffer.prototype as unknown as Record<string, (...values: unknown[]) => unknown>;
  const originals = READS.map(
    (name) => [name, prototype[name] as (...values: unknown[]) => unknown] as const,
  );
  const view = DataView.prototype.getUint16;
  for (const [name, original] of originals) {
    prototype[name] = function (this: Buffer, ...values) {
      reads++;
      return original.apply(this, values);
    };
  }
  DataView.prototype.getUint16 = function (this: DataView, ...values) {
    reads++;
    return view.apply(this, values);
  };
  try {
    return { result: work(), reads };
  } finally {
    for (const [name, original] of originals) prototype[name] = original;
    DataView.prototype.getUint16 = view;
  }
}

const coded = (error: unknown) => {
  if (VitgraphError.is(error) && error.code !== "VG_ARGUMENT_INVALID") return undefined;
  throw error;
};

export default {
  name: "image-header",
  property: fc.asyncProperty(input, async ([seed, changes]) => {
    const bytes = new Uint8Array(changes.reduce(apply, SEEDS[seed] as Buffer));
    const limits = { maxPixels: 1 << 20 };
    const { result, reads } = countReads(() => openImage(bytes, limits));
    const opened = await result.catch(coded);
    // A step of a parser takes some bytes, and makes fewer reads than these.
    if (reads > 2 * bytes.length + 200) throw new Error(`${reads} reads of ${bytes.length} bytes`);
    const raster = await decodeImage(bytes, limits).catch(coded);
    if (raster === undefined) return;
    if (opened === undefined) throw new Error("an image that cannot be opened was decoded");
    const { width, height, rgb } = raster;
    if (width !== opened.width || height !== opened.height || rgb.length !== width * height * 3) {
      throw new Error(`opened as ${opened.width} × ${opened.height}, decoded as ${width} × ${height}`);
    }
  }),
} satisfies FuzzTarget;
