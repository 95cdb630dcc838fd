/** From image bytes to an item with the same uint8 levels as transformers' image processor. */
export { blockUnusedLoaders } from "./block-loaders.js";
export {
  DEFAULT_MAX_DECODE_BYTES,
  DEFAULT_MAX_PIXELS,
  type DecodeOptions,
  decodeImage,
  type OpenedImage,
  openImage,
  type Raster,
} from "./decode.js";
export type { ImageFormat } from "./image-format.js";
export {
  channelScale,
  type ImageProcessor,
  type ImageProcessorDefaults,
  resizeBounds,
  type VideoProcessor,
} from "./image-processor.js";
export * from "./process.js";
export {
  type ImageSize,
  type ResizeBounds,
  smartResize,
  smartResizeVideo,
  type VideoResizeBounds,
} from "./smart-resize.js";
