/**
 * The door of @vitgraph/cuda-kernels: run this program on this device.
 *
 * @module @vitgraph/cuda-kernels
 */
export { cacheDirectory } from "./cache-directory.js";
export { type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
export { BACKENDS, type BackendChoice, createDevice, type DeviceOptions } from "./create-device.js";
export { type CudaDeviceOptions, createCudaDevice } from "./cuda-device.js";
export * from "./device.js";
export { type BackendReport, type BackendsReport, describeBackends } from "./doctor.js";
export * from "./imaging.js";
export * from "./kernels.js";
export * from "./program.js";
export * from "./weights.js";
