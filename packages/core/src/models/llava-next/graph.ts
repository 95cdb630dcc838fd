/**
 * LLaVA-NeXT's vision tower and projector, as transformers' LlavaNextModel computes them: CLIP or SigLIP without its last
 * norm, the features of one or several layers side by side, an MLP, and the rows of the tiles' grid with newlines.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { clipRows } from "../clip.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { LlavaNextConfig } from "./config.js";

export function buildLlavaNextGraph(config: LlavaNextConfig, channelScale: Float32Array): Graph {
  const { featureLayers, hasClassRow, multimodal_projector_bias: bias, text_hidden_size: columns } = config;
  const tower = "vision_tower.vision_model";
  const projector = "multi_modal_projector";
  const g = new TowerBuilder();
  let rows = hasClassRow
    ? clipRows(g, config, tower, channelScale)
    : siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const segments = g.segments("cu_seqlens");
  const features = new Map<number, ValueId>();
  let first = 0;
  for (const end of [...featureLayers].sort((a, b) => a - b)) {
    rows = siglipEncoder(g, rows, config, { name: tower, first, end, segments });
    first = end;
    const name = `${projector}.features.${end}`;
    const patches = hasClassRow ? g.patchesOf(rows, `${name}.patches`) : rows;
    // Before the MLP, which then skips the patches of padding, and as the frames of a clip are pooled.
    features.set(end, g.resampleRows(patches, name));
  }
  const selected = featureLayers.map((layer) => features.get(layer) as ValueId);
  const wide = g.linearOfColumns(selected, `${projector}.linear_1`, columns, { bias });
  const activated = g.activation(wide, `${projector}.act`, activationOf(config.projector_hidden_act));
  const projected = g.linear(activated, `${projector}.linear_2`, columns, { bias });
  const newline = g.weight("image_newline", [1, columns], { stored: [columns] });
  return g.build([g.orderTokens(projected, newline, "image_newline.rows")]);
}
