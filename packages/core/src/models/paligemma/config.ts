/** Reads the parts of a PaliGemma config.json that define the vision tower and its projector. */
import { readSiglipConfig } from "../tower-config.js";
import { readTopLevel, visionConfigOf, wrongConfig } from "../vision-config.js";

/**
 * Default of transformers' PaliGemmaConfig. The key is at the top level, and replaces `projection_dim` of
 * `vision_config`.
 */
const OUTPUT_DEFAULTS = { projection_dim: 2048 };

export type PaliGemmaConfig = ReturnType<typeof readPaliGemmaConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for other towers */
export function readPaliGemmaConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const vision = readSiglipConfig(visionConfigOf(checkpointConfig));
  const { image_size, patch_size } = vision;
  const side = image_size / patch_size;
  if (!Number.isInteger(side))
    throw wrongConfig("vision_config.image_size", image_size, `a multiple of patch_size ${patch_size}`);
  return { ...vision, ...readTopLevel(checkpointConfig, OUTPUT_DEFAULTS), side };
}
