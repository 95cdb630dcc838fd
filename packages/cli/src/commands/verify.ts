/** `vitgraph verify`: compares a checkpoint with outputs of transformers, case by case. */
import type { ServeArguments } from "@vitgraph/config";
import {
  bf16ToF32,
  compareWithReference,
  type Embedding,
  type EncoderItem,
  embeddingColumns,
  f16ToF32,
  joinTiles,
  outputTokensOf,
  patchCount,
  SafetensorsFile,
  VisionEncoder,
  type VisionModel,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { Command } from "commander";
import type { CliIo } from "../cli-io.js";
import { addHelpNotes } from "../help-notes.js";
import { renderTable } from "../table.js";
import {
  addModelOptions,
  addRequiredOption,
  compilationConfigOf,
  type ModelOptions,
  messageOf,
  openModel,
  positiveNumber,
} from "./model-options.js";

interface VerifyOptions extends ModelOptions {
  readonly reference: string;
  readonly tolerance?: number;
  readonly json?: true;
}

/**
 * For cases without a tolerance, by the dtype between kernels. float32 sums in another order differ by about 1e-5. bf16
 * has 8 significant bits, and transformers' own bf16 run of a tower of 27 layers is 1.2 % off.
 */
const DEFAULT_TOLERANCES = { f32: 1e-5, bf16: 2e-2 };

export function registerVerify(program: Command, io: CliIo, serving: ServeArguments): void {
  const command = program.command("verify");
  addRequiredOption(
    addModelOptions(command),
    "--reference <file>",
    "safetensors with `i.pixel_values`, `i.grid_thw` and `i.output` for the cases i = 0, 1, …",
  )
    .description("compare the encoder with reference outputs of transformers")
    .option(
      "--tolerance <x>",
      `largest relative L2 error of a case (default: its \`i.tolerance\`, or ${DEFAULT_TOLERANCES.f32}, in bf16 ${DEFAULT_TOLERANCES.bf16})`,
      positiveNumber,
    )
    .option("--json", "print the device and each case's errors as JSON; NaN is null")
    .action((options: VerifyOptions) => verify(options, io, serving));
  addHelpNotes(command, REFERENCE_HELP);
}

const REFERENCE_HELP = `The reference file, for each case i:
  i.pixel_values   [patches, channels·temporal·patch·patch], as transformers' processor yields them
  i.grid_thw       I64 [grids, 3], one row for each image, frame or tile
  i.image_sizes    I64 [images, 2], height and width of the images, for models that tile them and need their sizes
  i.output         [rows, columns]: the merged embedding's columns, then each deepstack level's
  i.row_stride     I64 [1], optional: row r of i.output is row r·stride of the embedding
  i.tolerance      F32 [1], optional: the tolerance of this case`;

async function verify(options: VerifyOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  const compilationConfig = compilationConfigOf(serving, io);
  await using opened = await openModel(options, io);
  const { model, device } = opened;
  await using reference = await SafetensorsFile.open(options.reference);
  const caseCount = countCases(reference);
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
    // Poisoning clears the grid cache.
    warmUpGrids: "none",
  });
  // Unwritten rows and reads beyond an operand then show as NaN.
  await encoder.poison();

  const results: CaseResult[] = [];
  // One at a time: large cases have gigabytes.
  for (let index = 0; index < caseCount; index++) {
    results.push(
      await verifyCase(encoder, await readCase(reference, index, model.vision), options.tolerance),
    );
  }
  if (results.some(({ passed }) => !passed)) io.exitCode = 1;
  if (options.json === true) {
    io.stdout(`${JSON.stringify({ device: device.info.name, cases: results }, null, 2)}\n`);
    return;
  }
  io.stdout(renderResults(results));
  const passed = results.filter((result) => result.passed).length;
  const tolerances = new Set(results.map(({ tolerance }) => tolerance));
  const [tolerance] = tolerances.size === 1 ? tolerances : ["their tolerances"];
  io.stdout(`\n${passed} of ${caseCount} cases within ${tolerance} on ${device.info.name}\n`);
}

interface CaseResult {
  readonly items: number;
  readonly tolerance: number;
  readonly passed: boolean;
  /** Absent if an item failed. */
  readonly error?: { readonly relativeL2: number; readonly maxAbsolute: number };
  readonly verdict: string;
}

async function verifyCase(
  encoder: VisionEncoder,
  { items, expected, rowStride, tolerance: ownTolerance }: ReferenceCase,
  givenTolerance: number | undefined,
): Promise<CaseResult> {
  const tolerance =
    givenTolerance ??
    ownTolerance ??
    DEFAULT_TOLERANCES[encoder.device.activationDType === "bf16" ? "bf16" : "f32"];
  const outcomes = await encoder.encode(items);
  const embeddings: Embedding[] = [];
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") {
      embeddings.push(outcome.value);
      continue;
    }
    const verdict = `failed: ${messageOf(outcome.reason)}`;
    return { items: items.length, tolerance, passed: false, verdict };
  }
  const actual = takeRows(embeddings, rowStride, expected.length);
  const error = compareWithReference(actual, expected);
  // Written so that NaN fails.
  const passed = error.relativeL2 <= tolerance;
  return { items: items.length, tolerance, passed, error, verdict: passed ? "ok" : "above tolerance" };
}

function renderResults(results: readonly CaseResult[]): string {
  const right = { align: "right" } as const;
  return renderTable(
    [
      { title: "case", ...right },
      { title: "items", ...right },
      { title: "relative L2", ...right },
      { title: "max absolute", ...right },
      { title: "tolerance", ...right },
      { title: "verdict" },
    ],
    results.map(({ items, tolerance, error, verdict }, index) => [
      String(index),
      String(items),
      error?.relativeL2.toExponential(2) ?? "",
      error?.maxAbsolute.toExponential(2) ?? "",
      tolerance.toExponential(2),
      verdict,
    ]),
  );
}

/** Every `stride`-th row of the items' embeddings, one after the other. */
function takeRows(embeddings: readonly Embedding[], stride: number, elements: number): Float32Array {
  const taken = new Float32Array(elements);
  let row = 0;
  let at = 0;
  for (const { tokens, columns, data } of embeddings) {
    // The first row at or after this item's first that the stride hits.
    for (let own = (stride - (row % stride)) % stride; own < tokens; own += stride) {
      taken.set(data.subarray(own * columns, (own + 1) * columns), at);
      at += columns;
    }
    row += tokens;
  }
  return taken;
}

interface ReferenceCase {
  readonly items: readonly EncoderItem[];
  readonly expected: Float32Array;
  readonly rowStride: number;
  readonly tolerance: number | undefined;
}

/** @throws VG_ARGUMENT_INVALID without any. */
function countCases({ tensors, path }: SafetensorsFile): number {
  let count = 0;
  while (tensors.has(`${count}.pixel_values`)) count += 1;
  if (count > 0) return count;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${path} has no reference case`, {
    remedy: "it must have tensors 0.pixel_values, 0.grid_thw and 0.output",
  });
}

async function readCase(file: SafetensorsFile, index: number, model: VisionModel): Promise<ReferenceCase> {
  const pixelValues = await readFloats(file, `${index}.pixel_values`);
  const sizes = model.tilesOf === undefined ? [] : await readRows(file, `${index}.image_sizes`, 2);
  const tiles = (await readRows(file, `${index}.grid_thw`, 3)).map(([t = 0, h = 0, w = 0]) => ({ t, h, w }));
  const imageSizes = sizes.map(([height = 0, width = 0]) => ({ height, width }));
  const grids = joinTiles(tiles, imageSizes, model);
  const rowElements = model.channels * model.temporalPatchSize * model.patchSize ** 2;
  let row = 0;
  const items = grids.map((grid) => {
    const start = row;
    row += patchCount(grid);
    return {
      format: "normalized",
      grid,
      pixelValues: pixelValues.subarray(start * rowElements, row * rowElements),
    } as const;
  });
  const rowStride = await readRowStride(file, `${index}.row_stride`);
  const expected = await readFloats(file, `${index}.output`);
  const rows = grids.reduce((sum, grid) => sum + outputTokensOf(model, grid), 0);
  checkOutputShape(file, `${index}.output`, Math.ceil(rows / rowStride), model);
  const tolerance = file.tensors.has(`${index}.tolerance`)
    ? (await readFloats(file, `${index}.tolerance`))[0]
    : undefined;
  return { items, expected, rowStride, tolerance };
}

function checkOutputShape(file: SafetensorsFile, name: string, rows: number, model: VisionModel): void {
  const columns = embeddingColumns(model);
  const { shape } = file.tensor(name);
  if (shape.length === 2 && shape[0] === rows && shape[1] === columns) return;
  throw new VitgraphError(
    "VG_WEIGHTS_INVALID",
    `tensor ${name} of ${file.path} has shape [${shape.join(", ")}], but its grids and the model make it [${rows}, ${columns}]`,
    { remedy: "the reference belongs to another model, or its row_stride is missing" },
  );
}

/** 1 if every row is stored. */
async function readRowStride(file: SafetensorsFile, name: string): Promise<number> {
  if (!file.tensors.has(name)) return 1;
  const { info, bytes } = await file.read(name);
  const stride = info.dtype === "I64" && bytes.length === 8 ? Number(new BigInt64Array(bytes.buffer)[0]) : 0;
  if (stride >= 1) return stride;
  throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${name} of ${file.path} is not a row stride`, {
    remedy: "a row stride is I64 [1], at least 1",
  });
}

async function readFloats(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const { info, bytes } = await file.read(name);
  if (info.dtype === "F32") return new Float32Array(bytes.buffer);
  if (info.dtype === "BF16") return bf16ToF32(new Uint16Array(bytes.buffer));
  if (info.dtype === "F16") return f16ToF32(new Uint16Array(bytes.buffer));
  throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${name} of ${file.path} has dtype ${info.dtype}`, {
    remedy: "reference values are F32, BF16 or F16",
  });
}

async function readRows(
  file: SafetensorsFile,
  name: string,
  columns: number,
): Promise<readonly (readonly number[])[]> {
  const { info, bytes } = await file.read(name);
  if (info.dtype !== "I64" || info.shape[1] !== columns) {
    throw new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `tensor ${name} of ${file.path} is ${info.dtype} [${info.shape.join(", ")}]`,
      {
        remedy: `grids and sizes are I64 [items, ${columns}]`,
      },
    );
  }
  const values = [...new BigInt64Array(bytes.buffer)].map(Number);
  return Array.from({ length: info.shape[0] as number }, (_, item) =>
    values.slice(item * columns, (item + 1) * columns),
  );
}
