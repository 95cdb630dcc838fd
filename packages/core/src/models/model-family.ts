/** What a family has for the table of families, and for that of published models. */
import type { ImageProcessorDefaults, SizeSettings, VideoProcessor } from "../images/image-processor.js";
import type { VisionModel } from "./vision-model.js";

export interface ModelFamily {
  /** @throws VG_MODEL_INVALID where the config contradicts itself; VG_MODEL_UNSUPPORTED for what the family can't run */
  create(config: Readonly<Record<string, unknown>>): VisionModel;
  readonly images: ImageProcessorDefaults;
  /** Absent where the family has no videos. */
  readonly videos?: VideoProcessor;
  /** As `images.sizes`, for the settings of videos. */
  readonly videoSizes?: SizeSettings;
}

/** The parts of a config.json that `createVisionModel` reads, and of the file beside it. */
export interface ArchitectureConfig {
  readonly architectures: readonly string[];
  readonly model_type: string;
  readonly vision_config: Readonly<Record<string, unknown>>;
  readonly text_config?: Readonly<Record<string, unknown>>;
  readonly mm_tokens_per_image?: number;
  readonly scale_factor?: number;
  /** The checkpoint's preprocessor_config.json, where the family's defaults are those of another one. */
  readonly preprocessor?: Readonly<Record<string, unknown>>;
}
