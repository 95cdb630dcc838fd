/** What `vitgraph doctor` says of the backends, as plain data: what was built, found and chosen, and why not the rest. */
import type { DeviceInfo } from "./device.js";
import { BUILD_REMEDY, loadCpuAddon } from "./native.js";
import { wrapNativeDevice } from "./native-device.js";

export interface BackendsReport {
  /** What `backend: "auto"` takes; null where nothing is usable. */
  readonly chosen: "cpu" | "cuda" | null;
  readonly backends: Readonly<Record<"cpu" | "cuda", BackendReport>>;
}

export type BackendReport =
  | { readonly usable: true; readonly addonPath: string; readonly device: DeviceInfo }
  | { readonly usable: false; readonly reasons: readonly string[]; readonly remedy: string };

export function describeBackends(): BackendsReport {
  const cpu = describeCpu();
  return { chosen: cpu.usable ? "cpu" : null, backends: { cpu, cuda: describeCuda() } };
}

export function describeCuda() {
  return {
    usable: false,
    reasons: ["this version of @vitgraph/cuda-kernels has no CUDA backend"],
    remedy: 'use backend "cpu" or "auto"',
  } as const satisfies BackendReport;
}

function describeCpu(): BackendReport {
  const loaded = loadCpuAddon();
  if (!loaded.found) {
    const reasons = loaded.attempts.map(({ path, reason }) => `${path}: ${reason}`);
    return { usable: false, reasons, remedy: BUILD_REMEDY };
  }
  using device = wrapNativeDevice(loaded.addon.createDevice({ threads: 0, simd: "auto", gemm: "auto" }));
  return { usable: true, addonPath: loaded.path, device: device.info };
}
