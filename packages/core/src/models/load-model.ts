/** What describes a model → the model: its graph, and its tensors found but not yet read. */
import { VitgraphError } from "@vitgraph/errors";
import type { Graph } from "../graph/graph.js";
import {
  channelScale,
  type ImageProcessor,
  readImageProcessor,
  readVideoProcessor,
  type VideoProcessor,
} from "../images/index.js";
import { Checkpoint, readJsonObject } from "../weights/checkpoint.js";
import { dummyWeights } from "../weights/dummy-weights.js";
import { findWeights } from "../weights/load-weights.js";
import type { TensorSource } from "../weights/tensor-source.js";
import { ARCHITECTURES, type ArchitectureName } from "./architectures.js";
import { createVisionModel } from "./index.js";
import type { VisionModel } from "./vision-model.js";

export interface LoadedModel extends AsyncDisposable {
  /** What people call it: the checkpoint's directory, or the architecture's name. */
  readonly name: string;
  readonly vision: VisionModel;
  readonly processor: ImageProcessor;
  /** How frames of a video become patches. The graph normalises them as it does images. */
  readonly videoProcessor: VideoProcessor;
  readonly graph: Graph;
  /** By the name that the graph uses. A checkpoint's files stay open until the model is disposed. */
  readonly weights: ReadonlyMap<string, TensorSource>;
}

export interface LoadModelOptions {
  /**
   * vLLM's `--load-format`, as far as it applies here: `auto` reads the checkpoint; `dummy` takes the configuration
   * alone and makes random weights, the same each time. Default: `auto`.
   */
  readonly loadFormat?: "auto" | "dummy";
  /**
   * vLLM's `--mm-processor-kwargs`, as far as images go: `min_pixels` and `max_pixels` bound an image's area after the
   * resize, in place of the checkpoint's bounds.
   */
  readonly mmProcessorKwargs?: Readonly<Record<string, unknown>>;
}

/**
 * @param directory with config.json, model.safetensors (or its shards and their index), and, where the defaults of
 *   the model's family do not hold, processor_config.json or preprocessor_config.json
 * @throws VG_FILE_UNREADABLE, VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID, VG_WEIGHTS_INVALID, VG_ARGUMENT_INVALID
 */
export async function loadModel(
  directory: string,
  { loadFormat = "auto", mmProcessorKwargs = {} }: LoadModelOptions = {},
): Promise<LoadedModel> {
  checkProcessorKwargs(mmProcessorKwargs);
  const config = (await readJsonObject(directory, "config.json")) as Record<string, unknown>;
  const settings = await readProcessorSettings(directory);
  const model = describeModel(directory, config, {
    ...settings,
    image: { ...settings.image, ...mmProcessorKwargs },
  });
  if (loadFormat === "dummy") return withDummyWeights(model);
  const { graph, vision } = model;
  const checkpoint = await Checkpoint.open(directory, vision.weightPrefixes);
  try {
    const weights = findWeights(graph, checkpoint, vision.weightPrefixes);
    return { ...model, weights, [Symbol.asyncDispose]: () => checkpoint[Symbol.asyncDispose]() };
  } catch (error) {
    await checkpoint[Symbol.asyncDispose]();
    throw error;
  }
}

const PROCESSOR_KWARGS = ["min_pixels", "max_pixels"];

function checkProcessorKwargs(kwargs: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(kwargs)) {
    const wrong = (fact: string, remedy: string) =>
      new VitgraphError("VG_ARGUMENT_INVALID", `mm_processor_kwargs has ${fact}`, {
        remedy,
        details: { name },
      });
    if (!PROCESSOR_KWARGS.includes(name))
      throw wrong(`an unknown key ${JSON.stringify(name)}`, `its keys are ${PROCESSOR_KWARGS.join(" and ")}`);
    if (!Number.isSafeInteger(value) || (value as number) <= 0)
      throw wrong(
        `${name} ${String(JSON.stringify(value)).slice(0, 80)}`,
        "give a positive whole number of pixels",
      );
  }
}

/** A published model's tower with random weights, the same each time: for measuring, without any file. */
export function loadDummyModel(architecture: ArchitectureName): LoadedModel {
  return withDummyWeights(describeModel(architecture, { ...ARCHITECTURES[architecture] }, {}));
}

type ModelDescription = Omit<LoadedModel, "weights" | typeof Symbol.asyncDispose>;

function describeModel(
  name: string,
  config: Readonly<Record<string, unknown>>,
  { image, video }: ProcessorSettings,
): ModelDescription {
  const vision = createVisionModel(config);
  const processor = readImageProcessor(image, vision.modelType);
  const videoProcessor = readVideoProcessor(video, vision.modelType);
  const graph = vision.buildGraph({ channelScale: channelScale(processor) });
  return { name, vision, processor, videoProcessor, graph };
}

/** The content of a checkpoint's processor files; undefined for files that it does not have. */
export interface ProcessorSettings {
  readonly image?: Settings | undefined;
  readonly video?: Settings | undefined;
}

type Settings = Record<string, unknown>;

function withDummyWeights(model: ModelDescription): LoadedModel {
  return { ...model, weights: dummyWeights(model.graph), [Symbol.asyncDispose]: async () => {} };
}

/**
 * transformers 5 nests the processors' settings in processor_config.json; older checkpoints have a file for each.
 * @throws VG_FILE_UNREADABLE, VG_MODEL_INVALID
 */
export async function readProcessorSettings(directory: string): Promise<ProcessorSettings> {
  const processor = await readJsonObject(directory, "processor_config.json", { optional: true });
  const settings = async (key: string, file: string): Promise<Settings | undefined> => {
    const nested = processor?.[key];
    if (typeof nested === "object" && nested !== null) return nested as Settings;
    return readJsonObject(directory, file, { optional: true });
  };
  return {
    image: await settings("image_processor", "preprocessor_config.json"),
    video: await settings("video_processor", "video_preprocessor_config.json"),
  };
}
