/**
 * The vision tower and projector of Command A Vision and Aya Vision, as transformers' SiglipVisionModel and
 * Cohere2VisionMultiModalProjector compute them: SigLIP, merged patches, and a gated MLP whose first product has the
 * columns of both factors. Command A Vision normalises the patches, Aya Vision the merged ones.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { Cohere2VisionConfig } from "./config.js";

export function buildCohere2VisionGraph(config: Cohere2VisionConfig, channelScale: Float32Array): Graph {
  const { merge, layers, adapter_layer_norm_eps: mergedEpsilon } = config;
  const tower = "vision_tower.vision_model";
  const projector = "multi_modal_projector";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const segments = g.segments("cu_seqlens");
  const encoded = siglipEncoder(g, placed, config, { name: tower, end: layers, segments });
  const patches =
    mergedEpsilon === undefined
      ? g.layernorm(encoded, `${tower}.post_layernorm`, config.layer_norm_eps)
      : encoded;
  const merged = g.mergeRows(patches, merge, projector);
  const rows =
    mergedEpsilon === undefined ? merged : g.layernorm(merged, `${projector}.layernorm`, mergedEpsilon);
  const [up, gate] = halves(g, rows, `${projector}.linear_1`, config.alignment_intermediate_size);
  const gated = g.add("gate", [gate, up], { function: "silu" }, `${projector}.act`);
  return g.build([g.linear(gated, `${projector}.linear_2`, config.text_hidden_size)]);
}

/** The two halves of the columns of a product, as two products. */
function halves(
  g: TowerBuilder,
  x: ValueId,
  name: string,
  columns: number,
): readonly [up: ValueId, gate: ValueId] {
  const width = columns / 2;
  const inner = g.typeOf(x).columns;
  const half = (part: string, index: number) => {
    const rows = (kind: "weight" | "bias", shape: readonly number[], rowLength: number) =>
      g.weight(`${name}.${part}.${kind}`, [width, ...shape], {
        parts: [`${name}.${kind}`],
        stored: [columns, ...shape],
        first: index * width * rowLength,
      });
    const operands = [x, rows("weight", [inner], inner), rows("bias", [], 1), null];
    return g.add("linear", operands, { activation: "none" }, `${name}.${part}`);
  };
  return [half("up", 0), half("gate", 1)];
}
