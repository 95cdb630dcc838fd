/** Answers as NumPy and the safetensors library read them. Skipped, with a line that says so, where Python lacks them. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Embedding, encodeNpy } from "@vitgraph/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dataUrl, openTestEngine, png, serve, type TestEngine, type TestServer } from "../test/serve.js";
import { tensorPieces } from "./embedding-formats.js";

const IMPORTS = "import base64, json, sys, numpy";
const hasPeers =
  spawnSync("python3", ["-c", `${IMPORTS}, safetensors.numpy`], { stdio: "ignore" }).status === 0;
if (!hasPeers)
  console.warn("SKIPPED: python3 lacks numpy or safetensors. Install them: pip install numpy safetensors");

/** A tensor as Python has it. */
interface Read {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its bytes. */
  readonly base64: string;
}

const DESCRIBE = `
def describe(a):
    return {"dtype": str(a.dtype), "shape": list(a.shape), "base64": base64.b64encode(a.tobytes()).decode()}
`;
const READ_NPY = `${IMPORTS}${DESCRIBE}
print(json.dumps(describe(numpy.load(sys.argv[1], allow_pickle=False))))`;
const READ_SAFETENSORS = `${IMPORTS}
from safetensors import safe_open${DESCRIBE}
with safe_open(sys.argv[1], framework="numpy") as f:
    names = sorted(f.keys())
    print(json.dumps({"metadata": f.metadata(), "tensors": {n: describe(f.get_tensor(n)) for n in names}}))`;

let directory: string;
let opened: TestEngine;
let server: TestServer;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  opened = await openTestEngine();
  server = await serve({ engine: opened.engine });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await opened[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function python<T>(script: string, file: Uint8Array): Promise<T> {
  const path = join(directory, "answer");
  await writeFile(path, file);
  const { status, stdout, stderr } = spawnSync("python3", ["-c", script, path], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

async function answer(images: readonly Buffer[], accept: string): Promise<Uint8Array> {
  const response = await server.embed({ input: images.map(dataUrl) }, { accept });
  expect(response.status).toBe(200);
  return new Uint8Array(await response.arrayBuffer());
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

async function encoded(images: readonly Buffer[]): Promise<readonly Embedding[]> {
  const outcomes = await opened.engine.encode(images.map((image) => ({ image })));
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}

describe.skipIf(!hasPeers)("Python", () => {
  test("numpy.load reads an .npy answer", async () => {
    const image = await png(16, 8);
    const [expected] = await encoded([image]);
    expect(await python<Read>(READ_NPY, await answer([image], "application/x-npy"))).toEqual({
      dtype: "float32",
      shape: [8, 16],
      base64: base64(expected!.bytes),
    });
  });

  test("safetensors reads an answer of several images, and their grids", async () => {
    const images = [await png(16, 8), await png(8, 12, 10)];
    const expected = await encoded(images);
    const file = await answer(images, "application/vnd.safetensors");
    expect(await python(READ_SAFETENSORS, file)).toEqual({
      metadata: { "0.grid_thw": "[1,4,8]", "1.grid_thw": "[1,6,4]" },
      tensors: {
        0: { dtype: "float32", shape: [8, 16], base64: base64(expected[0]!.bytes) },
        1: { dtype: "float32", shape: [6, 16], base64: base64(expected[1]!.bytes) },
      },
    });
  });

  test.each([
    [1, 1],
    [9, 7],
    [12_345, 3],
  ])("NumPy reads %i rows of %i columns, NaN and infinities too", async (tokens, columns) => {
    const data = Float32Array.from({ length: tokens * columns }, (_, index) => Math.sin(index) * 1e30);
    data.set([Number.NaN, Number.NEGATIVE_INFINITY, -0].slice(0, data.length));
    const embedding = embeddingOf(tokens, columns, "f32", new Uint8Array(data.buffer));
    const wanted = { dtype: "float32", shape: [tokens, columns], base64: base64(embedding.bytes) };
    expect(await python<Read>(READ_NPY, encodeNpy(embedding))).toEqual(wanted);
  });

  test("NumPy reads bf16 widened to f32", async () => {
    const embedding = embeddingOf(
      1,
      3,
      "bf16",
      new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x7f80).buffer),
    );
    const { dtype, base64: bytes } = await python<Read>(READ_NPY, encodeNpy(embedding));
    const values = new Float32Array(new Uint8Array(Buffer.from(bytes, "base64")).buffer);
    expect([dtype, ...values]).toEqual(["float32", 1, -2, Number.POSITIVE_INFINITY]);
  });

  test("safetensors opens bf16, whose dtype NumPy does not have", async () => {
    const embedding = embeddingOf(2, 2, "bf16", new Uint8Array(8));
    const script = `${IMPORTS}
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as f:
    s = f.get_slice("3")
    print(json.dumps([f.metadata(), s.get_dtype(), s.get_shape()]))`;
    expect(await python(script, Buffer.concat(tensorPieces(new Map([[3, embedding]]))))).toEqual([
      { "3.grid_thw": "[1,2,2]" },
      "BF16",
      [2, 2],
    ]);
  });
});

function embeddingOf(tokens: number, columns: number, dtype: "f32" | "bf16", bytes: Uint8Array): Embedding {
  const batch = { index: 0, items: 1, tokens, budget: null, padding: 0, durationMs: 0 };
  return new Embedding({ grid: { t: 1, h: 2, w: tokens }, tokens, columns, dtype, bytes, batch });
}
