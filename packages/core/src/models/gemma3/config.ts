/** Reads the parts of a Gemma 3 config.json that define the vision tower and its projector. */
import { readSiglipConfig } from "../tower-config.js";
import { readTextConfig, readTopLevel, textConfigOf, visionConfigOf, wrongConfig } from "../vision-config.js";

/** Defaults as in transformers' Gemma3Config and Gemma3TextConfig. */
const OUTPUT_DEFAULTS = { mm_tokens_per_image: 256 };
const TEXT_DEFAULTS = { hidden_size: 2304 };

export type Gemma3Config = ReturnType<typeof readGemma3Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for other towers */
export function readGemma3Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const vision = readSiglipConfig(visionConfigOf(checkpointConfig));
  const { mm_tokens_per_image } = readTopLevel(checkpointConfig, OUTPUT_DEFAULTS);
  const text = readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const { image_size, patch_size } = vision;
  if (image_size % patch_size !== 0)
    throw wrongConfig("vision_config.image_size", image_size, `a multiple of patch_size ${patch_size}`);
  const side = image_size / patch_size;
  const merge = side / Math.sqrt(mm_tokens_per_image);
  if (!Number.isInteger(merge)) {
    throw wrongConfig(
      "vision_config.image_size",
      image_size,
      `a size whose patches average to ${mm_tokens_per_image} tokens`,
    );
  }
  return { ...vision, mm_tokens_per_image, text_hidden_size: text.hidden_size, side, merge };
}
