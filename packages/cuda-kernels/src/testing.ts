/**
 * The entry point @vitgraph/cuda-kernels/testing: a device without native code, the validation of programs, and reference
 * results of every kernel. Re-exports only.
 *
 * @module @vitgraph/cuda-kernels/testing
 */
export { BF16_TOLERANCES, bf16Cases } from "./testing/bf16-cases.js";
export { decodeValues, encodeValues, roundValues } from "./testing/element-values.js";
export { referencePatchify, referenceResize } from "./testing/imaging-reference.js";
export {
  activationCase,
  attentionCase,
  type KernelCase,
  kernelCases,
  layernormCase,
  linearCase,
  ropeCase,
} from "./testing/kernel-cases.js";
export {
  createNullDevice,
  type NullDevice,
  type NullDeviceOptions,
  type RecordedSubmission,
  type RecordedWrite,
  type RunningSubmission,
} from "./testing/null-device.js";
export {
  type ReferenceInputs,
  type ReferenceMatrix,
  referenceActivation,
  referenceKernel,
} from "./testing/reference.js";
export {
  type CaseResult,
  type Deviation,
  deviationOf,
  F32_TOLERANCES,
  kernelCaseProgram,
  type LoadedCase,
  loadKernelCase,
  referenceOf,
  runKernelCase,
  type Tolerance,
  toleranceOf,
} from "./testing/run-case.js";
export { checkSegmentLists, type SegmentListResult } from "./testing/segment-lists.js";
export { type ValidationTarget, validateProgram } from "./testing/validate.js";
