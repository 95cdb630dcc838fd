/**
 * One device for a user's wish: `auto` takes the best backend that there is; a name takes that one, or fails. So does a
 * GPU's ordinal: it is never replaced by the CPU.
 */
import { unreachable, VitgraphError } from "@vitgraph/errors";
import { type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
import { type CudaDeviceOptions, createCudaDevice } from "./cuda-device.js";
import type { Device } from "./device.js";

export const BACKENDS = ["auto", "cpu", "cuda"] as const;
export type BackendChoice = (typeof BACKENDS)[number];

export interface DeviceOptions extends CpuDeviceOptions, CudaDeviceOptions {
  /** Default: `auto`. */
  readonly backend?: BackendChoice;
}

/**
 * @throws VG_BACKEND_UNAVAILABLE with every reason and the remedy. What was named is never replaced by another.
 */
export function createDevice({ backend = "auto", ...options }: DeviceOptions = {}): Device {
  switch (backend) {
    case "auto":
      return createBestDevice(options);
    case "cpu":
      return createCpuDevice(options);
    case "cuda":
      return createCudaDevice(options);
    default:
      return unreachable(backend, "backend");
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
