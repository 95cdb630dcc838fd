/**
 * The models of transformers.js that take vitgraph's rows, by `model_type`: `Qwen2VLForConditionalGeneration` and its
 * subclasses, which get images as `pixel_values` with `image_grid_thw`. No other file of this package names a model.
 */
export const SUPPORTED_MODELS: readonly string[] = ["qwen2_vl", "qwen2_5_vl", "qwen3_5", "qwen3_5_moe"];
