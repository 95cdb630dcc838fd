import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevice, loadModel, type TensorData, VisionEncoder, writeSafetensors } from "@vitgraph/core";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

/** Three items of 6, 1 and 8 tokens: strides hit none, one or several rows of each. */
const GRIDS = [
  { t: 1, h: 4, w: 6 },
  { t: 1, h: 2, w: 2 },
  { t: 2, h: 4, w: 4 },
];
const TOKENS = 15;
/** 8 of the merged embedding and 8 of the one deepstack level. */
const COLUMNS = 16;
const ROW_ELEMENTS = 24;

let directory: string;
let reference: string;
let pixelValues: Float32Array;
let output: Float32Array;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  reference = join(directory, "cases.safetensors");
  await writeMiniatureCheckpoint(directory);
  const patches = GRIDS.reduce((sum, { t, h, w }) => sum + t * h * w, 0);
  pixelValues = Float32Array.from({ length: patches * ROW_ELEMENTS }, (_, index) => Math.sin(index));
  await using model = await loadModel(directory);
  using device = createDevice({ backend: "cpu", threads: 1 });
  using encoder = await VisionEncoder.create({ model, device });
  let row = 0;
  const items = GRIDS.map((grid) => {
    const start = row * ROW_ELEMENTS;
    row += grid.t * grid.h * grid.w;
    return {
      format: "normalized",
      grid,
      pixelValues: pixelValues.subarray(start, row * ROW_ELEMENTS),
    } as const;
  });
  output = new Float32Array(TOKENS * COLUMNS);
  let at = 0;
  for (const outcome of await encoder.encode(items)) {
    if (outcome.status === "rejected") throw outcome.reason;
    output.set(outcome.value.data, at);
    at += outcome.value.data.length;
  }
});
afterAll(() => rm(directory, { recursive: true }));

function tensor(
  name: string,
  dtype: TensorData["dtype"],
  shape: number[],
  view: ArrayBufferView,
): TensorData {
  return { name, dtype, shape, bytes: new Uint8Array(view.buffer, view.byteOffset, view.byteLength) };
}

interface CaseOptions {
  readonly stride?: number;
  readonly tolerance?: number;
  /** Multiplies every element of the output. */
  readonly scale?: number;
  readonly shape?: [number, number];
}

function caseTensors(index: number, { stride, tolerance, scale = 1, shape }: CaseOptions): TensorData[] {
  const rows = Array.from({ length: TOKENS }, (_, row) => row).filter((row) => row % (stride ?? 1) === 0);
  const kept = Float32Array.from(
    rows.flatMap((row) => [...output.subarray(row * COLUMNS, (row + 1) * COLUMNS)]),
    (value) => value * scale,
  );
  const grids = BigInt64Array.from(GRIDS.flatMap(({ t, h, w }) => [t, h, w]).map(BigInt));
  return [
    tensor(`${index}.pixel_values`, "F32", [pixelValues.length / ROW_ELEMENTS, ROW_ELEMENTS], pixelValues),
    tensor(`${index}.grid_thw`, "I64", [GRIDS.length, 3], grids),
    tensor(`${index}.output`, "F32", shape ?? [rows.length, COLUMNS], kept),
    ...(stride === undefined
      ? []
      : [tensor(`${index}.row_stride`, "I64", [1], BigInt64Array.of(BigInt(stride)))]),
    ...(tolerance === undefined
      ? []
      : [tensor(`${index}.tolerance`, "F32", [1], Float32Array.of(tolerance))]),
  ];
}

async function verify(cases: readonly CaseOptions[], ...args: string[]) {
  await writeSafetensors(
    reference,
    cases.flatMap((options, index) => caseTensors(index, options)),
  );
  const io = createFakeIo();
  const given = [
    "--model",
    directory,
    "--reference",
    reference,
    "--backend",
    "cpu",
    "--threads",
    "1",
    ...args,
  ];
  const code = await main(["verify", ...given], io);
  const rows = io.out
    .split("\n")
    .slice(2, 2 + cases.length)
    .map((line) => line.trim().split(/\s{2,}/));
  return { code, rows, out: io.out, err: io.err.replaceAll(directory, "DIR") };
}

describe("rows", () => {
  test.each([1, 2, 4, 7, 15, 16])("of every stride are compared with the right ones: %i", async (stride) => {
    const { code, rows } = await verify([{ stride }]);
    expect(rows).toEqual([["0", "3", "0.00e+0", "0.00e+0", "1.00e-5", "ok"]]);
    expect(code).toBe(0);
  });

  test("that are missing are answered with both shapes", async () => {
    const { code, err } = await verify([{ shape: [TOKENS / 3, COLUMNS * 3] }]);
    expect(code).toBe(1);
    expect(err).toBe(
      "error: tensor 0.output of DIR/cases.safetensors has shape [5, 48], but its grids and the model make it " +
        "[15, 16]: the reference belongs to another model, or its row_stride is missing [VG_WEIGHTS_INVALID]\n",
    );
  });

  test("a stride of 0 is refused", async () => {
    await writeSafetensors(reference, [
      ...caseTensors(0, {}),
      tensor("0.row_stride", "I64", [1], BigInt64Array.of(0n)),
    ]);
    const io = createFakeIo();
    expect(await main(["verify", "--model", directory, "--reference", reference], io)).toBe(1);
    expect(io.err).toContain("is not a row stride: a row stride is I64 [1], at least 1 [VG_WEIGHTS_INVALID]");
  });
});

describe("the tolerance", () => {
  test("is the case's own, and that of 1e-5 where it has none", async () => {
    const { code, rows, out } = await verify([
      { scale: 1.001, tolerance: 0.01 },
      { scale: 1.001, tolerance: 0.0001 },
      { scale: 1.001 },
    ]);
    expect(rows.map(([, , , , tolerance, verdict]) => [tolerance, verdict])).toEqual([
      ["1.00e-2", "ok"],
      ["1.00e-4", "above tolerance"],
      ["1.00e-5", "above tolerance"],
    ]);
    expect(out).toContain("\n1 of 3 cases within their tolerances on ");
    expect(code).toBe(1);
  });

  test("given on the command line counts for every case", async () => {
    const { code, out } = await verify([{ scale: 1.001, tolerance: 1e-9 }, {}], "--tolerance", "0.01");
    expect(out).toContain("\n2 of 2 cases within 0.01 on ");
    expect(code).toBe(0);
  });
});
