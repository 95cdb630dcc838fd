/**
 * Creates a device by backend: `auto` takes the best one available; a backend's name or a GPU's ordinal takes that one or
 * fails, and is never replaced by the CPU.
 */
import { checkOptions, unreachable, VitgraphError } from "@vitgraph/errors";
import { CPU_OPTIONS, type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
import { CUDA_OPTIONS, type CudaDeviceOptions, createCudaDevice } from "./cuda-device.js";
import type { Device } from "./device.js";
import { checkChoice, pickOptions } from "./device-options.js";

/** Values of `--backend`. `auto` is CUDA if it is usable, or else the CPU. */
export const BACKENDS = ["auto", "cpu", "cuda"] as const;
/** A backend, or `auto`: CUDA if it runs here, else the CPU. */
export type BackendChoice = (typeof BACKENDS)[number];

/** Options of `createDevice`. Those of the other backend have no effect. */
export interface DeviceOptions extends CpuDeviceOptions, CudaDeviceOptions {
  /** Default: `auto`. */
  readonly backend?: BackendChoice;
}

const OPTIONS = ["backend", ...CPU_OPTIONS, ...CUDA_OPTIONS];

/**
 * Opens a device: memory and threads that run programs. Dispose of it when done.
 *
 * @throws VG_BACKEND_UNAVAILABLE with every reason and the remedy; VG_ARGUMENT_INVALID for an unknown backend or option;
 *   as {@link createCudaDevice} and {@link createCpuDevice}
 */
export function createDevice(choice: DeviceOptions = {}): Device {
  checkOptions("createDevice", choice, OPTIONS);
  const { backend = "auto" } = choice;
  checkChoice("backend", backend, BACKENDS, { gpu: "cuda", nvidia: "cuda" });
  const cpu: CpuDeviceOptions = pickOptions<CpuDeviceOptions>(choice, CPU_OPTIONS);
  const cuda: CudaDeviceOptions = pickOptions<CudaDeviceOptions>(choice, CUDA_OPTIONS);
  switch (backend) {
    case "auto":
      return createBestDevice(cpu, cuda);
    case "cpu":
      return createCpuDevice(cpu);
    case "cuda":
      return createCudaDevice(cuda);
    default:
      return unreachable(backend, "backend");
  }
}

function createBestDevice(cpu: CpuDeviceOptions, cuda: CudaDeviceOptions): Device {
  try {
    return createCudaDevice(cuda);
  } catch (error) {
    // A machine without a GPU is normal, and `vitgraph doctor` tells the reason. Any other failure is an error, and so is a
    // missing GPU that was asked for.
    if (!VitgraphError.is(error) || error.code !== "VG_BACKEND_UNAVAILABLE") throw error;
    if (cuda.device !== undefined) throw error;
    return createCpuDevice(cpu);
  }
}
