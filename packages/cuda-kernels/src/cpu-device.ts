/** The CPU device: runs anywhere, and is the oracle for every other backend. */
import { VitgraphError } from "@vitgraph/errors";
import type { Device } from "./device.js";
import { checkOptions } from "./device-options.js";
import { fromNative, requireAddon } from "./native.js";
import { wrapNativeDevice } from "./native-device.js";

export interface CpuDeviceOptions {
  /** Threads that share a run's work. Default: the physical cores that this process may use. */
  readonly threads?: number;
  /** Default: the best instruction set that the processor runs. The others are for tests and comparisons. */
  readonly simd?: "auto" | "avx512" | "avx2" | "sse2" | "neon";
  /**
   * Who multiplies matrices: vitgraph's own loops ("blocked"), or OpenBLAS where the addon was built with it. Default: the
   * own ones where the processor has AVX2 or AVX-512, where they are the faster; elsewhere OpenBLAS, if it is there.
   */
  readonly gemm?: "auto" | "openblas" | "blocked";
}

export const CPU_OPTIONS = ["threads", "simd", "gemm"] as const satisfies (keyof CpuDeviceOptions)[];

/**
 * @throws VG_BACKEND_UNAVAILABLE where the addon is not built or cannot be loaded; VG_ARGUMENT_INVALID.
 */
export function createCpuDevice(options: CpuDeviceOptions = {}): Device {
  checkOptions("createCpuDevice", options, CPU_OPTIONS);
  const { threads, simd = "auto", gemm = "auto" } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `threads is ${threads}, which is not a whole number from 1 to 1024`,
      {
        remedy: "leave it out to use every physical core",
      },
    );
  }
  const addon = requireAddon("cpu");
  try {
    return wrapNativeDevice(addon.createDevice({ threads: threads ?? 0, simd, gemm }));
  } catch (error) {
    throw fromNative(error);
  }
}
