/** The door of @vitgraph/cuda-kernels: run this program on this device. */
export * from "./device.js";
export * from "./kernels.js";
export * from "./program.js";
