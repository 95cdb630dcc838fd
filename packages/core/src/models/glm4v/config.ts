/** Reads the vision part of the config.json of GLM-4.1V, 4.5V and 4.6V, and of the variants GLM-OCR and GLM-5.3. */
import {
  checkHeads,
  checkPatch,
  HEADS_NAMES,
  readBoolean,
  readPositiveNumber,
  readRopeTheta,
  readVisionConfig,
  withNames,
} from "../vision-config.js";

/** Names and defaults as in transformers' Glm4vVisionConfig. */
const DEFAULTS = {
  depth: 24,
  hidden_size: 1536,
  hidden_act: "silu",
  num_heads: 12,
  in_channels: 3,
  image_size: 336,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  out_hidden_size: 4096,
  intermediate_size: 13_696,
};

/** Defaults of transformers' GlmOcrVisionConfig. */
const OCR_DEFAULTS = {
  ...DEFAULTS,
  hidden_size: 1024,
  num_heads: 16,
  out_hidden_size: 1536,
  intermediate_size: 4096,
};

/** Default of transformers' Glm5NextVisionConfig; its other defaults are those of GLM-OCR. */
const MERGER_DEFAULTS = { projection_intermediate_size: 10_240 };

export type Glm4vVariant = "glm4v" | "glm_ocr" | "glm5_next";

export type Glm4vVisionConfig = ReturnType<typeof readGlm4vVisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readGlm4vVisionConfig(given: Readonly<Record<string, unknown>>, variant: Glm4vVariant) {
  const visionConfig = withNames(given, HEADS_NAMES);
  const ocr = variant !== "glm4v";
  const config = readVisionConfig(visionConfig, ocr ? OCR_DEFAULTS : DEFAULTS);
  checkHeads(config.hidden_size, "hidden_size", config.num_heads, { headDim: visionConfig.head_dim });
  checkPatch(config.in_channels, config.patch_size);
  return {
    ...config,
    attention_bias: readBoolean(visionConfig, "attention_bias", ocr),
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-5),
    rope_theta: readRopeTheta(visionConfig),
    ocr,
    ...(variant === "glm5_next" && {
      swiglu_limit: readPositiveNumber(visionConfig, "swiglu_limit", 10),
    }),
    // Inner widths of the MLPs of blocks and merger. No key is named after them; their source differs by variant.
    block_width: ocr ? config.intermediate_size : config.out_hidden_size,
    merger_width: mergerWidth(),
    /** Cells along one side of the position table. */
    side: Math.floor(config.image_size / config.patch_size),
  };
  function mergerWidth(): number {
    if (variant === "glm5_next")
      return readVisionConfig(visionConfig, MERGER_DEFAULTS).projection_intermediate_size;
    return ocr ? config.out_hidden_size * config.in_channels : config.intermediate_size;
  }
}
