/** A checkpoint's directory → the model it holds: its graph, and its tensors found but not yet read. */

import type { Graph } from "../graph/graph.js";
import { channelScale, type ImageProcessor, readImageProcessor } from "../images/index.js";
import { Checkpoint, type CheckpointTensor, readJsonObject } from "../weights/checkpoint.js";
import { findWeights } from "../weights/load-weights.js";
import { createVisionModel } from "./index.js";
import type { VisionModel } from "./vision-model.js";

export interface LoadedModel extends AsyncDisposable {
  readonly directory: string;
  readonly vision: VisionModel;
  readonly processor: ImageProcessor;
  readonly graph: Graph;
  /** By the name that the graph uses. The files stay open until the model is disposed. */
  readonly weights: ReadonlyMap<string, CheckpointTensor>;
}

/**
 * @param directory with config.json, model.safetensors (or its shards and their index), and, where the defaults of
 *   the model's family do not hold, processor_config.json or preprocessor_config.json
 * @throws VG_FILE_UNREADABLE, VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID, VG_WEIGHTS_INVALID
 */
export async function loadModel(directory: string): Promise<LoadedModel> {
  const config = (await readJsonObject(directory, "config.json")) as Record<string, unknown>;
  const vision = createVisionModel(config);
  const processor = readImageProcessor(await readProcessorSettings(directory), vision.modelType);
  const graph = vision.buildGraph({ channelScale: channelScale(processor) });
  const checkpoint = await Checkpoint.open(directory, vision.weightPrefixes);
  try {
    const weights = findWeights(graph, checkpoint, vision.weightPrefixes);
    return {
      directory,
      vision,
      processor,
      graph,
      weights,
      [Symbol.asyncDispose]: () => checkpoint[Symbol.asyncDispose](),
    };
  } catch (error) {
    await checkpoint[Symbol.asyncDispose]();
    throw error;
  }
}

/** transformers 5 nests the image processor's settings in processor_config.json; older checkpoints have a file of their own. */
async function readProcessorSettings(directory: string): Promise<Record<string, unknown> | undefined> {
  const processor = await readJsonObject(directory, "processor_config.json", { optional: true });
  const nested = processor?.image_processor;
  if (typeof nested === "object" && nested !== null) return nested as Record<string, unknown>;
  return readJsonObject(directory, "preprocessor_config.json", { optional: true });
}
