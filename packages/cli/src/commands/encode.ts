/** `vitgraph encode FILE…`: images and videos in, a table and a file of embeddings out. */
import { encoderOptions, type ServeArguments } from "@vitgraph/config";
import {
  type BatchReport,
  type CapturedGraphs,
  checkFrameSampling,
  type DecodeOptions,
  type Embedding,
  type EncoderItem,
  engineIdentity,
  type Frame,
  type FrameSampling,
  type LoadedModel,
  type NamedEmbedding,
  openClip,
  partsOf,
  processImage,
  VisionEncoder,
  videoProcessorOf,
} from "@vitgraph/core";
import { batchLine, embeddingCacheMissLine, graphsCapturedLine } from "@vitgraph/core/observability";
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";
import { type Command, Option } from "commander";
import { type CliIo, printError } from "../cli-io.js";
import { checkOutput, inputName, outputPath } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
import { type Progress, startProgress } from "../progress.js";
import { mmProcessorKwargs } from "../serve-options.js";
import { counted, percent, renderTable } from "../table.js";
import { ecKeys, openEcCache, writeEcCache } from "./encode-ec-cache.js";
import { expandInputs, isVideoFile, readMedia, tensorNames } from "./encode-inputs.js";
import {
  checkFitsOutput,
  OUTPUT_ENDINGS,
  OUTPUT_FORMATS,
  type OutputDType,
  outputEnding,
  writeEmbeddings,
} from "./encode-outputs.js";
import {
  addModelOptions,
  append,
  byteCount,
  compilationConfigOf,
  jsonObject,
  type ModelOptions,
  messageOf,
  openModel,
  positiveInteger,
  type Rgb,
  rgbColor,
} from "./model-options.js";
import { checkVllmModel, VLLM_BACKGROUND } from "./vllm-options.js";

interface EncodeOptions extends ModelOptions {
  readonly output?: string;
  readonly dtype?: OutputDType;
  readonly maxPixels?: number;
  readonly maxDecodeBytes?: number;
  readonly rgbaBackgroundColor?: Rgb;
  readonly mediaIoKwargs?: Readonly<Record<string, unknown>>;
  readonly video?: true;
  readonly vllmEcCache?: string;
  readonly vllmEcKey: readonly string[];
}

/** A decoded input. */
interface Decoded {
  readonly item: EncoderItem;
  /** For a video, the seconds of each temporal patch. */
  readonly timestamps?: readonly number[];
}

export function registerEncode(program: Command, io: CliIo, serving: ServeArguments): void {
  const command = program.command("encode");
  addModelOptions(command)
    .description(
      "encode images and videos: prints a table, and writes the embeddings as safetensors, .npy or JSON lines",
    )
    .argument(
      "<file...>",
      "JPEG, PNG, WebP or GIF images, videos (with ffmpeg installed), directories and globs of them, http(s) and data URLs, or - for standard input",
    )
    .option(
      "--output <file>",
      "write the embeddings to this .safetensors, .npy or .jsonl file; see below",
      outputPath(...OUTPUT_ENDINGS),
    )
    .addOption(
      new Option("--dtype <name>", "dtype of a safetensors output (default: f32)").choices(["f32", "bf16"]),
    )
    .option(
      "--mm-processor-kwargs <json>",
      'settings of the image processor, as for vLLM: \'{"min_pixels": 65536, "max_pixels": 1003520}\'',
      jsonObject,
    )
    .option(
      "--rgba-background-color <color>",
      "colour behind transparent pixels: '#ffffff' or '255,255,255' (default: alpha is dropped)",
      rgbColor,
    )
    .option(
      "--media-io-kwargs <json>",
      'how videos are sampled, as for vLLM: \'{"video": {"fps": 2}}\' or \'{"video": {"num_frames": 32}}\'',
      jsonObject,
    )
    .option("--video", "treat every file as a video: all frames of a GIF or WebP instead of the first")
    .option(
      "--vllm-ec-cache <dir>",
      "write each image to vLLM's shared storage: DIR/KEY/encoder_cache.safetensors, for its ECExampleConnector",
    )
    .addOption(
      new Option(
        "--vllm-ec-key <key>",
        "the uuid or the URL by which requests will name the image; once for each file, in their order",
      )
        .argParser(append)
        .default([], "file://PATH"),
    )
    .option("--max-pixels <count>", "refuse files with more pixels than this", positiveInteger)
    .option(
      "--max-decode-bytes <bytes>",
      "refuse files that take more memory to decode: 512M, 1.5g",
      byteCount,
    )
    .action((paths: string[], options: EncodeOptions) => {
      const { dtype, output } = options;
      if (dtype !== undefined && (output === undefined || outputEnding(output) !== ".safetensors"))
        command.error("error: --dtype has no effect without --output FILE.safetensors: add it");
      if (options.vllmEcKey.length > 0 && options.vllmEcCache === undefined)
        command.error("error: --vllm-ec-key has no effect without --vllm-ec-cache: add --vllm-ec-cache DIR");
      const kwargs = mmProcessorKwargs(serving, options.mmProcessorKwargs);
      return encode(paths, { ...options, mmProcessorKwargs: kwargs }, io, serving);
    });
  addHelpNotes(command, OUTPUT_FORMATS);
}

async function encode(
  given: readonly string[],
  options: EncodeOptions,
  io: CliIo,
  serving: ServeArguments,
): Promise<void> {
  const compilationConfig = compilationConfigOf(serving, io);
  const sampling = frameSampling(options.mediaIoKwargs);
  await checkOutput(options.output);
  const paths = await expandInputs(given, io);
  checkFitsOutput(options.output, paths.length);
  const keys = options.vllmEcCache === undefined ? [] : await ecKeys(paths, options);
  if (options.vllmEcCache !== undefined) await checkVllmModel(options.model, io);
  await using opened = await openModel(options, io);
  const { model, device } = opened;
  const { vllmEcCache, rgbaBackgroundColor = vllmEcCache === undefined ? undefined : VLLM_BACKGROUND } =
    options;
  const { compile } = encoderOptions(compilationConfig);
  const dtype = device.activationDType;
  const ecCache =
    vllmEcCache === undefined || rgbaBackgroundColor === undefined
      ? undefined
      : await openEcCache({
          path: vllmEcCache,
          identity: engineIdentity(model, { dtype, compile, background: rgbaBackgroundColor }),
          vision: model.vision,
        });

  using loading = startProgress(io, `loading ${options.model} on ${device.info.name}`);
  let encoding: Progress | undefined;
  // Lines are printed above the progress of the current step.
  const printLine = (line: string) => (encoding ?? loading).print(line);
  const verbose = compilationConfig.encoder_cudagraph_verbose;
  let itemCount = 0;
  let encodedItems = 0;
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
    onProgress: loading.update,
    // Few images: each new grid is computed when it comes.
    warmUpGrids: "none",
    onBatch(batch: BatchReport) {
      encodedItems += batch.items;
      encoding?.update(encodedItems, itemCount);
      if (verbose) printLine(batchLine(batch));
    },
    ...(verbose
      ? {
          onGraphsCaptured: (graphs: CapturedGraphs) => printLine(graphsCapturedLine(graphs)),
          onGridMiss: (frames: readonly Frame[]) => printLine(embeddingCacheMissLine(frames)),
        }
      : {}),
  });
  loading.done();

  using decoding = startProgress(io, `decoding ${counted(paths.length, "file")}`);
  const decodeOptions = {
    ...options,
    ...sampling,
    ...(rgbaBackgroundColor === undefined ? {} : { rgbaBackgroundColor }),
  };
  const decoded = await decodeAll(paths, model, decodeOptions, io, decoding.update);
  decoding.done();

  const items = decoded.flatMap((result) => (result.status === "fulfilled" ? [result.value.item] : []));
  itemCount = items.length;
  using progress = startProgress(io, `encoding ${counted(items.length, "file")}`);
  encoding = progress;
  const encoded = (await encoder.encode(items))[Symbol.iterator]();
  encoding.done();

  const outcomes = decoded.map((result) =>
    result.status === "fulfilled" ? (encoded.next().value as PromiseSettledResult<Embedding>) : result,
  );
  const names = tensorNames(paths);
  io.stdout(tableOf(names, outcomes));
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled") continue;
    printError(io, `${inputName(paths[index] as string)}: ${messageOf(outcome.reason)}`);
    io.exitCode = 1;
  }
  const embeddings = outcomes.flatMap((outcome, index): NamedEmbedding[] => {
    const source = decoded[index];
    if (outcome.status !== "fulfilled" || source?.status !== "fulfilled") return [];
    return [{ name: names[index] as string, embedding: outcome.value, timestamps: source.value.timestamps }];
  });
  if (options.output !== undefined && embeddings.length > 0) {
    await writeEmbeddings(options.output, embeddings, options.dtype ?? "f32", io);
    io.stdout(`\nwrote ${counted(embeddings.length, "embedding")} to ${options.output}\n`);
  }
  if (ecCache !== undefined) await writeEcCache(ecCache, { names, keys, outcomes }, io);
}

/** Images decoded at a time: each takes memory for its raster, and sharp decodes with several threads. */
const DECODES_AT_A_TIME = 4;

async function decodeAll(
  paths: readonly string[],
  model: LoadedModel,
  options: EncodeOptions & FrameSampling,
  io: CliIo,
  onProgress: (done: number, total: number) => void,
): Promise<PromiseSettledResult<Decoded>[]> {
  const results = new Array<PromiseSettledResult<Decoded>>(paths.length);
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < paths.length) {
      const index = next++;
      const [result] = await Promise.allSettled([decode(paths[index] as string, model, options, io)]);
      results[index] = result as PromiseSettledResult<Decoded>;
      onProgress(++done, paths.length);
    }
  };
  await Promise.all(Array.from({ length: DECODES_AT_A_TIME }, worker));
  return results;
}

async function decode(
  path: string,
  model: LoadedModel,
  options: EncodeOptions & FrameSampling,
  io: CliIo,
): Promise<Decoded> {
  const { maxPixels, maxDecodeBytes, rgbaBackgroundColor: background, fps, numFrames } = options;
  const limit = maxPixels === undefined ? {} : { maxPixels };
  const bytes = await readMedia(path, io);
  if (options.video === true || isVideoFile(path)) {
    await using clip = await openClip(bytes, videoProcessorOf(model), { ...limit, fps, numFrames });
    return { item: await clip.decode(), timestamps: clip.timestamps };
  }
  const decodeOptions: DecodeOptions = {
    ...limit,
    ...(maxDecodeBytes === undefined ? {} : { maxDecodeBytes }),
    ...(background === undefined ? {} : { background }),
  };
  return { item: await processImage(bytes, model.processor, decodeOptions) };
}

/** vLLM's `{"video": {"fps": 2}}` or `{"video": {"num_frames": 32}}`. @throws VG_ARGUMENT_INVALID */
function frameSampling(kwargs: Readonly<Record<string, unknown>> = {}): FrameSampling {
  checkOptions("--media-io-kwargs", kwargs, ["video"]);
  const { video = {} } = kwargs;
  checkOptions('"video" of --media-io-kwargs', video, ["fps", "num_frames"]);
  const { fps, num_frames: numFrames } = video as { readonly fps?: unknown; readonly num_frames?: unknown };
  for (const [name, value] of Object.entries({ fps, num_frames: numFrames })) {
    if (value === undefined || typeof value === "number") continue;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} of --media-io-kwargs is ${describe(value)}`, {
      remedy: "give a number",
    });
  }
  const sampling = { fps: fps as number | undefined, numFrames: numFrames as number | undefined };
  checkFrameSampling(sampling);
  return sampling;
}

function tableOf(names: readonly string[], outcomes: readonly PromiseSettledResult<Embedding>[]): string {
  const rows = names.map((name, index) => {
    const outcome = outcomes[index];
    if (outcome?.status !== "fulfilled") return [name, "failed", "", "", "", "", ""];
    const { grid, tokens, batch } = outcome.value;
    return [
      name,
      partsOf(grid)
        .map(({ t, h, w }) => `${t}×${h}×${w}`)
        .join(" + "),
      String(tokens),
      String(batch.index),
      batch.budget === null ? "eager" : String(batch.budget),
      batch.budget === null ? "" : percent(batch.padding),
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
      { title: "padding", ...right },
      { title: "batch ms", ...right },
    ],
    rows,
  );
}
