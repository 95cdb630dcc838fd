/**
 * The models for which vLLM accepts embeddings with their grid, as the gateway and the shared storage send them. No
 * other file of this package names a model.
 */
import { VitgraphError } from "@vitgraph/errors";

/** Models whose image placeholders vLLM sizes by `image_grid_thw`, by transformers' `model_type`. */
const GRID_MODELS: readonly string[] = [
  "qwen2_vl",
  "qwen2_5_vl",
  "qwen2_5_omni",
  "qwen3_vl",
  "qwen3_vl_moe",
  "qwen3_5",
  "qwen3_5_moe",
  "qwen3_omni_moe",
];

/** @throws VG_MODEL_UNSUPPORTED where vLLM does not take a model's embeddings by their grid */
export function checkGridModel(modelType: string): void {
  if (GRID_MODELS.includes(modelType)) return;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `vLLM takes no image_grid_thw for the model type ${modelType}`,
    { remedy: `use one of ${GRID_MODELS.join(", ")}` },
  );
}
