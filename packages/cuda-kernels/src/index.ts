/**
 * The entry point of @vitgraph/cuda-kernels: devices, programs, and work on pixels and weights. Re-exports only.
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
export {
  ARENAS,
  type ArenaName,
  type Dim,
  DTYPE_BYTES,
  type DType,
  encodeProgram,
  type Instruction,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
  printProgram,
  type RowCount,
} from "./program.js";
export * from "./weights.js";
