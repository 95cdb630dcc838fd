/** How each model family places images and videos in a prompt, by transformers' `model_type`. */
import { describe, VitgraphError } from "@vitgraph/errors";

export interface PromptFamily {
  /** The control token that the template writes for an image, and what stands around the rows in its place. */
  readonly image: Placeholder;
  readonly video?: Placeholder & {
    /**
     * `timestamps`: each temporal patch is written like an image, after its time in seconds. `grid`: one block with
     * positions along time, `seconds` between temporal patches scaled by the config's tokens_per_second.
     */
    readonly layout: "timestamps" | "grid" | "grid in seconds";
  };
  /** Time, row and column for each row; otherwise rows have consecutive positions. */
  readonly mrope: boolean;
  /** Whether rows of an image attend to each other both ways. */
  readonly bidirectional: boolean;
}

interface Placeholder {
  readonly token: string;
  readonly before: readonly PromptText[];
  readonly after: readonly PromptText[];
}

/** Text, or a control token by its name. */
export type PromptText = { readonly text: string } | { readonly control: string };

const QWEN_IMAGE = { token: "<|image_pad|>", before: [], after: [] } as const;
const QWEN_VIDEO = { token: "<|video_pad|>", before: [], after: [] } as const;
const qwen = (layout: "timestamps" | "grid" | "grid in seconds"): PromptFamily => ({
  image: QWEN_IMAGE,
  video: { ...QWEN_VIDEO, layout },
  mrope: true,
  bidirectional: false,
});

const FAMILIES: Readonly<Record<string, PromptFamily>> = {
  qwen2_vl: qwen("grid"),
  qwen2_5_vl: qwen("grid in seconds"),
  qwen3_vl: qwen("timestamps"),
  qwen3_vl_moe: qwen("timestamps"),
  qwen3_5: qwen("timestamps"),
  qwen3_5_moe: qwen("timestamps"),
  gemma3: {
    image: {
      token: "<start_of_image>",
      before: [{ text: "\n\n" }, { control: "<start_of_image>" }],
      after: [{ control: "<end_of_image>" }, { text: "\n\n" }],
    },
    mrope: false,
    bidirectional: true,
  },
};

/** @throws VG_MODEL_UNSUPPORTED */
export function promptFamily(modelType: unknown): PromptFamily {
  const family =
    typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family !== undefined) return family;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `model_type ${describe(modelType)} has no chat with llama.cpp here`,
    { remedy: `supported: ${Object.keys(FAMILIES).join(", ")}` },
  );
}
