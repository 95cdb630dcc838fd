/**
 * Safetensors files with any header: of the right form, nearly so, or with bytes changed. Opening ends in a coded error or
 * in tensors that lie within the file, none over another, each readable.
 */
import { mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SafetensorsFile, type TensorInfo } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";

/** Null four times out of five. */
const rarely = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });

const DTYPES = ["F32", "BF16", "U8", "F4", "F6_E2M3", "F8_E8M0", "F12", "", null, 7];
const EDGES = [-1, 0, 1, 1.5, 2 ** 31, 2 ** 53, 1e300];
const count = fc.oneof(
  { weight: 4, arbitrary: fc.nat(4) },
  { weight: 1, arbitrary: fc.constantFrom(...EDGES) },
);
/** Offsets that are not drawn follow from dtype, shape and the tensors before, but for the shift. */
const tensor = fc.record({
  name: fc.oneof(fc.constantFrom("a", "b", "__proto__", "constructor", "__metadata__"), fc.string()),
  dtype: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("F32", "BF16", "U8") },
    { weight: 1, arbitrary: fc.constantFrom(...DTYPES) },
  ),
  shape: fc.array(count, { maxLength: 4 }),
  offsets: rarely(fc.array(count, { maxLength: 3 })),
  shift: fc.constantFrom(0, 0, 0, 0, -4, -1, 1, 4),
});
const BYTES: Readonly<Record<string, number>> = { F32: 4, BF16: 2, U8: 1 };

const input = fc.record({
  tensors: fc.array(tensor, { maxLength: 5 }),
  extra: rarely(fc.json()),
  changes: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }) },
  ),
  dataBytes: rarely(fc.nat(64)),
  lengthLie: fc.constantFrom(0, 0, 0, 0, 1, -1, 2 ** 31, 2 ** 52),
});
type Input = typeof input extends fc.Arbitrary<infer T> ? T : never;

function fileOf({ tensors, extra, changes, dataBytes, lengthLie }: Input): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, offsets, shift }) => {
    const size = shape.reduce((product, side) => product * side, BYTES[String(dtype)] ?? 1);
    const start = Math.max(0, end + shift);
    if (offsets === null && size >= 0 && size <= 4096) end = start + Math.floor(size);
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: offsets ?? [start, end] })}`;
  });
  if (extra !== null) entries.push(`"extra":${extra}`);
  const header = Buffer.from(`{${entries.join(",")}}`);
  const file = Buffer.concat([Buffer.alloc(8), header, Buffer.alloc(dataBytes ?? end)]);
  file.writeBigUInt64LE(BigInt(Math.max(0, header.length + lengthLie)));
  for (const [place, byte] of changes) file[place % file.length] = byte;
  return file;
}

function checkPlaces(tensors: readonly TensorInfo[], fileBytes: number): void {
  const inOrder = tensors.toSorted((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let end = 8;
  for (const { name, offset, sizeBytes } of inOrder) {
    if (offset < end || sizeBytes < 0) throw new Error(`tensor ${name} overlaps what is before it`);
    end = offset + sizeBytes;
  }
  if (end > fileBytes) throw new Error(`tensors end at ${end} in a file of ${fileBytes} bytes`);
}

const folder = mkdtempSync(join(tmpdir(), "vitgraph-fuzz-"));
process.once("exit", () => rm(folder, { recursive: true, force: true }));
let files = 0;

export default {
  name: "safetensors",
  property: fc.asyncProperty(input, async (drawn) => {
    const bytes = fileOf(drawn);
    const path = join(folder, `${files++}.safetensors`);
    await writeFile(path, bytes);
    try {
      await using file = await SafetensorsFile.open(path);
      checkPlaces([...file.tensors.values()], bytes.length);
      for (const name of file.tensors.keys()) await file.read(name);
    } catch (error) {
      if (!VitgraphError.is(error) || error.code !== "VG_WEIGHTS_INVALID") throw error;
      if (error.message.length > 1000) throw new Error(`a message of ${error.message.length} characters`);
    } finally {
      await rm(path);
    }
  }),
} satisfies FuzzTarget;
