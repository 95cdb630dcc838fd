/**
 * A safetensors file with any header and with bytes changed: opening ends in tensors that lie within the file, one after
 * another without a gap, or in VG_WEIGHTS_INVALID with bounded text.
 */
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeSafetensors, SafetensorsFile } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";

const MAX_MESSAGE_LENGTH = 2000;

const WHOLE = Buffer.from(
  encodeSafetensors([
    { name: "a", dtype: "F32", shape: [2, 2], bytes: new Uint8Array(16) },
    { name: "b", dtype: "BF16", shape: [], bytes: new Uint8Array(2) },
    { name: "c", dtype: "U8", shape: [3, 0], bytes: new Uint8Array(0) },
  ]),
);

const edge = fc.constantFrom<unknown>(
  0,
  1,
  2,
  4,
  8,
  16,
  -1,
  0.5,
  2 ** 53,
  1e308,
  null,
  true,
  "",
  "F32",
  "F4",
  {},
  [],
  [0],
  [0, 16],
  [16, 0],
  [0, 4, 4],
  [2 ** 31, 2 ** 31],
);
const tensor = fc.record(
  {
    dtype: fc.oneof(fc.constantFrom("F32", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "f32"), edge),
    shape: fc.oneof(fc.array(fc.constantFrom(0, 1, 2, 3, 2 ** 40), { maxLength: 4 }), edge),
    data_offsets: fc.oneof(fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 40 })), edge),
    extra: edge,
  },
  { requiredKeys: [] },
);
const header = fc.dictionary(
  fc.constantFrom("a", "b", "__metadata__", "__proto__", "", "\u202e"),
  fc.oneof({ weight: 4, arbitrary: tensor }, { weight: 1, arbitrary: edge }),
);

function withHeader(text: string, lengthChange: number, dataBytes: number): Buffer {
  const json = Buffer.from(text);
  const file = Buffer.alloc(8 + json.length + dataBytes);
  file.writeBigUInt64LE(BigInt(Math.max(0, json.length + lengthChange)));
  json.copy(file, 8);
  return file;
}

const built = fc
  .tuple(header, fc.constantFrom(0, 0, 0, 1, -1, 2 ** 40), fc.nat({ max: 40 }))
  .map(([value, lengthChange, dataBytes]) => withHeader(JSON.stringify(value), lengthChange, dataBytes));
const changed = fc
  .array(fc.tuple(fc.nat({ max: WHOLE.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 })
  .map((changes) => {
    const file = Buffer.from(WHOLE);
    for (const [at, value] of changes) file[at] = value;
    return file;
  });
const cut = fc.nat({ max: WHOLE.length - 1 }).map((length) => WHOLE.subarray(0, length));

let runs = 0;

export default {
  name: "safetensors",
  property: fc.asyncProperty(fc.oneof(built, changed, cut), async (bytes) => {
    const path = join(tmpdir(), `vitgraph-fuzz-${process.pid}-${runs++}.safetensors`);
    await writeFile(path, bytes);
    try {
      await using file = await SafetensorsFile.open(path);
      const tensors = [...file.tensors.values()].sort(
        (a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes,
      );
      let end = 8 + Number(bytes.readBigUInt64LE());
      for (const { name, offset, sizeBytes } of tensors) {
        if (offset !== end) throw new Error(`tensor ${name} starts at byte ${offset} instead of ${end}`);
        end += sizeBytes;
      }
      if (end !== bytes.length) throw new Error(`tensors end at byte ${end} of ${bytes.length}`);
      for (const { name } of tensors) await file.read(name);
    } catch (error) {
      if (!VitgraphError.is(error) || error.code !== "VG_WEIGHTS_INVALID") throw error;
      if (error.message.length > MAX_MESSAGE_LENGTH)
        throw new Error(`a message of ${error.message.length} characters`);
    } finally {
      await rm(path);
    }
  }),
} satisfies FuzzTarget;
