/**
 * The Accept header and the forms of answers. A header gets one of the types that it names, or 406; and the answer, read by
 * code that shares nothing with the server's, holds the embedding's values, whatever they and their shape are.
 */
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bf16ToF32, SafetensorsFile } from "@vitgraph/core";
import fc from "fast-check";
import { openFuzzServer } from "./fuzz-server.js";
import type { FuzzTarget } from "./fuzz-target.js";

const post = await openFuzzServer();

const TYPES = ["application/json", "application/x-npy", "application/vnd.safetensors", "multipart/mixed"];
const piece = fc.oneof(
  fc.constantFrom(...TYPES, "*/*", "application/*", "text/html", "APPLICATION/X-NPY"),
  fc.constantFrom(
    ",",
    ";",
    " ",
    "q=0",
    "q=0.5",
    "q=1",
    "type=application/x-npy",
    'type="application/x-npy"',
    "=",
    '"',
  ),
  // Characters that a header can carry.
  fc.string({ unit: "grapheme-ascii", maxLength: 3 }),
);
const accept = fc.oneof(
  fc.constantFrom(...TYPES),
  fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => pieces.join("")),
);
const shape = fc
  .tuple(
    fc.integer({ min: 1, max: 70 }),
    fc.integer({ min: 1, max: 70 }),
    fc.constantFrom("f32" as const, "bf16" as const),
  )
  .chain(([tokens, columns, dtype]) => {
    const length = tokens * columns;
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
    const word = fc.nat({ max: 0xffff }).filter((bits) => (bits & 0x7f80) !== 0x7f80);
    const values = (one: fc.Arbitrary<number>) => fc.array(one, { minLength: 1, maxLength: 20 });
    const repeated = (list: readonly number[]) =>
      Array.from({ length }, (_, index) => list[index % list.length] as number);
    const bytes =
      dtype === "f32"
        ? values(finite).map((list) => new Uint8Array(Float32Array.from(repeated(list)).buffer))
        : values(word).map((list) => new Uint8Array(Uint16Array.from(repeated(list)).buffer));
    return fc.record({
      tokens: fc.constant(tokens),
      columns: fc.constant(columns),
      dtype: fc.constant(dtype),
      bytes,
    });
  });
const body = JSON.stringify({ input: "data:image/png;base64,AAAA" });

let files = 0;

async function valuesOf(type: string, answer: Buffer, dtype: "f32" | "bf16"): Promise<Float32Array> {
  switch (type.split(";")[0]) {
    case "application/json":
      return Float32Array.from(
        (JSON.parse(answer.toString()) as { data: [{ embedding: number[] }] }).data[0].embedding,
      );
    case "application/x-npy":
      return npyValues(answer);
    case "application/vnd.safetensors":
      return safetensorsValues(answer, dtype);
    case "multipart/mixed": {
      const boundary = /boundary=(.+)$/.exec(type)?.[1];
      const start = answer.indexOf("\r\n\r\n") + 4;
      const head = answer.subarray(0, start).toString();
      const file = answer.subarray(start, start + Number(/content-length: (\d+)/.exec(head)?.[1]));
      const end = answer.subarray(start + file.length).toString();
      if (end !== `\r\n--${boundary}--\r\n`) throw new Error(`a stream that ends in ${end}`);
      return /content-type: application\/x-npy/.test(head) ? npyValues(file) : safetensorsValues(file, dtype);
    }
    default:
      throw new Error(`an answer of the type ${type}`);
  }
}

function npyValues(file: Buffer): Float32Array {
  const start = 10 + file.readUInt16LE(8);
  const head = file.subarray(10, start).toString();
  const [, rows, columns] = /'shape': \((\d+), (\d+)\)/.exec(head) ?? [];
  if (
    file.subarray(0, 8).toString("latin1") !== "\x93NUMPY\x01\x00" ||
    start % 64 !== 0 ||
    !head.endsWith("\n")
  )
    throw new Error("not .npy");
  if (file.length !== start + 4 * Number(rows) * Number(columns)) throw new Error(`${file.length} bytes`);
  return new Float32Array(new Uint8Array(file.subarray(start)).buffer);
}

async function safetensorsValues(bytes: Buffer, dtype: "f32" | "bf16"): Promise<Float32Array> {
  const path = join(tmpdir(), `vitgraph-fuzz-${process.pid}-${files++}.safetensors`);
  await writeFile(path, bytes);
  try {
    await using file = await SafetensorsFile.open(path);
    const content = new Uint8Array((await file.read("0")).bytes);
    return dtype === "f32" ? new Float32Array(content.buffer) : bf16ToF32(new Uint16Array(content.buffer));
  } finally {
    await rm(path);
  }
}

export default {
  name: "http-answer",
  property: fc.asyncProperty(accept, shape, async (header, given) => {
    const headers = { accept: header, "content-type": "application/json" };
    const answer = await post({ headers, body }, given);
    if (answer.status === 406) return !TYPES.includes(header);
    if (answer.status !== 200) return false;
    const type = String(answer.headers["content-type"]);
    const name = type.split(/[; ]/)[0] as string;
    const isNamed =
      header.toLowerCase().includes(name) || (name === "application/json" && header.includes("*"));
    if (header.trim() !== "" && !isNamed) throw new Error(`${header} is answered with ${type}`);
    const values = await valuesOf(type, answer.body, given.dtype);
    const expected =
      given.dtype === "f32"
        ? new Float32Array(given.bytes.buffer)
        : bf16ToF32(new Uint16Array(given.bytes.buffer));
    // -0 is 0 in JSON.
    return values.length === expected.length && values.every((value, index) => value === expected[index]);
  }),
} satisfies FuzzTarget;
