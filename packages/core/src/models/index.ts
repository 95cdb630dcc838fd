/** The families that vitgraph knows, by transformers' `model_type`. Adding one is a folder and a row here. */
import { VitgraphError } from "@vitgraph/errors";
import { quote } from "../weights/untrusted-json.js";
import { createQwen3VL } from "./qwen3-vl/index.js";
import type { VisionModel } from "./vision-model.js";

const FAMILIES: Readonly<Record<string, (visionConfig: Readonly<Record<string, unknown>>) => VisionModel>> = {
  qwen3_vl: createQwen3VL,
  // The same tower under a mixture-of-experts language model.
  qwen3_vl_moe: createQwen3VL,
  qwen3_5: createQwen3_5,
  qwen3_5_moe: createQwen3_5,
};

/** Qwen3-VL's tower, but an absent list of deepstack layers means none. */
function createQwen3_5(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  return createQwen3VL({
    ...visionConfig,
    deepstack_visual_indexes: visionConfig.deepstack_visual_indexes ?? [],
  });
}

/** @throws VG_MODEL_UNSUPPORTED naming the architecture; VG_MODEL_INVALID where the config contradicts itself. */
export function createVisionModel(config: Readonly<Record<string, unknown>>): VisionModel {
  const modelType = config.model_type;
  const family =
    typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family === undefined) {
    const architectures = Array.isArray(config.architectures)
      ? config.architectures.join(", ")
      : "none named";
    throw new VitgraphError(
      "VG_MODEL_UNSUPPORTED",
      `model_type ${quote(JSON.stringify(modelType ?? null))} (architectures: ${quote(architectures)}) is not supported`,
      { remedy: `supported model types: ${Object.keys(FAMILIES).join(", ")}`, details: { modelType } },
    );
  }
  const visionConfig = config.vision_config;
  if (typeof visionConfig !== "object" || visionConfig === null || Array.isArray(visionConfig)) {
    throw new VitgraphError("VG_MODEL_INVALID", "config.json has no vision_config object", {
      remedy: "use the checkpoint of the whole model, or of its vision tower with the config of the whole",
    });
  }
  return family(visionConfig as Record<string, unknown>);
}
