/** Published LLaVA 1.6 models, whose language models differ in width, and Granite Vision 3. */
import type { ArchitectureConfig } from "../model-family.js";
import { CLIP_L, SIGLIP_SO400M } from "../tower-config.js";

const KIND = { architectures: ["LlavaNextForConditionalGeneration"], model_type: "llava_next" };

/** For 1 to 10 rows of tiles, the largest number of columns. One tile alone is no pinpoint. */
const GRANITE_COLUMNS = [10, 5, 3, 2, 2, 1, 1, 1, 1, 1];

const GRANITE_PINPOINTS = GRANITE_COLUMNS.flatMap((most, row) =>
  Array.from({ length: most }, (_, column) => [384 * (row + 1), 384 * (column + 1)] as const),
).slice(1);

export const LLAVA_NEXT_MODELS = {
  "llava-1.6-7b": llava(4096),
  "llava-1.6-13b": llava(5120),
  "llava-1.6-34b": llava(7168),
  "granite-vision-3-2b": {
    ...KIND,
    text_config: { hidden_size: 2048 },
    vision_config: {
      model_type: "siglip_vision_model",
      ...SIGLIP_SO400M,
      image_size: 384,
    },
    vision_feature_layer: [-24, -20, -12, -1],
    vision_feature_select_strategy: "full",
    image_grid_pinpoints: GRANITE_PINPOINTS,
    preprocessor: {
      size: { height: 384, width: 384 },
      crop_size: { height: 384, width: 384 },
      image_grid_pinpoints: GRANITE_PINPOINTS,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;

function llava(hidden_size: number): ArchitectureConfig {
  return {
    ...KIND,
    text_config: { hidden_size },
    vision_config: CLIP_L,
  };
}
