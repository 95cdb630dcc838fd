/**
 * Pixtral, Mistral Small 3, Ministral 3 and LightOnOCR, which share a tower: config reader, graph, layout, processor.
 */
import { MAX_GRID_SIDE, offsetColumns } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import type { TensorNames, VisionModel } from "../vision-model.js";
import { type PixtralModelType, readPixtralConfig } from "./config.js";
import { buildPixtralGraph } from "./graph.js";
import { PIXTRAL_IMAGES } from "./preprocess.js";

export const pixtral: ModelFamily = {
  create: (config) => createPixtral(config, "pixtral"),
  images: PIXTRAL_IMAGES,
};

/** LightOnOCR-1B has this model_type too; `architectures` distinguishes it. */
export const mistral3: ModelFamily = {
  create: (config) =>
    createPixtral(config, "mistral3", String(config.architectures).includes("LightOn") ? LIGHTON : USUAL),
  images: PIXTRAL_IMAGES,
};

export const lightOnOCR: ModelFamily = {
  create: (config) => createPixtral(config, "lighton_ocr", LIGHTON),
  images: PIXTRAL_IMAGES,
};

const USUAL: TensorNames = { prefixes: ["", "model."] };
const LIGHTON: TensorNames = {
  prefixes: ["model.", ""],
  renamed: [
    [/^vision_tower/, "vision_encoder"],
    [/^multi_modal_projector/, "vision_projection"],
  ],
};

function createPixtral(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: PixtralModelType,
  names = USUAL,
): VisionModel {
  const merges = modelType !== "pixtral";
  const config = readPixtralConfig(checkpointConfig, modelType);
  const merge = config.spatial_merge_size;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM infers none for these models; 64 is its usual one
    maxGridSide: MAX_GRID_SIDE,
    names,
    buildGraph: ({ channelScale }) => buildPixtralGraph(config, merges, channelScale),
    layout: (grid) => rasterLayout(grid, merge, (positions) => ({ positions: offsetColumns(positions) })),
  };
}
