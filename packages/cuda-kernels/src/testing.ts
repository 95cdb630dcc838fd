/** For tests against @vitgraph/cuda-kernels: a device without native code, and what a program must be. */
export {
  createNullDevice,
  type NullDevice,
  type NullDeviceOptions,
  type RecordedSubmission,
  type RecordedWrite,
} from "./testing/null-device.js";
export { type ValidationTarget, validateProgram } from "./testing/validate.js";
