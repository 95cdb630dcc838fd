/** The CPU device: runs on every machine, and is the reference for the other backends. */
import { checkOptions, VitgraphError } from "@vitgraph/errors";
import type { Device } from "./device.js";
import { optionNames } from "./device-options.js";
import { fromNative, requireAddon } from "./native.js";
import { wrapNativeDevice } from "./native-device.js";

/** Options of a CPU device. */
export interface CpuDeviceOptions {
  /** Threads that share a run's work. Default: the physical cores that this process may use. */
  readonly threads?: number;
  /** Default: the best instruction set that the processor runs. The others are for tests and comparisons. */
  readonly simd?: "auto" | "avx512" | "avx2" | "sse2" | "neon";
  /**
   * The matrix products: vitgraph's own loops ("blocked"), or OpenBLAS if the addon was built with it. Default: the own
   * ones on processors with AVX2 or AVX-512, where they are faster; elsewhere OpenBLAS, if available.
   */
  readonly gemm?: "auto" | "openblas" | "blocked";
  /**
   * The dtype of matrix products' factors. "bf16" rounds activations and weights to bfloat16 and accumulates in float32;
   * it needs a processor with AVX512-BF16. Everything else, results included, is float32 either way. Default: "f32".
   */
  readonly dtype?: "f32" | "bf16";
}

export const CPU_OPTIONS = optionNames<CpuDeviceOptions>({ threads: 0, simd: 0, gemm: 0, dtype: 0 });

/**
 * Opens the CPU backend. Dispose of the device when done.
 *
 * @throws VG_BACKEND_UNAVAILABLE if the addon is not built or cannot be loaded; VG_ARGUMENT_INVALID; VG_DEVICE_FAILED if
 *   the system does not start the threads
 */
export function createCpuDevice(options: CpuDeviceOptions = {}): Device {
  checkOptions("createCpuDevice", options, CPU_OPTIONS);
  const { threads, simd = "auto", gemm = "auto", dtype = "f32" } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `threads is ${threads}, which is not a whole number from 1 to 1024`,
      {
        remedy: "leave it out to use every physical core",
      },
    );
  }
  if (dtype === "bf16" && gemm !== "auto") {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `gemm is "${gemm}" and dtype is "bf16"`, {
      remedy: "leave one of them out: bfloat16 products have loops of their own",
    });
  }
  const addon = requireAddon("cpu");
  try {
    const products = dtype === "bf16" ? "bf16" : gemm;
    return wrapNativeDevice(addon.createDevice({ threads: threads ?? 0, simd, gemm: products }));
  } catch (error) {
    throw fromNative(error);
  }
}
