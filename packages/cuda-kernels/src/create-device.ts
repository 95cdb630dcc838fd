/**
 * One device for a user's wish: `auto` takes the best backend that there is; a name takes that one, or fails. So does a
 * GPU's ordinal: it is never replaced by the CPU.
 */
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";
import { type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
import { type CudaDeviceOptions, createCudaDevice } from "./cuda-device.js";
import type { Device } from "./device.js";

export const BACKENDS = ["auto", "cpu", "cuda"] as const;
export type BackendChoice = (typeof BACKENDS)[number];

export interface DeviceOptions extends CpuDeviceOptions, CudaDeviceOptions {
  /** Default: `auto`. */
  readonly backend?: BackendChoice;
}

const OPTIONS = {
  backend: true,
  threads: true,
  simd: true,
  gemm: true,
  device: true,
  algorithmCache: true,
  programmaticLaunch: true,
} satisfies Record<keyof DeviceOptions, true>;

/**
 * @throws VG_BACKEND_UNAVAILABLE with every reason and the remedy, and a named backend is never replaced by another;
 *   VG_ARGUMENT_INVALID for an unknown option or value
 */
export function createDevice(given: DeviceOptions = {}): Device {
  checkOptions("createDevice", given, Object.keys(OPTIONS));
  const { backend = "auto", ...options } = given;
  switch (backend) {
    case "auto":
      return createBestDevice(options);
    case "cpu":
      return createCpuDevice(options);
    case "cuda":
      return createCudaDevice(options);
    default:
      throw new VitgraphError("VG_ARGUMENT_INVALID", `backend is ${describe(backend)}`, {
        remedy: `use one of ${BACKENDS.join(", ")}`,
      });
  }
}

function createBestDevice(options: Omit<DeviceOptions, "backend">): Device {
  try {
    return createCudaDevice(options);
  } catch (error) {
    // A machine without a GPU is nothing unusual, and `vitgraph doctor` tells the reason. Any other failure is one, and so
    // is a GPU that was asked for and is not there.
    if (!VitgraphError.is(error) || error.code !== "VG_BACKEND_UNAVAILABLE") throw error;
    if (options.device !== undefined) throw error;
    return createCpuDevice(options);
  }
}
