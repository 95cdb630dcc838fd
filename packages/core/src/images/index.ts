/** From image bytes to an item: what transformers' image processor does, to the uint8 level. */

export * from "./image-processor.js";
export * from "./smart-resize.js";
