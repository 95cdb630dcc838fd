/** Reads the vision part of a MiniCPM-V 4.6 config.json: SigLIP, with a merger between two of its layers. */
import { describe, VitgraphError } from "@vitgraph/errors";
import { readTower, SIGLIP_DEFAULTS } from "../tower-config.js";
import {
  readTextConfigOf,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Defaults of transformers' language model. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { qwen3_5_text: { hidden_size: 4096 } };

export type MiniCPMConfig = ReturnType<typeof readMiniCPMConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readMiniCPMConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  refuseOther("downsample_mode", checkpointConfig.downsample_mode, "16x");
  refuseOther("merger_times", checkpointConfig.merger_times, 1);
  refuseOther("drop_vision_last_layer", checkpointConfig.drop_vision_last_layer, false);
  refuseOther("merge_kernel_size", checkpointConfig.merge_kernel_size, [2, 2]);
  refuseOther("vision_config.window_kernel_size", visionConfig.window_kernel_size, [2, 2]);
  const vision = readTower(visionConfig, SIGLIP_DEFAULTS);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = Math.floor(vision.image_size / vision.patch_size);
  if (side < 1)
    throw wrongConfig("vision_config.image_size", vision.image_size, `at least ${vision.patch_size}`);
  const { insert_layer_id: layer = 6 } = checkpointConfig;
  if (!Number.isInteger(layer) || !((layer as number) >= 0 && (layer as number) < vision.num_hidden_layers)) {
    throw new VitgraphError("VG_MODEL_INVALID", `insert_layer_id is ${describe(layer)}`, {
      remedy: `expected a layer below num_hidden_layers, which is ${vision.num_hidden_layers}; check the checkpoint's config.json`,
    });
  }
  return {
    ...vision,
    text_hidden_size: text.hidden_size,
    /** Layers before the merger. */
    layersBefore: (layer as number) + 1,
    /** Cells along one side of the position table. */
    side,
  };
}
