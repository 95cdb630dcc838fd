/**
 * Facts of a model for the linter. A checkpoint's come from its config.json and processor files alone: no weights are read,
 * and a model that vitgraph cannot run has facts, too.
 */
import { encoderSupport, type ImageGeometry, type LintFacts } from "@vitgraph/config";
import {
  createVisionModel,
  type ImageProcessor,
  imageProcessorOf,
  type LoadedModel,
  readJsonObject,
  readProcessorSettings,
  readVideoProcessor,
  type VideoProcessor,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";

/** vLLM's smallest budget for most families; a model may have another. */
const USUAL_MIN_TOKEN_BUDGET = 64;

/**
 * @param maxBatchTokens the largest token budget that would be inferred
 * @throws VG_FILE_UNREADABLE without a config.json, VG_MODEL_INVALID for a file that is not a JSON object
 */
export async function readModelFacts(directory: string, maxBatchTokens: number): Promise<LintFacts> {
  const config = await readJsonObject(directory, "config.json");
  const modelType = typeof config.model_type === "string" ? config.model_type : "unknown";
  const { image, video } = await readProcessorSettings(directory);
  const own = ifSupported(() => createVisionModel(config));
  const vllm = encoderSupport(modelType);
  const images = own && ifSupported(() => imageProcessorOf(own, image));
  const clips = video === undefined ? undefined : ifSupported(() => readVideoProcessor(video, modelType));
  const maxVideoTokens = clips && clipTokens(clips);
  return {
    modelType,
    compileSupported: own !== undefined || vllm?.compile === true,
    cudagraphSupported: own !== undefined || vllm?.cudagraph === true,
    budgetRange: {
      min: own?.minTokenBudget ?? vllm?.minTokenBudget ?? USUAL_MIN_TOKEN_BUDGET,
      max: maxBatchTokens,
    },
    ...(images === undefined ? {} : { images: geometryOf(images) }),
    ...(maxVideoTokens === undefined ? {} : { maxVideoTokens }),
  };
}

/** Of a loaded model, which vitgraph can run. */
export function loadedModelFacts(
  { vision, processor, videoProcessor }: Pick<LoadedModel, "vision" | "processor" | "videoProcessor">,
  maxBatchTokens: number,
): LintFacts {
  const maxVideoTokens = videoProcessor && clipTokens(videoProcessor);
  return {
    modelType: vision.modelType,
    compileSupported: true,
    cudagraphSupported: true,
    budgetRange: { min: vision.minTokenBudget, max: maxBatchTokens },
    images: geometryOf(processor),
    ...(maxVideoTokens === undefined ? {} : { maxVideoTokens }),
  };
}

/** Where every image gets one size, its area is both bounds; tiles have bounds on the area of all of them. */
function geometryOf(processor: ImageProcessor): ImageGeometry {
  const { mergeSize, fixedSize, fit, boundsCoverFrames, temporalPatchSize, ...geometry } = processor;
  const frames = boundsCoverFrames ? temporalPatchSize : 1;
  const area = fit === undefined && fixedSize ? fixedSize.height * fixedSize.width : undefined;
  const { minPixels, maxPixels } = geometry;
  const bounds = { minPixels: area ?? minPixels / frames, maxPixels: area ?? maxPixels / frames };
  return { ...geometry, spatialMergeSize: mergeSize, ...bounds };
}

/** Tokens of the longest clip; undefined for a processor that bounds frames. */
function clipTokens(processor: VideoProcessor): number | undefined {
  if (processor.boundsCover === "frame") return undefined;
  const { maxPixels, patchSize, mergeSize, temporalPatchSize } = processor;
  return Math.floor(maxPixels / (temporalPatchSize * (patchSize * mergeSize) ** 2));
}

/** Undefined for a model that vitgraph does not know. */
function ifSupported<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (VitgraphError.is(error) && error.code === "VG_MODEL_UNSUPPORTED") return undefined;
    throw error;
  }
}
