/**
 * The images or clips of a bench, by their sizes in pixels: the built-in workloads, and the file format for others.
 *
 * A workload is one call of `encode`. It includes its budget, so that all compared engines pad to the same size.
 */
import {
  type EncoderItem,
  type Grid,
  imageGrid,
  itemSpec,
  type LoadedModel,
  type VisionModel,
  videoGrid,
  videoProcessorOf,
} from "@vitgraph/core";
import { isRecord, VitgraphError } from "@vitgraph/errors";
import { budgetTokensOf } from "@vitgraph/scheduler";
import { randomItems } from "./random-items.js";

/** [height, width] in pixels. */
export type PixelSize = readonly [height: number, width: number];

export interface Workload {
  readonly name: string;
  readonly sizes: readonly PixelSize[];
  /** Frames of each item, which is then a video clip; absent for images. */
  readonly frames?: number;
  /** The workload's token budget. Default: the smallest power of two that holds it. */
  readonly budget?: number;
}

const times = (count: number, size: PixelSize): readonly PixelSize[] =>
  new Array<PixelSize>(count).fill(size);

/** From one small image, dominated by launches, to a full batch of large ones, dominated by arithmetic. */
export const BUILT_IN_WORKLOADS: readonly Workload[] = [
  { name: "1x224", sizes: [[224, 224]], budget: 64 },
  { name: "1x448", sizes: [[448, 448]], budget: 256 },
  { name: "1x1024", sizes: [[1024, 1024]], budget: 1024 },
  { name: "8x320x352", sizes: times(8, [320, 352]), budget: 1024 },
  {
    name: "16mix",
    sizes: [
      ...times(3, [224, 224]),
      ...times(4, [448, 448]),
      ...times(3, [512, 384]),
      ...times(3, [640, 480]),
      ...times(2, [768, 512]),
      [1024, 768],
    ],
    budget: 4096,
  },
  { name: "1x2048", sizes: [[2048, 2048]], budget: 4096 },
  {
    name: "8x1280x960+3x1024",
    sizes: [...times(8, [1280, 960]), ...times(3, [1024, 1024])],
    budget: 13_824,
  },
];

/** The workloads in the format of a workload file. */
export function printWorkloads(workloads: readonly Workload[]): string {
  const entries = workloads.map(({ name, ...rest }) => `  ${JSON.stringify(name)}: ${JSON.stringify(rest)}`);
  return `{\n${entries.join(",\n")}\n}\n`;
}

/**
 * Reads a workload file: `{"name": {"sizes": [[height, width], …], "frames"?: n, "budget"?: tokens}}`.
 * @param source the file's name, for errors
 * @throws VG_ARGUMENT_INVALID naming the workload and the fault
 */
export function parseWorkloads(text: string, source: string): readonly Workload[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${source} is not JSON (${reason})`, {
      remedy: FORMAT_REMEDY,
      cause,
    });
  }
  if (!isRecord(value) || Object.keys(value).length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${source} has no workloads`, { remedy: FORMAT_REMEDY });
  }
  return Object.entries(value).map(([name, fields]) => parseWorkload(name, fields, source));
}

const FORMAT_REMEDY =
  'write {"name": {"sizes": [[height, width], …]}}; `vitgraph bench --print-workloads` prints examples';

function parseWorkload(name: string, fields: unknown, source: string): Workload {
  const wrong = (fact: string, remedy: string) =>
    new VitgraphError("VG_ARGUMENT_INVALID", `workload ${JSON.stringify(name)} of ${source} ${fact}`, {
      remedy,
      details: { source, workload: name },
    });
  if (!isRecord(fields)) throw wrong(`is ${JSON.stringify(fields)}`, FORMAT_REMEDY);
  const { sizes, frames, budget, ...unknown } = fields;
  const [unknownKey] = Object.keys(unknown);
  if (unknownKey !== undefined) {
    throw wrong(`has a key ${JSON.stringify(unknownKey)}`, "its keys are sizes, frames and budget");
  }
  if (!Array.isArray(sizes) || sizes.length === 0) {
    throw wrong("has no sizes", "list the height and width of each item in pixels: [[448, 448], …]");
  }
  for (const [index, size] of sizes.entries()) {
    if (Array.isArray(size) && size.length === 2 && size.every(isCount)) continue;
    throw wrong(
      `has ${JSON.stringify(size)} as size ${index}`,
      "give [height, width] in pixels, both whole numbers above 0",
    );
  }
  for (const [key, count] of Object.entries({ frames, budget })) {
    if (count === undefined || isCount(count)) continue;
    throw wrong(`has ${key} ${JSON.stringify(count)}`, "give a whole number above 0, or leave it out");
  }
  return {
    name,
    sizes: sizes as PixelSize[],
    ...(frames === undefined ? {} : { frames: frames as number }),
    ...(budget === undefined ? {} : { budget: budget as number }),
  };
}

/**
 * True if the model takes a workload's sizes without a resize. For other models the images pass through the processor,
 * which resizes them to one size or splits them into tiles.
 */
function takesSizes({ fixedGrid, tiled, twoGrids }: VisionModel): boolean {
  return fixedGrid === undefined && !tiled && !twoGrids;
}

/**
 * Checks that a model supports a workload's items.
 * @throws VG_ARGUMENT_INVALID naming the workload and the size; VG_MODEL_UNSUPPORTED for clips that the model does not take
 */
export function checkWorkload(workload: Workload, model: LoadedModel): void {
  const { vision } = model;
  if (!takesSizes(vision)) {
    workloadGrids(workload, model);
    return;
  }
  const block = vision.patchSize * vision.spatialMergeSize;
  const longestSide = vision.maxGridSide * vision.patchSize;
  for (const [height, width] of workload.sizes) {
    const wrong = (fact: string, remedy: string) =>
      new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `size [${height}, ${width}] of workload "${workload.name}" ${fact}`,
        { remedy, details: { workload: workload.name, height, width } },
      );
    if (height % block !== 0 || width % block !== 0) {
      throw wrong(
        `is not made of blocks of ${block} × ${block} pixels`,
        `give multiples of ${block}: [${nearestMultiple(height, block)}, ${nearestMultiple(width, block)}]`,
      );
    }
    if (Math.max(height, width) > longestSide) {
      throw wrong("is too large for the model", `give at most ${longestSide} pixels per side`);
    }
  }
}

/**
 * A workload adapted to a model with other block sizes: each size is the nearest that the model supports. The budget is
 * replaced by the next power of two if it is too small, or at least twice that.
 */
export function fitWorkload({ budget, ...workload }: Workload, model: LoadedModel): Workload {
  const block = model.vision.patchSize * model.vision.spatialMergeSize;
  const sizes = workload.sizes.map(
    ([height, width]): PixelSize => [nearestMultiple(height, block), nearestMultiple(width, block)],
  );
  const fitted = takesSizes(model.vision) ? { ...workload, sizes } : workload;
  if (budget === undefined || workloadTokens(fitted, model) > budget) return fitted;
  return budget < 2 * workloadBudget(fitted, model) ? { ...fitted, budget } : fitted;
}

/** The grids of a workload's items. */
export function workloadGrids({ sizes, frames }: Workload, model: LoadedModel): readonly Grid[] {
  const { vision, processor } = model;
  return sizes.map(([height, width]) => {
    if (takesSizes(vision)) {
      const { patchSize, temporalPatchSize } = vision;
      return { t: Math.ceil((frames ?? 1) / temporalPatchSize), h: height / patchSize, w: width / patchSize };
    }
    if (frames === undefined) return imageGrid({ height, width }, processor);
    return videoGrid(frames, { height, width }, videoProcessorOf(model));
  });
}

/** A workload's items, with random pixels. */
export function workloadItems(workload: Workload, model: LoadedModel): readonly EncoderItem[] {
  const format = workload.frames === undefined ? "u8_still" : "u8";
  return randomItems(workloadGrids(workload, model), model.vision, format);
}

/** Tokens that a workload's items take of a budget. */
export function workloadTokens(workload: Workload, model: LoadedModel): number {
  const specs = workloadGrids(workload, model).map((grid) => itemSpec(model.vision, grid));
  return specs.reduce((sum, spec) => sum + budgetTokensOf(spec), 0);
}

/** The budget of a workload: its own, or the smallest power of two that holds it. */
export function workloadBudget(workload: Workload, model: LoadedModel): number {
  if (workload.budget !== undefined) return workload.budget;
  return Math.max(model.vision.minTokenBudget, 2 ** Math.ceil(Math.log2(workloadTokens(workload, model))));
}

function nearestMultiple(side: number, block: number): number {
  return Math.max(1, Math.round(side / block)) * block;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
