/** The families that vitgraph knows, by transformers' `model_type`. Adding one is a folder and a row here. */
import { describe, shorten, VitgraphError } from "@vitgraph/errors";
import { createQwen3VL } from "./qwen3-vl/index.js";
import type { VisionModel } from "./vision-model.js";

type Config = Readonly<Record<string, unknown>>;

const FAMILIES: Readonly<Record<string, (config: Config) => VisionModel>> = {
  qwen3_vl: (config) => createQwen3VL(visionConfigOf(config)),
  // The same tower under a mixture-of-experts language model.
  qwen3_vl_moe: (config) => createQwen3VL(visionConfigOf(config)),
  qwen3_5: createQwen3_5,
  qwen3_5_moe: createQwen3_5,
  qwen3_omni_moe: createQwen3Omni,
};

/** Qwen3-VL's tower, but an absent list of deepstack layers means none. */
function createQwen3_5(config: Config): VisionModel {
  const vision = visionConfigOf(config);
  return createQwen3VL({ ...vision, deepstack_visual_indexes: vision.deepstack_visual_indexes ?? [] });
}

/** Qwen3-VL's tower within the thinker, with other names in its mergers. */
function createQwen3Omni(config: Config): VisionModel {
  return createQwen3VL(
    visionConfigOf(objectIn(config, "thinker_config", "thinker_config"), "thinker_config."),
    "qwen3_omni_moe",
    {
      prefixes: ["thinker.visual.", "visual."],
      renamed: [
        [/^deepstack_merger_list\./, "merger_list."],
        [/^(merger|merger_list\.\d+)\.norm\./, "$1.ln_q."],
        [/^(merger|merger_list\.\d+)\.linear_fc1\./, "$1.mlp.0."],
        [/^(merger|merger_list\.\d+)\.linear_fc2\./, "$1.mlp.2."],
      ],
    },
  );
}

const visionConfigOf = (config: Config, path = "") =>
  objectIn(config, "vision_config", `${path}vision_config`);

function objectIn(config: Config, key: string, path: string): Config {
  const value = config[key];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Config;
  throw new VitgraphError("VG_MODEL_INVALID", `config.json has no ${path} object`, {
    remedy: "use the checkpoint of the whole model, or of its vision tower with the config of the whole",
  });
}

/** @throws VG_MODEL_UNSUPPORTED naming the architecture; VG_MODEL_INVALID where the config contradicts itself. */
export function createVisionModel(config: Readonly<Record<string, unknown>>): VisionModel {
  const modelType = config.model_type;
  const family =
    typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family === undefined) {
    const architectures = Array.isArray(config.architectures)
      ? config.architectures.slice(0, 5).join(", ")
      : "none named";
    throw new VitgraphError(
      "VG_MODEL_UNSUPPORTED",
      `model_type ${describe(modelType)} (architectures: ${shorten(architectures)}) is not supported`,
      { remedy: `supported model types: ${Object.keys(FAMILIES).join(", ")}`, details: { modelType } },
    );
  }
  return family(config);
}
