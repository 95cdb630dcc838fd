/**
 * Published models by name, with the vision part of their config.json, for measurements without a checkpoint.
 */
import { COHERE2_VISION_MODELS } from "./cohere2-vision/published.js";
import { DOTS_OCR_MODELS } from "./dots-ocr/published.js";
import { ERNIE_MODELS } from "./ernie4-5-vl/published.js";
import { GEMMA3_MODELS } from "./gemma3/published.js";
import { GEMMA4_MODELS } from "./gemma4/published.js";
import { GEMMA4_UNIFIED_MODELS } from "./gemma4-unified/published.js";
import { GLM4V_MODELS } from "./glm4v/published.js";
import { HUNYUAN_VL_MODELS } from "./hunyuan-vl/published.js";
import { IDEFICS3_MODELS } from "./idefics3/published.js";
import { INTERNVL_MODELS } from "./internvl/published.js";
import { KIMI_K25_MODELS } from "./kimi-k25/published.js";
import { LFM2_VL_MODELS } from "./lfm2-vl/published.js";
import { LLAMA4_MODELS } from "./llama4/published.js";
import { LLAVA_MODELS } from "./llava/published.js";
import { LLAVA_NEXT_MODELS } from "./llava-next/published.js";
import { LLAVA_ONEVISION_MODELS } from "./llava-onevision/published.js";
import { LLAVA_ONEVISION1_5_MODELS } from "./llava-onevision1-5/published.js";
import { MINICPM_V4_6_MODELS } from "./minicpmv4-6/published.js";
import { MINIMAX_M3_MODELS } from "./minimax-m3/published.js";
import type { ArchitectureConfig } from "./model-family.js";
import { MUSE_GLIMMER_MODELS } from "./muse-glimmer/published.js";
import { PADDLEOCR_VL_MODELS } from "./paddleocr-vl/published.js";
import { PALIGEMMA_MODELS } from "./paligemma/published.js";
import { PIXTRAL_MODELS } from "./pixtral/published.js";
import { QWEN2_5_VL_MODELS } from "./qwen2-5-vl/published.js";
import { QWEN2_VL_MODELS } from "./qwen2-vl/published.js";
import { QWEN3_VL_MODELS } from "./qwen3-vl/published.js";
import { STEP_MODELS } from "./step3p7/published.js";

/** Published models by the names of `--arch`: the parts of config.json that the tower's size follows from. */
export const ARCHITECTURES = {
  ...QWEN2_VL_MODELS,
  ...QWEN2_5_VL_MODELS,
  ...QWEN3_VL_MODELS,
  ...GEMMA3_MODELS,
  ...PALIGEMMA_MODELS,
  ...GEMMA4_MODELS,
  ...GEMMA4_UNIFIED_MODELS,
  ...PADDLEOCR_VL_MODELS,
  ...GLM4V_MODELS,
  ...DOTS_OCR_MODELS,
  ...ERNIE_MODELS,
  ...HUNYUAN_VL_MODELS,
  ...KIMI_K25_MODELS,
  ...PIXTRAL_MODELS,
  ...INTERNVL_MODELS,
  ...LFM2_VL_MODELS,
  ...LLAMA4_MODELS,
  ...MINICPM_V4_6_MODELS,
  ...MINIMAX_M3_MODELS,
  ...MUSE_GLIMMER_MODELS,
  ...LLAVA_MODELS,
  ...LLAVA_NEXT_MODELS,
  ...LLAVA_ONEVISION_MODELS,
  ...LLAVA_ONEVISION1_5_MODELS,
  ...COHERE2_VISION_MODELS,
  ...IDEFICS3_MODELS,
  ...STEP_MODELS,
} as const satisfies Record<string, ArchitectureConfig>;

/** The name of a published size: "qwen3-vl-8b". */
export type ArchitectureName = keyof typeof ARCHITECTURES;
