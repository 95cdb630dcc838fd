/** The CUDA device: one NVIDIA GPU. Activations and weights are bf16; programs can be captured and replayed. */
import { join } from "node:path";
import { checkOptions } from "@vitgraph/errors";
import { cacheDirectory } from "./cache-directory.js";
import { cublasLtCandidates } from "./cublaslt.js";
import type { Device } from "./device.js";
import { optionNames } from "./device-options.js";
import { fromNative, requireAddon } from "./native.js";
import { wrapNativeDevice } from "./native-device.js";

/** Options of a CUDA device. */
export interface CudaDeviceOptions {
  /** Ordinal of the GPU, among those that CUDA_VISIBLE_DEVICES leaves. Default: 0. */
  readonly device?: number;
  /**
   * File of the autotune results of matrix products, by device, driver and shape; "" for none.
   * Default: `vitgraph/algorithms.tsv` in the user's cache directory.
   */
  readonly algorithmCache?: string;
  /** Programmatic dependent launch: a kernel is set up while the one before it ends. Default: true. */
  readonly programmaticLaunch?: boolean;
}

export const CUDA_OPTIONS = optionNames<CudaDeviceOptions>({
  device: 0,
  algorithmCache: 0,
  programmaticLaunch: 0,
});

/**
 * Opens a GPU. Dispose of the device when done.
 *
 * @throws VG_BACKEND_UNAVAILABLE if the addon is not built, or there is no GPU that it runs on; VG_ARGUMENT_INVALID;
 *   VG_DEVICE_OUT_OF_MEMORY; VG_DEVICE_FAILED
 */
export function createCudaDevice(options: CudaDeviceOptions = {}): Device {
  checkOptions("createCudaDevice", options, CUDA_OPTIONS);
  const { device = 0, programmaticLaunch = true } = options;
  const { algorithmCache = join(cacheDirectory(), "algorithms.tsv") } = options;
  const addon = requireAddon("cuda");
  try {
    const native = addon.createDevice({
      device,
      cublasLtCandidates: cublasLtCandidates(),
      algorithmCache,
      programmatic: programmaticLaunch,
    });
    return wrapNativeDevice(native);
  } catch (error) {
    throw fromNative(error);
  }
}
