/** What describes a model → the model: its graph, and its tensors found but not yet read. */
import type { Graph } from "../graph/graph.js";
import { channelScale, type ImageProcessor, readImageProcessor } from "../images/index.js";
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
}

/**
 * @param directory with config.json, model.safetensors (or its shards and their index), and, where the defaults of
 *   the model's family do not hold, processor_config.json or preprocessor_config.json
 * @throws VG_FILE_UNREADABLE, VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID, VG_WEIGHTS_INVALID
 */
export async function loadModel(
  directory: string,
  { loadFormat = "auto" }: LoadModelOptions = {},
): Promise<LoadedModel> {
  const config = (await readJsonObject(directory, "config.json")) as Record<string, unknown>;
  const model = describeModel(directory, config, await readProcessorSettings(directory));
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

/** A published model's tower with random weights, the same each time: for measuring, without any file. */
export function loadDummyModel(architecture: ArchitectureName): LoadedModel {
  return withDummyWeights(describeModel(architecture, { ...ARCHITECTURES[architecture] }, undefined));
}

type ModelDescription = Omit<LoadedModel, "weights" | typeof Symbol.asyncDispose>;

function describeModel(
  name: string,
  config: Readonly<Record<string, unknown>>,
  processorSettings: Record<string, unknown> | undefined,
): ModelDescription {
  const vision = createVisionModel(config);
  const processor = readImageProcessor(processorSettings, vision.modelType);
  return { name, vision, processor, graph: vision.buildGraph({ channelScale: channelScale(processor) }) };
}

function withDummyWeights(model: ModelDescription): LoadedModel {
  return { ...model, weights: dummyWeights(model.graph), [Symbol.asyncDispose]: async () => {} };
}

/** transformers 5 nests the image processor's settings in processor_config.json; older checkpoints have a file of their own. */
async function readProcessorSettings(directory: string): Promise<Record<string, unknown> | undefined> {
  const processor = await readJsonObject(directory, "processor_config.json", { optional: true });
  const nested = processor?.image_processor;
  if (typeof nested === "object" && nested !== null) return nested as Record<string, unknown>;
  return readJsonObject(directory, "preprocessor_config.json", { optional: true });
}
