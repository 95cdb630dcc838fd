/** What an embedding depends on besides its item: part of the key of everything that is kept by content. */
import { createHash } from "node:crypto";
import type { LoadedModel } from "../models/load-model.js";

/** @param computation how the devices compute */
export function engineIdentity(
  { fingerprint, vision, processor, videoProcessor }: LoadedModel,
  computation: { readonly dtype: string; readonly compile: boolean },
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
