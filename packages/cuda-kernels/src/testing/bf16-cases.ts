/** The op suite's cases as a backend takes them whose activations and weights are bf16. */
import { KERNELS, type KernelName } from "../kernels.js";
import { roundValues } from "./element-values.js";
import { type CaseMatrix, type KernelCase, kernelCases } from "./kernel-cases.js";
import type { Tolerance } from "./run-case.js";

/** Sizes of an attention head that the CUDA kernels have. */
const HEAD_SIZES: readonly number[] = [64, 72, 80, 96, 128];

/** A result is rounded to 8 bits at the end, by at most 2⁻⁸ of itself; everything before is f32. */
const ROUNDED_ONCE = { relativeL2: 4e-3, relativeMax: 5e-3, reason: "the rounding of the result to bf16" };

const COPIED = { relativeL2: 0, relativeMax: 0, reason: "nothing is computed" };
const ROUNDED_TWICE = {
  relativeL2: 6e-3,
  relativeMax: 8e-3,
  reason: "the product and its rotation are each rounded to bf16",
};

/** How far a bf16 kernel may be from its float64 reference, with the reason. */
export const BF16_TOLERANCES: Readonly<Record<KernelName, Tolerance>> = {
  unpack_patches: ROUNDED_ONCE,
  linear: ROUNDED_ONCE,
  linear_rope: ROUNDED_TWICE,
  layernorm: ROUNDED_ONCE,
  activation: ROUNDED_ONCE,
  add: ROUNDED_ONCE,
  interpolate_rows: ROUNDED_ONCE,
  rope: ROUNDED_ONCE,
  rope_qk: ROUNDED_ONCE,
  attention: {
    relativeL2: 6e-3,
    relativeMax: 1.5e-2,
    reason: "the weights of a row are rounded to bf16 before they meet the values, and the result once more",
  },
  rmsnorm: ROUNDED_ONCE,
  gate: ROUNDED_ONCE,
  gather_rows: COPIED,
  scatter_rows: COPIED,
  linear_gather_rows: ROUNDED_ONCE,
  mean_groups: ROUNDED_ONCE,
  linear_statistics: ROUNDED_ONCE,
  linear_norm: ROUNDED_ONCE,
  linear_norm_rope: ROUNDED_TWICE,
  assemble_rows: COPIED,
  rmsnorm_groups: ROUNDED_ONCE,
  clamp: COPIED,
  standardize: ROUNDED_ONCE,
};

/** The cases of every kernel with bf16 activations and weights. */
export function bf16Cases(): readonly KernelCase[] {
  return kernelCases("bf16")
    .filter(({ kernel, operands, scalars }) => {
      if (kernel !== "attention") return true;
      return HEAD_SIZES.includes(operands.q!.columns / scalars.heads!);
    })
    .map(withBf16Weights);
}

/** As the loader converts a checkpoint of another dtype. */
function withBf16Weights(kernelCase: KernelCase): KernelCase {
  const { buffers, operandTypes } = KERNELS[kernelCase.kernel] as {
    buffers: readonly string[];
    operandTypes: readonly string[];
  };
  const matrices: Record<string, CaseMatrix> = { ...kernelCase.matrices };
  for (const [index, operandType] of operandTypes.entries()) {
    const operand = kernelCase.operands[buffers[index]!.replace("?", "")];
    if (operand === undefined || !operandType.startsWith("weight")) continue;
    const matrix = matrices[operand.matrix]!;
    const values = matrix.values === undefined ? {} : { values: roundValues("bf16", matrix.values) };
    matrices[operand.matrix] = { ...matrix, dtype: "bf16", ...values };
  }
  return { ...kernelCase, matrices };
}
