/** The identity of an engine: everything that an embedding depends on besides its item. Part of every cache key. */
import { createHash } from "node:crypto";
import type { DecodeOptions } from "../images/index.js";
import type { LoadedModel } from "../models/load-model.js";

/** Settings besides the model that affect embeddings. */
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
