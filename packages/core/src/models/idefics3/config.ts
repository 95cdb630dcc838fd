/** Reads the vision part of the config.json of Idefics3, SmolVLM and Granite-Docling, which share an architecture. */
import { readTower, SIGLIP_DEFAULTS } from "../tower-config.js";
import {
  readTextConfigOf,
  readTopLevel,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Idefics3VisionConfig. */
const DEFAULTS = { ...SIGLIP_DEFAULTS, hidden_size: 1152, num_attention_heads: 16, patch_size: 32 };

/** Keys at the top level of config.json. `scale_factor` is the number of patches along one side of a token. */
const OUTPUT_DEFAULTS = { scale_factor: 2 };

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { llama: { hidden_size: 4096 }, mistral: { hidden_size: 4096 } };

export type Idefics3Config = ReturnType<typeof readIdefics3Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readIdefics3Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readTower(visionConfig, DEFAULTS);
  const { scale_factor } = readTopLevel(checkpointConfig, OUTPUT_DEFAULTS);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = vision.image_size / vision.patch_size;
  if (!Number.isInteger(side / scale_factor))
    throw wrongConfig(
      "vision_config.image_size",
      vision.image_size,
      `a multiple of ${vision.patch_size * scale_factor}`,
    );
  return {
    ...vision,
    scale_factor,
    text_hidden_size: text.hidden_size,
    /** Patches along one side of a tile. */
    side,
  };
}
