/** `vitgraph verify`: a checkpoint against outputs that transformers computed, case by case. */

import type { ServeArguments } from "@vitgraph/config";
import {
  bf16ToF32,
  compareWithReference,
  type EncoderItem,
  f16ToF32,
  type LoadedModel,
  patchCount,
  SafetensorsFile,
  VisionEncoder,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { Command } from "commander";
import type { CliIo } from "../cli-io.js";
import { renderTable } from "../table.js";
import {
  addModelOptions,
  compilationConfigOf,
  type ModelOptions,
  messageOf,
  openModel,
  positiveNumber,
} from "./model-options.js";

interface VerifyOptions extends ModelOptions {
  readonly reference: string;
  readonly tolerance: number;
}

/** float32 arithmetic in another order differs by about this much. */
const DEFAULT_TOLERANCE = 1e-5;

export function registerVerify(program: Command, io: CliIo, serving: ServeArguments): void {
  addModelOptions(program.command("verify"))
    .description("compare the encoder with reference outputs of transformers")
    .requiredOption(
      "--reference <file>",
      "safetensors with `i.pixel_values`, `i.grid_thw` and `i.output` for the cases i = 0, 1, …",
    )
    .option("--tolerance <x>", "largest relative L2 error of a case", positiveNumber, DEFAULT_TOLERANCE)
    .action((options: VerifyOptions) => verify(options, io, serving));
}

async function verify(options: VerifyOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  const compilationConfig = compilationConfigOf(serving, io);
  await using opened = await openModel(options);
  const { model, device } = opened;
  const cases = await readCases(options.reference, model);
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
  });
  // A row that no kernel wrote, or that a kernel read without right, shows as NaN.
  await encoder.poison();

  let failures = 0;
  const rows: string[][] = [];
  for (const { index, items, expected } of cases) {
    const outcomes = await encoder.encode(items);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) {
      failures += 1;
      rows.push([String(index), String(items.length), "", "", `failed: ${messageOf(failed.reason)}`]);
      continue;
    }
    const actual = outcomes.map(
      (outcome) => (outcome as PromiseFulfilledResult<{ data: Float32Array }>).value.data,
    );
    const { relativeL2, maxAbsolute } = compareWithReference(concatenate(actual), expected);
    // Written so that NaN fails.
    const passed = relativeL2 <= options.tolerance;
    if (!passed) failures += 1;
    const verdict = passed ? "ok" : "above tolerance";
    rows.push([
      String(index),
      String(items.length),
      relativeL2.toExponential(2),
      maxAbsolute.toExponential(2),
      verdict,
    ]);
  }
  const right = { align: "right" } as const;
  const columns = [
    { title: "case", ...right },
    { title: "items", ...right },
    { title: "relative L2", ...right },
    { title: "max absolute", ...right },
    { title: "verdict" },
  ];
  io.stdout(renderTable(columns, rows));
  io.stdout(
    `\n${cases.length - failures} of ${cases.length} cases within ${options.tolerance} on ${device.info.name}\n`,
  );
  if (failures > 0) io.exitCode = 1;
}

interface ReferenceCase {
  readonly index: number;
  readonly items: readonly EncoderItem[];
  readonly expected: Float32Array;
}

async function readCases(path: string, model: LoadedModel): Promise<readonly ReferenceCase[]> {
  await using file = await SafetensorsFile.open(path);
  const cases: ReferenceCase[] = [];
  for (let index = 0; file.tensors.has(`${index}.pixel_values`); index++) {
    const pixelValues = await readFloats(file, `${index}.pixel_values`);
    const grids = await readGrids(file, `${index}.grid_thw`);
    const { channels, temporalPatchSize, patchSize } = model.vision;
    const rowElements = channels * temporalPatchSize * patchSize ** 2;
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
    cases.push({ index, items, expected: await readFloats(file, `${index}.output`) });
  }
  if (cases.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${path} holds no reference case`, {
      remedy: "it must have tensors 0.pixel_values, 0.grid_thw and 0.output",
    });
  }
  return cases;
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

async function readGrids(file: SafetensorsFile, name: string) {
  const { info, bytes } = await file.read(name);
  if (info.dtype !== "I64" || info.shape[1] !== 3) {
    throw new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `tensor ${name} of ${file.path} is ${info.dtype} [${info.shape.join(", ")}]`,
      {
        remedy: "grids are I64 [items, 3]",
      },
    );
  }
  const values = [...new BigInt64Array(bytes.buffer)].map(Number);
  return Array.from({ length: info.shape[0] as number }, (_, item) => {
    const [t = 0, h = 0, w = 0] = values.slice(item * 3, item * 3 + 3);
    return { t, h, w };
  });
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
