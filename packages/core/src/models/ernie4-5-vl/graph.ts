/**
 * ERNIE-4.5-VL's vision tower and resampler for still images, as transformers' Ernie4_5_VLMoeVisionTransformerPretrainedModel
 * and Ernie4_5_VLMoeVariableResolutionResamplerModel compute them: Qwen2-VL's blocks, a spatial merge of
 * patches, and a temporal merge of frames, which joins a still image with itself.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { qwen2VLBlocks } from "../qwen2-vl/graph.js";
import type { ErnieConfig } from "./config.js";

const TOWER = "vision_model";
const RESAMPLER = "resampler_model";

export function buildErnieGraph(config: ErnieConfig, channelScale: Float32Array): Graph {
  const { hidden_size: width, in_channels: channels, patch_size: patchSize, rms_norm_eps: epsilon } = config;
  const g = new TowerBuilder();
  const patches = { channels, temporal: 1, patchSize };
  const patchWeight = [width, channels * patchSize ** 2];
  const tower = { ...config, width, mlpWidth: config.intermediate_size, epsilon, patches, patchWeight };
  const encoded = g.layernorm(qwen2VLBlocks(g, `${TOWER}.`, tower, channelScale), `${TOWER}.ln`, epsilon);

  const merged = g.mergeRows(encoded, config.spatial_merge_size, RESAMPLER);
  const { columns } = g.typeOf(merged);
  const resample = (first: ValueId, name: string) => {
    const wide = g.activation(first, `${name}.1`, "gelu_erf");
    return g.layernorm(g.linear(wide, `${name}.2`, columns), `${name}.3`, epsilon);
  };
  const spatial = `${RESAMPLER}.spatial_linear`;
  const temporal = `${RESAMPLER}.temporal_linear`;
  const tokens = resample(g.linear(merged, `${spatial}.0`, columns), spatial);
  const joined = resample(joinedWithItself(g, tokens, `${temporal}.0`, config.temporal_merge_size), temporal);
  const projected = g.linear(joined, `${RESAMPLER}.mlp`, config.text_hidden_size);
  return g.build([g.rmsnorm(projected, `${RESAMPLER}.after_norm`, config.text_rms_norm_eps)]);
}

/** The product of [x | x | …] with the weight. It equals the product of x with the sum of the weight's column parts. */
function joinedWithItself(g: TowerBuilder, x: ValueId, name: string, times: number): ValueId {
  const { columns } = g.typeOf(x);
  const weight = g.weight(`${name}.weight`, [columns, columns], {
    stored: [columns, times * columns],
    summedColumns: columns,
  });
  const bias = g.weight(`${name}.bias`, [columns]);
  return g.add("linear", [x, weight, bias, null], { activation: "none" }, name);
}
