/** The fixtures, read through public doors: a tiny random checkpoint in the real layout with what transformers makes of it. */
import { fileURLToPath } from "node:url";
import {
  bf16ToF32,
  channelScale,
  type EncoderItem,
  f16ToF32,
  type Grid,
  type GridPart,
  joinTiles,
  type LoadedModel,
  partsOf,
  patchCount,
  SafetensorsFile,
  type VisionModel,
} from "@vitgraph/core";

export const fixture = (path: string): string => fileURLToPath(new URL(`fixtures/${path}`, import.meta.url));

export const TINY = fixture("qwen3-vl-tiny");
export const CASES = fixture("qwen3-vl-tiny/cases.safetensors");
export const CASE_NAMES = ["one", "mixed", "video", "many", "wide"] as const;

export interface ReferenceCase {
  readonly items: readonly EncoderItem[];
  /** f32 [tokens, columns], all items' rows one after the other. */
  readonly expected: Float32Array;
}

/** @param model of a case whose grids are the tiles of images */
export async function readCase(
  index: number,
  path = CASES,
  model: Pick<VisionModel, "tilesOf"> = {},
): Promise<ReferenceCase> {
  await using file = await SafetensorsFile.open(path);
  const pixelValues = await readFloats(file, `${index}.pixel_values`);
  const grids = joinTiles(
    await readGrids(file, `${index}.grid_thw`),
    await readImageSizes(file, `${index}.image_sizes`),
    model,
  );
  const rowElements = pixelValues.length / grids.reduce((sum, grid) => sum + patchCount(grid), 0);
  let row = 0;
  const items = grids.map((grid): EncoderItem => {
    const start = row;
    row += patchCount(grid);
    return {
      format: "normalized",
      grid,
      pixelValues: pixelValues.subarray(start * rowElements, row * rowElements),
    };
  });
  return { items, expected: await readFloats(file, `${index}.output`) };
}

export async function readFloats(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const { info, bytes } = await file.read(name);
  if (info.dtype === "F32") return new Float32Array(bytes.buffer);
  const bits = new Uint16Array(bytes.buffer);
  return info.dtype === "BF16" ? bf16ToF32(bits) : f16ToF32(bits);
}

export async function readGrids(file: SafetensorsFile, name: string): Promise<Grid[]> {
  return (await readRows(file, name, 3)).map(([t = 0, h = 0, w = 0]) => ({ t, h, w }));
}

/** None where the file does not have them. */
export async function readImageSizes(file: SafetensorsFile, name: string) {
  if (!file.tensors.has(name)) return [];
  return (await readRows(file, name, 2)).map(([height = 0, width = 0]) => ({ height, width }));
}

async function readRows(file: SafetensorsFile, name: string, columns: number): Promise<readonly number[][]> {
  const { bytes } = await file.read(name);
  const values = [...new BigInt64Array(bytes.buffer)].map(Number);
  return Array.from({ length: values.length / columns }, (_, row) =>
    values.slice(row * columns, (row + 1) * columns),
  );
}

/** The embeddings of items that must all have been encoded, one after the other. */
export function joinEmbeddings(
  outcomes: readonly PromiseSettledResult<{ data: Float32Array }>[],
): Float32Array {
  const parts = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value.data;
  });
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Tiles of an image are one item's frames, of which some may have a grid of their own. */
export function gridsOf(grid: Grid, { tiled }: LoadedModel["vision"]): readonly GridPart[] {
  if (!tiled) return [grid];
  return partsOf(grid).flatMap(({ t, h, w }) => new Array<GridPart>(t).fill({ t: 1, h, w }));
}

/** The largest distance of two pixels in levels of uint8, where `values` are what the encoder makes of the item's; NaN for another number of them. */
export function levelsApart(item: EncoderItem, values: Float32Array, model: LoadedModel): number {
  const { channels, temporalPatchSize: temporal, patchSize, framesFirst } = model.vision;
  const scale = channelScale(model.processor);
  const area = patchSize ** 2;
  let most = 0;
  for (let at = 0; at < values.length; at++) {
    const row = Math.floor(at / (area * temporal * channels));
    const channel = Math.floor(at / (framesFirst ? area : area * temporal)) % channels;
    const [factor, shift] = [scale[2 * channel] as number, scale[2 * channel + 1] as number];
    // A still image has one of the frames that transformers repeats.
    const source = (row * channels + channel) * area + (at % area);
    const own =
      item.format === "normalized"
        ? ((item.pixelValues[at] as number) - shift) / factor
        : (item.pixels[source] as number);
    most = Math.max(most, Math.abs(((values[at] as number) - shift) / factor - own));
  }
  return values.length === patchCount(item.grid) * channels * temporal * area ? most : Number.NaN;
}
