/**
 * The models of transformers.js that take vitgraph's rows, by `model_type`: `Qwen2VLForConditionalGeneration` and the classes
 * that inherit from it, whose images are `pixel_values` with `image_grid_thw`. No other file of this package names one.
 */
export const SUPPORTED_MODELS: readonly string[] = ["qwen2_vl", "qwen2_5_vl", "qwen3_5", "qwen3_5_moe"];
