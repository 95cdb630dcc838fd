/** `vitgraph encode IMAGE…`: image files in, a table and a safetensors file of embeddings out. */
import { mkdir, readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { ServeArguments } from "@vitgraph/config";
import {
  type BatchReport,
  batchLine,
  type CapturedGraphs,
  type Embedding,
  type EncoderItem,
  embeddingCacheMissLine,
  type Frame,
  f32ToBf16,
  graphsCapturedLine,
  type ImageProcessor,
  processImage,
  type TensorData,
  VisionEncoder,
  writeSafetensors,
} from "@vitgraph/core";
import { toVitgraphError } from "@vitgraph/errors";
import { type Command, Option } from "commander";
import type { CliIo } from "../cli-io.js";
import { startProgress } from "../progress.js";
import { percent, renderTable } from "../table.js";
import {
  addModelOptions,
  compilationConfigOf,
  type ModelOptions,
  messageOf,
  openModel,
  positiveInteger,
} from "./model-options.js";

interface EncodeOptions extends ModelOptions {
  readonly output?: string;
  readonly dtype: "f32" | "bf16";
  readonly maxPixels?: number;
}

export function registerEncode(program: Command, io: CliIo, serving: ServeArguments): void {
  addModelOptions(program.command("encode"))
    .description("encode image files: prints a table, and writes the embeddings as safetensors")
    .argument("<image...>", "JPEG, PNG, WebP or GIF files")
    .option("--output <file>", "write one tensor an image, named by its file, with the grid in the metadata")
    .addOption(new Option("--dtype <name>", "dtype of the output").choices(["f32", "bf16"]).default("f32"))
    .option("--max-pixels <count>", "refuse images with more pixels than this", positiveInteger)
    .action((paths: string[], options: EncodeOptions) => encode(paths, options, io, serving));
}

async function encode(
  paths: readonly string[],
  options: EncodeOptions,
  io: CliIo,
  serving: ServeArguments,
): Promise<void> {
  const compilationConfig = compilationConfigOf(serving, io);
  await using opened = await openModel(options);
  const { model, device } = opened;

  const loading = startProgress(io, `loading ${options.model} on ${device.info.name}`);
  const verbose = compilationConfig.encoder_cudagraph_verbose;
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
    onProgress: loading.update,
    // A few images and done: they are what is worth filling the grid cache with.
    warmUpGrids: "none",
    ...(verbose
      ? {
          onGraphsCaptured: (graphs: CapturedGraphs) => io.stderr(`${graphsCapturedLine(graphs)}\n`),
          onBatch: (batch: BatchReport) => io.stderr(`${batchLine(batch)}\n`),
          onGridMiss: (frames: readonly Frame[]) => io.stderr(`${embeddingCacheMissLine(frames)}\n`),
        }
      : {}),
  });
  loading.done();

  const decoding = startProgress(io, `decoding ${paths.length} image${paths.length === 1 ? "" : "s"}`);
  const decoded = await decodeAll(paths, model.processor, options.maxPixels, decoding.update);
  decoding.done();

  const items = decoded.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const encoded = (await encoder.encode(items))[Symbol.iterator]();
  const outcomes = decoded.map((result) =>
    result.status === "fulfilled" ? (encoded.next().value as PromiseSettledResult<Embedding>) : result,
  );
  io.stdout(tableOf(paths, outcomes));
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled") continue;
    io.stderr(`error: ${paths[index]}: ${messageOf(outcome.reason)}\n`);
    io.exitCode = 1;
  }
  if (options.output !== undefined) await writeEmbeddings(options.output, paths, outcomes, options.dtype, io);
}

/** Images decoded at a time: each holds its raster, and sharp has threads of its own. */
const DECODES_AT_A_TIME = 4;

async function decodeAll(
  paths: readonly string[],
  processor: ImageProcessor,
  maxPixels: number | undefined,
  onProgress: (done: number, total: number) => void,
): Promise<PromiseSettledResult<EncoderItem>[]> {
  const results = new Array<PromiseSettledResult<EncoderItem>>(paths.length);
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < paths.length) {
      const index = next++;
      const [result] = await Promise.allSettled([decode(paths[index] as string, processor, maxPixels)]);
      results[index] = result as PromiseSettledResult<EncoderItem>;
      onProgress(++done, paths.length);
    }
  };
  await Promise.all(Array.from({ length: DECODES_AT_A_TIME }, worker));
  return results;
}

async function decode(
  path: string,
  processor: ImageProcessor,
  maxPixels: number | undefined,
): Promise<EncoderItem> {
  const bytes = await readFile(path).catch((cause) => {
    throw toVitgraphError(cause, "VG_FILE_UNREADABLE", `cannot read ${path}`, "check the path");
  });
  return processImage(bytes, processor, maxPixels === undefined ? {} : { maxPixels });
}

function tableOf(paths: readonly string[], outcomes: readonly PromiseSettledResult<Embedding>[]): string {
  const rows = paths.map((path, index) => {
    const outcome = outcomes[index];
    if (outcome?.status !== "fulfilled") return [basename(path), "failed", "", "", "", "", ""];
    const { grid, tokens, batch } = outcome.value;
    return [
      basename(path),
      `${grid.t}×${grid.h}×${grid.w}`,
      String(tokens),
      String(batch.index),
      batch.budget === null ? "eager" : String(batch.budget),
      batch.budget === null ? "" : percent(batch.waste),
      batch.durationMs.toFixed(2),
    ];
  });
  const right = { align: "right" } as const;
  return renderTable(
    [
      { title: "image" },
      { title: "grid", ...right },
      { title: "tokens", ...right },
      { title: "batch", ...right },
      { title: "budget", ...right },
      { title: "waste", ...right },
      { title: "batch ms", ...right },
    ],
    rows,
  );
}

async function writeEmbeddings(
  path: string,
  paths: readonly string[],
  outcomes: readonly PromiseSettledResult<Embedding>[],
  dtype: "f32" | "bf16",
  io: CliIo,
): Promise<void> {
  const tensors: TensorData[] = [];
  const metadata: Record<string, string> = {};
  const names = tensorNames(paths);
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status !== "fulfilled") continue;
    const { tokens, columns, grid } = outcome.value;
    const name = names[index] as string;
    const bytes = bytesOf(outcome.value, dtype);
    tensors.push({ name, dtype: dtype === "bf16" ? "BF16" : "F32", shape: [tokens, columns], bytes });
    metadata[`${name}.grid_thw`] = JSON.stringify([grid.t, grid.h, grid.w]);
  }
  await mkdir(dirname(path), { recursive: true });
  await writeSafetensors(path, tensors, metadata);
  io.stdout(`\nwrote ${tensors.length} tensor${tensors.length === 1 ? "" : "s"} to ${path}\n`);
}

function bytesOf(embedding: Embedding, dtype: "f32" | "bf16"): Uint8Array {
  if (embedding.dtype === dtype) return embedding.bytes;
  const values = dtype === "bf16" ? f32ToBf16(embedding.data) : embedding.data;
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** File names; the whole path where two images have the same name. */
function tensorNames(paths: readonly string[]): readonly string[] {
  const seen = new Map<string, number>();
  for (const path of paths) seen.set(basename(path), (seen.get(basename(path)) ?? 0) + 1);
  return paths.map((path) => (seen.get(basename(path)) === 1 ? basename(path) : path));
}
