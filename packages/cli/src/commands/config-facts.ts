/**
 * Facts about a model for the linter. A checkpoint's come only from its config.json and processor files: no weights are
 * read, and a model that vitgraph cannot run has facts too.
 */
import { encoderSupport, type ImageFacts, type LintFacts } from "@vitgraph/config";
import {
  createVisionModel,
  type ImageSize,
  imageProcessorOf,
  type LoadedModel,
  readJsonObject,
  readProcessorSettings,
  readVideoProcessor,
  tokenCount,
  type VideoProcessor,
  videoGrid,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { type ImageModel, imageBudgetTokens } from "./image-budget.js";

/** The processors' limit on the longer side over the shorter one. */
const MAX_ASPECT_RATIO = 200;

/** vLLM's smallest budget for most families; a model may have another. */
const USUAL_MIN_TOKEN_BUDGET = 64;

/**
 * @param maxBatchTokens the largest token budget that would be inferred
 * @param sent sizes of images that will be sent
 * @throws VG_FILE_UNREADABLE without a config.json, VG_MODEL_INVALID for a file that is not a JSON object,
 *   VG_IMAGE_ASPECT_RATIO for a size that the model refuses
 */
export async function readModelFacts(
  directory: string,
  maxBatchTokens: number,
  sent: readonly ImageSize[] = [],
): Promise<LintFacts> {
  const config = await readJsonObject(directory, "config.json");
  const modelType = typeof config.model_type === "string" ? config.model_type : "unknown";
  const { image, video } = await readProcessorSettings(directory);
  const own = ifSupported(() => createVisionModel(config));
  const vllm = encoderSupport(modelType);
  const images = own && ifSupported(() => ({ vision: own, processor: imageProcessorOf(own, image) }));
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
    ...(images && {
      images: imageFacts(images),
      sentImages: sent.map((size) => ({ ...size, tokens: imageBudgetTokens(size, images) })),
    }),
    ...(maxVideoTokens === undefined ? {} : { maxVideoTokens }),
  };
}

/** Facts about a loaded model, which vitgraph can run. */
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
    images: imageFacts({ vision, processor }),
    ...(maxVideoTokens === undefined ? {} : { maxVideoTokens }),
  };
}

/** Bounds from the area, widened by the tokens of sizes of many shapes, since families round, pad and tile differently. */
function imageFacts(model: ImageModel): ImageFacts {
  const { processor } = model;
  const { patchSize, mergeSize, fixedSize, fit, boundsCoverFrames, temporalPatchSize } = processor;
  const area = fit === undefined && fixedSize ? fixedSize.height * fixedSize.width : undefined;
  const { minPixels, maxPixels } = processor;
  const tokenPixels = (patchSize * mergeSize) ** 2 * (boundsCoverFrames ? temporalPatchSize : 1);
  const counts = tokensOfShapes(maxPixels, 100, (size) => imageBudgetTokens(size, model));
  return {
    spatialMergeSize: mergeSize,
    minTokens: Math.min(Math.max(1, Math.ceil((area ?? minPixels) / tokenPixels)), ...counts),
    maxTokens: Math.max(1, Math.floor((area ?? maxPixels) / tokenPixels), ...counts),
  };
}

/** Tokens that the longest clip takes of a budget; undefined for a processor that bounds frames. */
function clipTokens(processor: VideoProcessor): number | undefined {
  if (processor.boundsCover === "frame") return undefined;
  const { maxPixels, patchSize, mergeSize, temporalPatchSize } = processor;
  const bound = Math.floor(maxPixels / (temporalPatchSize * (patchSize * mergeSize) ** 2));
  // Frames that do not fill their last patch are rounded down in the bound, and up in the grid.
  const counts = CLIP_LENGTHS.flatMap((frames) =>
    tokensOfShapes(maxPixels, 30, (size) => tokenCount(videoGrid(frames, size, processor), mergeSize)),
  );
  return Math.max(bound, ...counts);
}

const CLIP_LENGTHS = [1, 2, 3, 4, 5, 9, 64, 768];

/** The tokens of images up to four times the largest area, without those that are refused. */
function tokensOfShapes(
  maxPixels: number,
  steps: number,
  tokensOf: (size: ImageSize) => number,
): readonly number[] {
  const parts = Array.from({ length: steps + 1 }, (_, step) => step / steps);
  return parts.flatMap((part) =>
    parts.flatMap((shape) => {
      const [pixels, ratio] = [4 * maxPixels * 2 ** (-40 * part), MAX_ASPECT_RATIO ** shape];
      const longer = Math.ceil(Math.sqrt(pixels * ratio));
      const shorter = Math.ceil(longer / ratio);
      try {
        const [wide, tall] = [
          { width: longer, height: shorter },
          { width: shorter, height: longer },
        ];
        return [tokensOf(wide), tokensOf(tall)];
      } catch (error) {
        if (VitgraphError.is(error)) return [];
        throw error;
      }
    }),
  );
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
