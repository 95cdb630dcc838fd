/** Everything that an embedding depends on besides its item: part of every content key. */
import { createHash } from "node:crypto";
import type { DecodeOptions } from "../images/index.js";
import type { LoadedModel } from "../models/load-model.js";

/** How items become embeddings, besides the model. */
interface Computation extends Pick<DecodeOptions, "background"> {
  readonly dtype: string;
  readonly compile: boolean;
}

/**
 * A digest of everything that an embedding depends on besides its item: weights, processor settings, dtype, background. For
 * keys of stored embeddings.
 */
export function engineIdentity(
  { fingerprint, vision, processor, videoProcessor }: LoadedModel,
  computation: Computation,
): string {
  const text = JSON.stringify([
    fingerprint,
    vision.modelType,
    vision.config,
    processor,
    videoProcessor,
    computation,
  ]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
