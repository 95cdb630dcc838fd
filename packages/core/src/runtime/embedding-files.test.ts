import { expect, test } from "vitest";
import { bf16ToF32, bytesOf, f32ToBf16 } from "../numerics.js";
import { Embedding } from "./embedding.js";
import { embeddingPieces, encodeEmbeddings, encodeNpy } from "./embedding-files.js";

const DATA = Float32Array.of(1, -2, 3.5, 0.25, 7, 8);

function embedding(dtype: "f32" | "bf16" = "f32"): Embedding {
  const bytes = bytesOf(dtype === "f32" ? DATA : f32ToBf16(DATA));
  const batch = { index: 0, items: 1, tokens: 3, budget: null, padding: 0, durationMs: 1 };
  return new Embedding({ grid: { t: 1, h: 2, w: 6 }, tokens: 3, columns: 2, dtype, bytes, batch });
}

test(".npy: NumPy's header, and the rows from a multiple of 64 bytes", () => {
  const file = Buffer.from(encodeNpy(embedding("bf16")));
  expect(file.subarray(0, 8).toString("latin1")).toBe("\x93NUMPY\x01\x00");
  const start = 10 + file.readUInt16LE(8);
  expect(start % 64).toBe(0);
  expect(file.subarray(10, start).toString()).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(3, 2\), \} *\n$/,
  );
  expect(new Float32Array(new Uint8Array(file.subarray(start)).buffer)).toEqual(DATA);
});

test.each(["f32", "bf16"] as const)("safetensors in %s, whatever the device's dtype", (dtype) => {
  const file = Buffer.from(
    encodeEmbeddings([{ name: "a", embedding: embedding(dtype === "f32" ? "bf16" : "f32") }], dtype),
  );
  const start = 8 + Number(file.readBigUInt64LE(0));
  const data = new Uint8Array(file.subarray(start)).buffer;
  expect(JSON.parse(file.subarray(8, start).toString())).toEqual({
    __metadata__: { "a.grid_thw": "[1,2,6]" },
    a: {
      dtype: dtype === "f32" ? "F32" : "BF16",
      shape: [3, 2],
      data_offsets: [0, dtype === "f32" ? 24 : 12],
    },
  });
  expect(dtype === "f32" ? new Float32Array(data) : bf16ToF32(new Uint16Array(data))).toEqual(DATA);
});

test("a video's timestamps are in the metadata", () => {
  const file = Buffer.from(encodeEmbeddings([{ name: "v", embedding: embedding(), timestamps: [0.5, 1.5] }]));
  expect(file.toString("latin1")).toContain(`"v.timestamps":"[0.5,1.5]"`);
});

test.each(["f32", "bf16"] as const)("the pieces are the file, in %s", (dtype) => {
  const embeddings = [
    { name: "a", embedding: embedding("f32") },
    { name: "b", embedding: embedding("bf16"), timestamps: [0.5] },
  ];
  expect(Buffer.concat([...embeddingPieces(embeddings, dtype)])).toEqual(
    Buffer.from(encodeEmbeddings(embeddings, dtype)),
  );
});
