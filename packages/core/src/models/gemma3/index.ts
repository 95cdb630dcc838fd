/**
 * Gemma 3: a SigLIP tower over one square, whose patches are averaged k × k, normalised and projected to the language
 * model's width.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import type { Grid } from "../../item.js";
import { TowerBuilder } from "../layers.js";
import { mergeBlockPositions } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import {
  activationOf,
  checkHeads,
  checkPatch,
  objectIn,
  readPositiveNumber,
  readVisionConfig,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";
import type { GridLayout, VisionModel } from "../vision-model.js";
import { GEMMA3_IMAGES } from "./preprocess.js";

/** Names and defaults as in transformers' SiglipVisionConfig. */
const DEFAULTS = {
  num_hidden_layers: 12,
  hidden_size: 768,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 3072,
  num_attention_heads: 12,
  num_channels: 3,
  image_size: 224,
  patch_size: 16,
};

/** As in transformers' Gemma3Config and Gemma3TextConfig. */
const OUTPUT_DEFAULTS = { mm_tokens_per_image: 256 };
const TEXT_DEFAULTS = { hidden_size: 2304 };

type Config = ReturnType<typeof readConfig>;

export const gemma3: ModelFamily = { create: createGemma3, images: GEMMA3_IMAGES };

function createGemma3(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readConfig(checkpointConfig);
  const { patch_size: patchSize, side, merge } = config;
  return {
    modelType: "gemma3",
    config,
    patchSize,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    patchOrder: "raster",
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: config.mm_tokens_per_image,
    maxGridSide: side,
    fixedGrid: { t: 1, h: side, w: side },
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildGraph(config, channelScale),
    layout: (grid) => rasterLayout(grid, merge),
  };
}

function readConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const { mm_tokens_per_image } = readVisionConfig(checkpointConfig, OUTPUT_DEFAULTS);
  const text = readVisionConfig(objectIn(checkpointConfig, "text_config", "text_config"), TEXT_DEFAULTS);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const { hidden_size, num_attention_heads, image_size, patch_size } = vision;
  checkHeads(hidden_size, "hidden_size", num_attention_heads, { key: "num_attention_heads", rope: false });
  checkPatch(vision.num_channels, patch_size);
  if (image_size % patch_size !== 0)
    throw wrongConfig("image_size", image_size, `a multiple of patch_size ${patch_size}`);
  const side = image_size / patch_size;
  const merge = side / Math.sqrt(mm_tokens_per_image);
  if (!Number.isInteger(merge)) {
    throw wrongConfig(
      "image_size",
      image_size,
      `a size whose patches average to ${mm_tokens_per_image} tokens`,
    );
  }
  const layer_norm_eps = readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6);
  return { ...vision, layer_norm_eps, mm_tokens_per_image, text_hidden_size: text.hidden_size, side, merge };
}

/** Items have their patches row by row; the tower has those of an average together. */
function rasterLayout(grid: Grid, merge: number): GridLayout {
  const { t, h, w } = grid;
  const positions = mergeBlockPositions(grid, merge);
  const patchOrder = Int32Array.from({ length: t * h * w }, (_, patch) => {
    return (positions[4 * patch] as number) * w + (positions[4 * patch + 1] as number);
  });
  return { positions, patchOrder, segments: { cu_seqlens: new Array<number>(t).fill(h * w) } };
}

/** As transformers' SiglipVisionModel and Gemma3MultiModalProjector. */
function buildGraph(config: Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon, merge, side } = config;
  const { num_channels: channels, patch_size: patchSize, text_hidden_size: columns } = config;
  const activation = activationOf(config.hidden_act);
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const positions = g.positions();
  const segments = g.segments("cu_seqlens");

  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    return g.linear(g.attention(x, name, parts, { heads, segments }), `${name}.out_proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };

  const embeddings = `${tower}.embeddings`;
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  // The grid has the table's size: what is sampled are its rows.
  const table = g.weight(`${embeddings}.position_embedding.weight`, [side ** 2, hidden]);
  let x = g.sum(patches, g.add("position_embedding", [table, positions], { side }, "positions"), embeddings);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `${tower}.encoder.layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.layer_norm1`, epsilon), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.layer_norm2`, epsilon), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  const normed = g.layernorm(x, `${tower}.post_layernorm`, epsilon);
  const projector = "multi_modal_projector";
  const merged = g.mergeRows(normed, merge, projector);
  const mean = g.add("mean_groups", [merged], { groups: merge ** 2 }, `${projector}.mean`);
  // The checkpoint has w where the scale is 1 + w, and the projection's columns as rows.
  const scaled = g.rmsnorm(mean, `${projector}.mm_soft_emb_norm`, epsilon, 1);
  const projection = g.weight(`${projector}.mm_input_projection_weight`, [columns, hidden], {
    transposed: true,
  });
  return g.build([g.add("linear", [scaled, projection, null, null], { activation: "none" }, projector)]);
}
