/** From image bytes to an item: what transformers' image processor does, to the uint8 level. */
export {
  DEFAULT_MAX_PIXELS,
  type DecodeOptions,
  decodeImage,
  type OpenedImage,
  openImage,
  type Raster,
} from "./decode.js";
export type { ImageFormat } from "./image-format.js";
export * from "./image-processor.js";
export * from "./process.js";
export {
  type ImageSize,
  type ResizeBounds,
  smartResize,
  smartResizeVideo,
  type VideoResizeBounds,
} from "./smart-resize.js";
