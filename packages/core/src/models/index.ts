/** The table of supported families by transformers' `model_type`. A new family needs a folder and a row here. */
import { describe, shorten, VitgraphError } from "@vitgraph/errors";
import {
  type ImageProcessor,
  readImageSettings,
  readVideoSettings,
  type VideoProcessor,
} from "../images/image-processor.js";
import type { Settings } from "../images/settings-reader.js";
import { ayaVision, cohere2Vision } from "./cohere2-vision/index.js";
import { dotsOCR } from "./dots-ocr/index.js";
import { ernie4_5VL } from "./ernie4-5-vl/index.js";
import { gemma3, t5Gemma2 } from "./gemma3/index.js";
import { gemma4 } from "./gemma4/index.js";
import { GEMMA4_VIDEOS } from "./gemma4/preprocess.js";
import { gemma4Unified } from "./gemma4-unified/index.js";
import { glm4v, glm5Next, glm46V, glmOCR } from "./glm4v/index.js";
import { GLM4V_VIDEOS, GLM5_NEXT_VIDEOS, GLM46V_VIDEOS } from "./glm4v/preprocess.js";
import { hunyuanVL } from "./hunyuan-vl/index.js";
import { idefics3, smolVLM } from "./idefics3/index.js";
import { SMOLVLM_VIDEOS } from "./idefics3/preprocess.js";
import { internVL, internVLChat, qianfanOCR } from "./internvl/index.js";
import { INTERNVL_VIDEO_CLASS } from "./internvl/preprocess.js";
import { kimiK25, kimiVL } from "./kimi-k25/index.js";
import { KIMI_VIDEOS } from "./kimi-k25/preprocess.js";
import { lfm2VL } from "./lfm2-vl/index.js";
import { llama4 } from "./llama4/index.js";
import { llava } from "./llava/index.js";
import { llavaNext, llavaNextVideo } from "./llava-next/index.js";
import { LLAVA_NEXT_VIDEOS } from "./llava-next/preprocess.js";
import { llavaOnevision } from "./llava-onevision/index.js";
import { LLAVA_ONEVISION_VIDEO_CLASS } from "./llava-onevision/preprocess.js";
import { llavaOnevision1_5 } from "./llava-onevision1-5/index.js";
import { miniCPMV4_6 } from "./minicpmv4-6/index.js";
import { MINICPM_VIDEOS } from "./minicpmv4-6/preprocess.js";
import { miniMaxM3 } from "./minimax-m3/index.js";
import { MINIMAX_M3_VIDEOS } from "./minimax-m3/preprocess.js";
import type { ModelFamily } from "./model-family.js";
import { museGlimmer } from "./muse-glimmer/index.js";
import { MUSE_GLIMMER_VIDEOS } from "./muse-glimmer/preprocess.js";
import { paddleOCRVL } from "./paddleocr-vl/index.js";
import { paliGemma } from "./paligemma/index.js";
import { lightOnOCR, mistral3, pixtral } from "./pixtral/index.js";
import { exaone4_5, qwen2_5OmniThinker, qwen2_5VL } from "./qwen2-5-vl/index.js";
import { qwen2VL } from "./qwen2-vl/index.js";
import { QWEN2_VL_VIDEOS } from "./qwen2-vl/preprocess.js";
import { qwen3_5, qwen3OmniThinker, qwen3VL } from "./qwen3-vl/index.js";
import { QWEN3_VL_VIDEOS } from "./qwen3-vl/preprocess.js";
import { step3p7, stepRobotics } from "./step3p7/index.js";
import type { VisionModel } from "./vision-model.js";

const FAMILIES: Readonly<Record<string, ModelFamily>> = {
  qwen2_vl: qwen2VL,
  qwen2_5_vl: qwen2_5VL,
  qwen2_5_omni: qwen2_5OmniThinker,
  exaone4_5,
  qwen3_vl: qwen3VL,
  qwen3_vl_moe: qwen3VL,
  qwen3_5: qwen3_5,
  qwen3_5_moe: qwen3_5,
  qwen4_exp: qwen3_5,
  qwen3_omni_moe: qwen3OmniThinker,
  gemma3,
  t5gemma2: t5Gemma2,
  paligemma: paliGemma,
  gemma4,
  gemma4_unified: gemma4Unified,
  paddleocr_vl: paddleOCRVL,
  glm4v,
  glm4v_moe: glm4v,
  glm46v: glm46V,
  glm_ocr: glmOCR,
  glm5_next: glm5Next,
  dots_ocr: dotsOCR,
  ernie4_5_vl_moe: ernie4_5VL,
  ernie4_5_moe_vl: ernie4_5VL,
  hunyuan_vl: hunyuanVL,
  kimi_k25: kimiK25,
  kimi_vl: kimiVL,
  pixtral,
  mistral3,
  lighton_ocr: lightOnOCR,
  lfm2_vl: lfm2VL,
  llama4,
  minicpmv4_6: miniCPMV4_6,
  minimax_m3_vl: miniMaxM3,
  muse_glimmer: museGlimmer,
  llava,
  llava_next: llavaNext,
  llava_next_video: llavaNextVideo,
  llava_onevision: llavaOnevision,
  llavaonevision1_5: llavaOnevision1_5,
  cohere2_vision: cohere2Vision,
  aya_vision: ayaVision,
  idefics3,
  smolvlm: smolVLM,
  step3p7,
  step_robotics: stepRobotics,
  internvl: internVL,
  internvl_chat: internVLChat,
  qianfan_ocr: qianfanOCR,
};

/** Default video processors by `model_type`, for families that support videos. Used if a checkpoint has no settings. */
export const VIDEO_PROCESSOR_DEFAULTS: Readonly<Record<string, VideoProcessor>> = Object.fromEntries(
  Object.entries(FAMILIES).flatMap(([type, { videos }]) => (videos === undefined ? [] : [[type, videos]])),
);

/** Supported model types. */
export const MODEL_TYPES: readonly string[] = Object.keys(FAMILIES);

/** Keys of processor files that affect the size of images, for all families. */
export const SIZE_KEYS: readonly string[] = [
  ...new Set(["min_pixels", "max_pixels", "size", ...Object.values(FAMILIES).flatMap(sizeKeysOf)]),
];

function sizeKeysOf({ images }: ModelFamily): readonly string[] {
  return ["size", ...(images.sizes?.keys ?? ["min_pixels", "max_pixels"])];
}

/** Like {@link SIZE_KEYS}, for one model type. */
export const sizeKeysOfModel = (modelType: string): readonly string[] => sizeKeysOf(familyOf(modelType));

/**
 * The vision tower that a checkpoint's config.json describes: its dims, graph and layout, without weights.
 *
 * @throws VG_MODEL_UNSUPPORTED naming the architecture; VG_MODEL_INVALID if the config contradicts itself.
 */
export function createVisionModel(config: Readonly<Record<string, unknown>>): VisionModel {
  const { model_type: modelType, architectures } = config;
  const named = Array.isArray(architectures) ? architectures.slice(0, 5).join(", ") : "none named";
  return familyOf(modelType, ` (architectures: ${shorten(named)})`).create(config);
}

/**
 * The image processor of a checkpoint.
 * @param settings the content of `preprocessor_config.json`; undefined if there is none
 * @param modelType `model_type` of the checkpoint's config.json
 * @param overrides `min_pixels`, `max_pixels` and `size` that replace the file's
 * @throws VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID as `readImageSettings`
 */
export function readImageProcessor(
  settings: Settings | undefined,
  modelType: string,
  overrides: Settings = {},
): ImageProcessor {
  return readImageSettings(settings, familyOf(modelType).images, overrides);
}

/**
 * Like {@link readImageProcessor}, with the patch size, and for some families the tiles, from config.json. This is the
 * processor that the model uses.
 * @throws as readImageProcessor
 */
export function imageProcessorOf(
  vision: VisionModel,
  settings: Settings | undefined,
  overrides: Settings = {},
): ImageProcessor {
  const { patchSize, temporalPatchSize, spatialMergeSize: mergeSize, modelType, imageSettings } = vision;
  const processor = readImageProcessor(settings, modelType, overrides);
  return { ...processor, ...imageSettings, patchSize, temporalPatchSize, mergeSize };
}

/**
 * Like {@link readImageProcessor}, for videos; undefined for a family without videos. The settings may name a processor
 * class; the default is the family's class.
 * @param file the name of the file that holds the settings, for messages
 */
export function readVideoProcessor(
  settings: Settings | undefined,
  modelType: string,
  overrides: Settings = {},
  file?: string,
): VideoProcessor | undefined {
  const { videos, videosOfClass, videoSizes } = familyOf(modelType);
  if (videos === undefined) return undefined;
  const { patchSize, mergeSize, temporalPatchSize } = videos;
  const ofFile = settings && (videoClassOf(settings) ?? videosOfClass);
  const defaults = { ...(ofFile ?? videos), patchSize, mergeSize, temporalPatchSize };
  return readVideoSettings(settings, defaults, overrides, file, videoSizes);
}

/** transformers' video processor classes. A processor file may name the class of another family. */
const VIDEO_CLASSES: Readonly<Record<string, VideoProcessor>> = {
  Qwen2VLVideoProcessor: QWEN2_VL_VIDEOS,
  Qwen3VLVideoProcessor: QWEN3_VL_VIDEOS,
  Gemma4VideoProcessor: GEMMA4_VIDEOS,
  Gemma4UnifiedVideoProcessor: GEMMA4_VIDEOS,
  Glm4vVideoProcessor: GLM4V_VIDEOS,
  Glm46VVideoProcessor: GLM46V_VIDEOS,
  Glm5NextVideoProcessor: GLM5_NEXT_VIDEOS,
  InternVLVideoProcessor: INTERNVL_VIDEO_CLASS,
  Kimi_K25VideoProcessor: KIMI_VIDEOS,
  MiniCPMV4_6VideoProcessor: MINICPM_VIDEOS,
  MiniMaxM3VLVideoProcessor: MINIMAX_M3_VIDEOS,
  MuseGlimmerVideoProcessor: MUSE_GLIMMER_VIDEOS,
  SmolVLMVideoProcessor: SMOLVLM_VIDEOS,
  LlavaNextVideoVideoProcessor: LLAVA_NEXT_VIDEOS,
  LlavaOnevisionVideoProcessor: LLAVA_ONEVISION_VIDEO_CLASS,
};

/**
 * As in transformers, the name of an image processor class (…ImageProcessor) selects the video class with the same
 * prefix.
 */
function videoClassOf(settings: Settings | undefined): VideoProcessor | undefined {
  const { video_processor_type, image_processor_type } = settings ?? {};
  const name = String(video_processor_type ?? image_processor_type).replace(
    "ImageProcessor",
    "VideoProcessor",
  );
  return Object.hasOwn(VIDEO_CLASSES, name) ? VIDEO_CLASSES[name] : undefined;
}

function familyOf(modelType: unknown, context = ""): ModelFamily {
  const family =
    typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family !== undefined) return family;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `model_type ${describe(modelType)}${context} is not supported`,
    {
      remedy: `supported model types: ${MODEL_TYPES.join(", ")}`,
      details: { modelType },
    },
  );
}
