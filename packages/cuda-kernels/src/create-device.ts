/** One device for a user's wish: `auto` takes the best backend that there is; a name takes that one, or fails. */
import { unreachable, VitgraphError } from "@vitgraph/errors";
import { type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
import type { Device } from "./device.js";
import { describeCuda } from "./doctor.js";

export const BACKENDS = ["auto", "cpu", "cuda"] as const;
export type BackendChoice = (typeof BACKENDS)[number];

export interface DeviceOptions extends CpuDeviceOptions {
  /** Default: `auto`. */
  readonly backend?: BackendChoice;
}

/**
 * @throws VG_BACKEND_UNAVAILABLE with every reason and the remedy. A backend that was named is never replaced by another.
 */
export function createDevice({ backend = "auto", ...options }: DeviceOptions = {}): Device {
  switch (backend) {
    // Until there is a faster backend, the best one is the one that runs anywhere.
    case "auto":
    case "cpu":
      return createCpuDevice(options);
    case "cuda": {
      const { reasons, remedy } = describeCuda();
      throw new VitgraphError(
        "VG_BACKEND_UNAVAILABLE",
        `the CUDA backend is not available (${reasons.join("; ")})`,
        { remedy, details: { backend, reasons } },
      );
    }
    default:
      return unreachable(backend, "backend");
  }
}
