/** What a row of the table of families holds. */
import type { ImageProcessorDefaults, VideoProcessor } from "../images/image-processor.js";
import type { VisionModel } from "./vision-model.js";

export interface ModelFamily {
  /** @throws VG_MODEL_INVALID where the config contradicts itself; VG_MODEL_UNSUPPORTED for what the family can't run */
  create(config: Readonly<Record<string, unknown>>): VisionModel;
  readonly images: ImageProcessorDefaults;
  /** Absent where the family has no videos. */
  readonly videos?: VideoProcessor;
}
