/**
 * InternVL3 and 3.5 in both checkpoint layouts, and Qianfan-OCR: config in transformers' layout, tensors in the other.
 */
import { withClassRows } from "../class-row.js";
import type { PackedProjection } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { offsetTapRows } from "../patch-tables.js";
import { rasterLayout, tapsOfCells } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
import type { TensorNames, VisionModel } from "../vision-model.js";
import { type InternVLModelType, readInternVLConfig } from "./config.js";
import { buildInternVLGraph } from "./graph.js";
import {
  INTERNVL_CHAT_IMAGES,
  INTERNVL_CHAT_SIZES,
  INTERNVL_IMAGES,
  INTERNVL_VIDEO_CLASS,
  INTERNVL_VIDEO_SIZES,
  INTERNVL_VIDEOS,
  tilesOf,
} from "./preprocess.js";

interface Tensors {
  readonly names: TensorNames;
  readonly projection: (layer: string) => PackedProjection;
}

const CHAT_TENSORS: Tensors = {
  names: {
    prefixes: [""],
    renamed: [
      [/^vision_tower\.embeddings\.cls_token$/, "vision_model.embeddings.class_embedding"],
      [/^vision_tower\.embeddings\.position_embeddings$/, "vision_model.embeddings.position_embedding"],
      [/^vision_tower\.embeddings\.patch_embeddings\.projection/, "vision_model.embeddings.patch_embedding"],
      [/^vision_tower\.encoder\.layer\./, "vision_model.encoder.layers."],
      [/(?<=^vision_model\.encoder\.layers\.\d+\.)layernorm_before/, "norm1"],
      [/(?<=^vision_model\.encoder\.layers\.\d+\.)layernorm_after/, "norm2"],
      [/(?<=^vision_model\.encoder\.layers\.\d+\.)attention\.qkv/, "attn.qkv"],
      [/(?<=^vision_model\.encoder\.layers\.\d+\.)attention\.projection_layer/, "attn.proj"],
      [/(?<=^vision_model\.encoder\.layers\.\d+\.)lambda_/, "ls"],
      [/^multi_modal_projector\.layer_norm/, "mlp1.0"],
      [/^multi_modal_projector\.linear_1/, "mlp1.1"],
      [/^multi_modal_projector\.linear_2/, "mlp1.3"],
    ],
  },
  projection: (layer) => `${layer}.qkv`,
};

const TENSORS: Readonly<Record<InternVLModelType, Tensors>> = {
  internvl: {
    names: { prefixes: ["", "model."] },
    projection: (layer) => [`${layer}.q_proj`, `${layer}.k_proj`, `${layer}.v_proj`],
  },
  internvl_chat: CHAT_TENSORS,
  qianfan_ocr: CHAT_TENSORS,
};

export const internVL: ModelFamily = {
  create: (config) => createInternVL(config, "internvl"),
  images: INTERNVL_IMAGES,
  videos: INTERNVL_VIDEOS,
  videosOfClass: INTERNVL_VIDEO_CLASS,
  videoSizes: INTERNVL_VIDEO_SIZES,
};

export const internVLChat: ModelFamily = {
  create: (config) => createInternVL(config, "internvl_chat"),
  images: INTERNVL_CHAT_IMAGES,
  videos: INTERNVL_VIDEOS,
  videoSizes: INTERNVL_CHAT_SIZES,
};

export const qianfanOCR: ModelFamily = {
  create: (config) => createInternVL(config, "qianfan_ocr"),
  images: INTERNVL_IMAGES,
};

function createInternVL(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: InternVLModelType,
): VisionModel {
  const config = readInternVLConfig(checkpointConfig, modelType);
  const { patch_size: patchSize, image_size: tile, side, merge } = config;
  const { names, projection } = TENSORS[modelType];
  return {
    modelType,
    config,
    patchSize,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, merge, true),
    outputColumns: [config.text_hidden_size],
    tiled: true,
    names,
    // In this layout the processor file is CLIP's, and config.json has the tile settings.
    ...(config.tiles && { imageSettings: tilesOf({ tile, ...config.tiles }) }),
    buildGraph: ({ channelScale }) => buildInternVLGraph(config, projection, channelScale),
    layout: (grid) =>
      withClassRows(
        grid,
        rasterLayout(grid, merge, (positions) => offsetTapRows(tapsOfCells(positions, grid), 1)),
      ),
  };
}
