/** Loads a model: builds its graph and locates its tensors, without reading them. */
import { createHash } from "node:crypto";
import { checkOptions, describe, isRecord, shorten, VitgraphError } from "@vitgraph/errors";
import type { Graph } from "../graph/graph.js";
import { channelScale, type ImageProcessor, type VideoProcessor } from "../images/image-processor.js";
import type { Settings } from "../images/settings-reader.js";
import { Checkpoint, readJsonObject, type WantedTensors } from "../weights/checkpoint.js";
import { dummyWeights } from "../weights/dummy-weights.js";
import { findCheckpoint } from "../weights/hub-cache.js";
import { findWeights, storedNames } from "../weights/load-weights.js";
import { quantMethodOf } from "../weights/quantised-tower.js";
import type { TensorSource } from "../weights/tensor-source.js";
import { ARCHITECTURES, type ArchitectureName } from "./architectures.js";
import {
  createVisionModel,
  imageProcessorOf,
  readVideoProcessor,
  SIZE_KEYS,
  sizeKeysOfModel,
} from "./index.js";
import type { ArchitectureConfig } from "./model-family.js";
import type { VisionModel } from "./vision-model.js";

/** An open checkpoint: the tower, the processors' settings and the weights' headers. */
export interface LoadedModel extends AsyncDisposable {
  /** Name for messages: the checkpoint's directory, or the architecture's name. */
  readonly name: string;
  /** Identifies the weights, independently of their path. */
  readonly fingerprint: string;
  readonly vision: VisionModel;
  readonly processor: ImageProcessor;
  /** Undefined for a family without videos. The graph normalises frames and images alike. */
  readonly videoProcessor: VideoProcessor | undefined;
  readonly graph: Graph;
  /** Messages about unexpected properties of the checkpoint; usually empty. */
  readonly notes: readonly string[];
  /** Tensor sources by graph name. A checkpoint's files stay open until the model is disposed. */
  readonly weights: ReadonlyMap<string, TensorSource>;
}

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /**
   * vLLM's `--load-format`, as far as it applies here: `auto` reads the checkpoint; `dummy` reads only the
   * configuration and makes random weights, the same each time. Default: `auto`.
   */
  readonly loadFormat?: "auto" | "dummy";
  /**
   * vLLM's `--mm-processor-kwargs`: bounds that replace those of the checkpoint's image and video processors. The keys
   * are `min_pixels`, `max_pixels` and `size`, or keys of the family's processor, such as `max_soft_tokens`. Other keys
   * cause VG_ARGUMENT_INVALID.
   */
  readonly mmProcessorKwargs?: Readonly<Record<string, unknown>>;
}

/**
 * Opens a checkpoint: its config, its processor settings and the headers of its weights. Close the model when done.
 *
 * @param directoryOrId a directory with config.json, model.safetensors (or its shards and their index), and, unless the
 *   defaults of the model's family apply, processor_config.json or preprocessor_config.json; or the id of a model of
 *   the Hugging Face hub that is in the local cache
 * @throws VG_FILE_UNREADABLE, VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID, VG_WEIGHTS_INVALID, VG_ARGUMENT_INVALID
 */
export async function loadModel(
  directoryOrId: string,
  { loadFormat = "auto", mmProcessorKwargs = {} }: LoadModelOptions = {},
): Promise<LoadedModel> {
  checkProcessorKwargs(mmProcessorKwargs);
  if (typeof directoryOrId !== "string" || directoryOrId === "") {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the model is ${describe(directoryOrId)}`, {
      remedy: "pass a checkpoint's directory, or a model's id",
    });
  }
  const directory = await findCheckpoint(directoryOrId);
  const found = directory === directoryOrId ? [] : [`${directoryOrId} is read from ${directory}`];
  const config = await readJsonObject(directory, "config.json");
  const settings = await readProcessorSettings(directory);
  const model = describeModel(directoryOrId, config, settings, mmProcessorKwargs);
  if (loadFormat === "dummy") return { ...withDummyWeights(model), notes: found };
  const { graph, vision } = model;
  const checkpoint = await Checkpoint.open(directory, wantedTensors(model), quantMethodOf(config));
  try {
    const { weights, stored, foreignPrefix } = findWeights(graph, checkpoint, vision.names);
    const notes = [...found];
    if (foreignPrefix !== undefined) {
      const usual = vision.names.prefixes[0] || "none";
      notes.push(`the vision tower's tensors have the prefix ${shorten(foreignPrefix)} instead of ${usual}`);
    }
    const fingerprint = await fingerprintOf(stored, checkpoint.fileVersions);
    return {
      ...model,
      notes,
      fingerprint,
      weights,
      [Symbol.asyncDispose]: () => checkpoint[Symbol.asyncDispose](),
    };
  } catch (error) {
    await checkpoint[Symbol.asyncDispose]();
    throw error;
  }
}

function wantedTensors({ graph, vision }: ModelDescription): WantedTensors {
  return { names: storedNames(graph, vision.names), prefixes: vision.names.prefixes };
}

/**
 * Names of the weight files with tensors of the tower. {@link loadModel} needs no other weight files, so only these
 * need to be downloaded. The directory must have config.json, the processor files and the weights' index.
 * @throws as loadModel does
 */
export async function towerFiles(directory: string): Promise<readonly string[]> {
  const config = await readJsonObject(directory, "config.json");
  const model = describeModel(directory, config, await readProcessorSettings(directory));
  return Checkpoint.fileNames(directory, wantedTensors(model));
}

function checkProcessorKwargs(kwargs: Readonly<Record<string, unknown>>): void {
  checkOptions("mmProcessorKwargs", kwargs, SIZE_KEYS);
  for (const name of ["min_pixels", "max_pixels"]) {
    const value = kwargs[name];
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) > 0)) continue;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `mmProcessorKwargs has ${name} ${describe(value)}`, {
      remedy: "give a positive whole number of pixels",
      details: { name },
    });
  }
}

/** A published model's tower with random weights, the same each time, for measurements without files. */
export function loadDummyModel(architecture: ArchitectureName): LoadedModel {
  const { preprocessor, ...config }: ArchitectureConfig = ARCHITECTURES[architecture];
  const settings = { image: preprocessor, video: preprocessor, videoFile: IMAGE_FILE };
  return withDummyWeights(describeModel(architecture, config, settings));
}

type ModelDescription = Omit<LoadedModel, "notes" | "weights" | "fingerprint" | typeof Symbol.asyncDispose>;

function describeModel(
  name: string,
  config: Readonly<Record<string, unknown>>,
  { image, video, videoFile }: ProcessorSettings,
  overrides: Settings = {},
): ModelDescription {
  const vision = createVisionModel(config);
  checkOptions("mmProcessorKwargs", overrides, sizeKeysOfModel(vision.modelType));
  checkAgainstTower(IMAGE_FILE, image, vision);
  // For towers with one frame per patch, the file of a video processor may contain its class's default.
  const { temporal_patch_size, ...ofOneFrame } = video ?? {};
  checkAgainstTower(videoFile, vision.temporalPatchSize === 1 ? ofOneFrame : video, vision);
  const processor = imageProcessorOf(vision, image, overrides);
  checkFixedSize(processor, vision);
  const videos = readVideoProcessor(video, vision.modelType, overrides, videoFile);
  // A tile size in config.json also applies to the frames of a clip.
  const { fixedSize } = vision.imageSettings ?? {};
  const { patchSize, temporalPatchSize, mergeSize } = processor;
  const patches = { patchSize, temporalPatchSize, mergeSize };
  const videoProcessor = videos && { ...videos, ...(fixedSize && { fixedSize }), ...patches };
  const graph = vision.buildGraph({ channelScale: channelScale(processor) });
  return { name, vision, processor, videoProcessor, graph };
}

/** The processor's patch size must be the tower's. @throws VG_MODEL_INVALID with both values */
function checkAgainstTower(file: string, settings: Settings | undefined, vision: VisionModel): void {
  const expected = {
    // A family whose size keys have `patch_size` gives it another meaning.
    ...(!sizeKeysOfModel(vision.modelType).includes("patch_size") && {
      patch_size: vision.processorPatchSize ?? vision.patchSize,
    }),
    merge_size: vision.spatialMergeSize,
    temporal_patch_size: vision.temporalPatchSize,
  };
  for (const [key, value] of Object.entries(expected)) {
    const found = settings?.[key] ?? value;
    // Some files have an object with height and width instead of a number; the tower's value is used.
    if (found === value || typeof found === "object") continue;
    throw new VitgraphError(
      "VG_MODEL_INVALID",
      `${file} has ${key} ${describe(found)}, but vision_config makes it ${value}`,
      {
        remedy: "the two files belong to different checkpoints",
        details: { file, key, found, expected: value },
      },
    );
  }
}

/** A tower with a fixed grid needs images of the matching size. @throws VG_MODEL_INVALID with both values */
function checkFixedSize({ fixedSize }: ImageProcessor, { fixedGrid, patchSize }: VisionModel): void {
  if (fixedSize === undefined || fixedGrid === undefined) return;
  const { height, width } = fixedSize;
  const [tall, wide] = [fixedGrid.h * patchSize, fixedGrid.w * patchSize];
  if (height === tall && width === wide) return;
  throw new VitgraphError(
    "VG_MODEL_INVALID",
    `preprocessor_config.json makes images of ${width} × ${height} pixels, but vision_config takes ${wide} × ${tall}`,
    { remedy: "the two files belong to different checkpoints" },
  );
}

/**
 * The model's video processor.
 * @throws VG_MODEL_UNSUPPORTED for a family without videos, and if the graph would normalise their frames wrongly
 */
export function videoProcessorOf({ processor, videoProcessor, name }: LoadedModel): VideoProcessor {
  if (videoProcessor === undefined) {
    throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${name} takes no videos`, {
      remedy: "pass each frame as an image",
    });
  }
  // The graph normalises all pixels with the image processor's constants.
  const image = channelScale(processor);
  if (channelScale(videoProcessor).every((value, index) => value === image[index])) return videoProcessor;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${name} normalises video frames and images differently`, {
    remedy: "pass videos as { pixel_values, grid_thw }, made by the model's own processor",
  });
}

/** The content of a checkpoint's processor files; undefined for missing files. */
export interface ProcessorSettings {
  readonly image?: Settings | undefined;
  readonly video?: Settings | undefined;
  /** The source file of the video settings, for messages. */
  readonly videoFile: string;
}

function withDummyWeights(model: ModelDescription): LoadedModel {
  const tensors = model.graph.nodes.flatMap((node) =>
    node.op === "weight" ? [[node.attributes.tensor, node.attributes.shape]] : [],
  );
  const fingerprint = createHash("sha256")
    .update(JSON.stringify(["dummy", tensors]))
    .digest("hex");
  return {
    ...model,
    notes: [],
    fingerprint,
    weights: dummyWeights(model.graph),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Bytes read at each of a tensor's ends for the fingerprint. */
const SAMPLE_BYTES = 256;

/**
 * A digest of each stored tensor's name, dtype, shape, first and last bytes, and of the files' sizes and modification
 * times. The headers alone are equal for two trainings of one model, and hashing all bytes would take seconds per
 * gigabyte. The times catch a change that the samples miss, at the cost of a cold cache after a copy.
 */
async function fingerprintOf(
  stored: ReadonlyMap<string, readonly TensorSource[]>,
  fileVersions: readonly string[],
): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(fileVersions));
  for (const [name, tensors] of stored) {
    for (const { dtype, shape, sizeBytes, readSlice } of tensors) {
      const sample = new Uint8Array(Math.min(SAMPLE_BYTES, sizeBytes));
      hash.update(JSON.stringify([name, dtype, shape]));
      for (const start of [0, sizeBytes - sample.length]) {
        await readSlice(start, sample);
        hash.update(sample);
      }
    }
  }
  return hash.digest("hex");
}

const IMAGE_FILE = "preprocessor_config.json";
const VIDEO_FILE = "video_preprocessor_config.json";

/**
 * transformers 5 nests the processors' settings in processor_config.json; older checkpoints have one file per
 * processor. As in transformers, the image processor's file applies to videos if there are no video settings.
 * @throws VG_FILE_UNREADABLE, VG_MODEL_INVALID
 */
export async function readProcessorSettings(directory: string): Promise<ProcessorSettings> {
  const read = (file: string) => readJsonObject(directory, file, { optional: true });
  const nested = await read("processor_config.json");
  const nestedIn = (key: string): Settings | undefined => {
    const value = nested?.[key];
    return isRecord(value) ? value : undefined;
  };
  const image = nestedIn("image_processor") ?? (await read(IMAGE_FILE));
  const video = nestedIn("video_processor") ?? (await read(VIDEO_FILE));
  if (video !== undefined) return { image, video, videoFile: VIDEO_FILE };
  return { image, video: await read(IMAGE_FILE), videoFile: IMAGE_FILE };
}
