/**
 * The vision embedder of Gemma 4 12B, as transformers' Gemma4UnifiedVisionEmbedder computes it: large patches, each normed,
 * projected and given a learned position for each axis. Patches do not attend to each other here.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import type { Gemma4UnifiedConfig } from "./config.js";

/** torch's default, used by the embedder's layer norms. */
const EPSILON = 1e-5;

/** One tap each for x and y. */
const POSITION_TAPS = 2;

export function buildGemma4UnifiedGraph(config: Gemma4UnifiedConfig, channelScale: Float32Array): Graph {
  const { mm_embed_dim: width, mm_posemb_size: positions, model_patch_size: patchSize } = config;
  const embedder = "vision_embedder";
  const g = new TowerBuilder();
  const pixels = g.patches({ channels: 3, temporal: 1, patchSize, channelsLast: true }, channelScale);
  const dense = g.linear(
    g.layernorm(pixels, `${embedder}.patch_ln1`, EPSILON),
    `${embedder}.patch_dense`,
    width,
  );
  const patches = g.layernorm(dense, `${embedder}.patch_ln2`, EPSILON);
  const table = g.weight(`${embedder}.pos_embedding`, [2 * positions, width], {
    stored: [positions, 2, width],
  });
  const placed = g.sum(patches, g.interpolate(table, POSITION_TAPS, `${embedder}.positions`), embedder);
  const normed = g.add(
    "rmsnorm_groups",
    [g.layernorm(placed, `${embedder}.pos_norm`, EPSILON), null],
    { groups: 1, epsilon: config.rms_norm_eps },
    "embed_vision.embedding_pre_projection_norm",
  );
  const tokens = g.mergeRows(normed, 1, "embed_vision");
  const projection = "embed_vision.embedding_projection";
  return g.build([g.linear(tokens, projection, config.text_hidden_size, { bias: false })]);
}
