/**
 * Facts of a model for the linter, from its config.json and processor files alone: no weights are read, and a model that
 * vitgraph cannot run has facts, too.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { encoderSupport, type LintFacts } from "@vitgraph/config";
import {
  createVisionModel,
  readImageProcessor,
  readProcessorSettings,
  readVideoProcessor,
} from "@vitgraph/core";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";

type JsonObject = Readonly<Record<string, unknown>>;

/** vLLM's smallest budget for most families; a model may have another. */
const USUAL_MIN_TOKEN_BUDGET = 64;

/**
 * @param maxBatchTokens the largest token budget that would be inferred
 * @throws VG_FILE_UNREADABLE without a config.json, VG_MODEL_INVALID for a file that is no JSON object
 */
export async function readModelFacts(directory: string, maxBatchTokens: number): Promise<LintFacts> {
  const config = await readJson(join(directory, "config.json"));
  if (config === undefined) {
    throw new VitgraphError("VG_FILE_UNREADABLE", `${directory} has no config.json`, {
      remedy: "give the directory of a checkpoint",
      details: { directory },
    });
  }
  const modelType = typeof config.model_type === "string" ? config.model_type : "unknown";
  const { image, video } = await readProcessorSettings(directory);
  const own = ifSupported(() => createVisionModel(config));
  const vllm = encoderSupport(modelType);
  const images = ifSupported(() => readImageProcessor(image, modelType));
  const maxVideoTokens = video === undefined ? undefined : ifSupported(() => clipTokens(video, modelType));
  return {
    modelType,
    compileSupported: own !== undefined || vllm?.compile === true,
    cudagraphSupported: own !== undefined || vllm?.cudagraph === true,
    budgetRange: {
      min: own?.minTokenBudget ?? vllm?.minTokenBudget ?? USUAL_MIN_TOKEN_BUDGET,
      max: maxBatchTokens,
    },
    ...(images === undefined ? {} : { images: { ...images, spatialMergeSize: images.mergeSize } }),
    ...(maxVideoTokens === undefined ? {} : { maxVideoTokens }),
  };
}

/** Tokens of the longest clip; undefined for a processor that bounds frames. */
function clipTokens(settings: JsonObject, modelType: string): number | undefined {
  const processor = readVideoProcessor(settings, modelType);
  if (processor === undefined || processor.boundsCover === "frame") return undefined;
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

/** The object in a JSON file; undefined without the file. */
async function readJson(path: string): Promise<JsonObject | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (error instanceof SyntaxError) {
      throw toVitgraphError(error, "VG_MODEL_INVALID", `${path} is not JSON`, "copy the file again");
    }
    throw toVitgraphError(error, "VG_FILE_UNREADABLE", `cannot read ${path}`, "check the path");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new VitgraphError("VG_MODEL_INVALID", `${path} is not a JSON object`, {
      remedy: "copy the file again",
    });
  }
  return value as JsonObject;
}
