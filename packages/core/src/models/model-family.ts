/** Types of the entries in the table of families and in the table of published models. */
import type { ImageProcessorDefaults, SizeSettings, VideoProcessor } from "../images/image-processor.js";
import type { VisionModel } from "./vision-model.js";

export interface ModelFamily {
  /** @throws VG_MODEL_INVALID if the config is inconsistent; VG_MODEL_UNSUPPORTED for unsupported values */
  create(config: Readonly<Record<string, unknown>>): VisionModel;
  readonly images: ImageProcessorDefaults;
  /** Without a processor file. Absent if the family does not support videos. */
  readonly videos?: VideoProcessor;
  /** Defaults of the keys that a processor file leaves out. Absent: those of `videos`. */
  readonly videosOfClass?: VideoProcessor;
  /** Like `images.sizes`, for video settings. */
  readonly videoSizes?: SizeSettings;
}

/** The keys of config.json that `createVisionModel` reads, and the processor settings. */
export interface ArchitectureConfig {
  readonly architectures: readonly string[];
  readonly model_type: string;
  readonly vision_config: Readonly<Record<string, unknown>>;
  readonly text_config?: Readonly<Record<string, unknown>>;
  readonly mm_tokens_per_image?: number;
  readonly scale_factor?: number;
  readonly projection_dim?: number;
  readonly image_grid_pinpoints?: readonly (readonly [height: number, width: number])[];
  readonly vision_feature_layer?: number | readonly number[];
  readonly vision_feature_select_strategy?: string;
  /** The checkpoint's preprocessor_config.json, if it differs from the family's defaults. */
  readonly preprocessor?: Readonly<Record<string, unknown>>;
}
