/** What `vitgraph doctor` says of the backends, as plain data: what was built, found and chosen, and why not the rest. */
import { VitgraphError } from "@vitgraph/errors";
import { createCpuDevice } from "./cpu-device.js";
import { createCudaDevice } from "./cuda-device.js";
import type { Device, DeviceInfo } from "./device.js";
import { ADDON_REMEDIES, loadAddon, reasonsOf } from "./native.js";

export interface BackendsReport {
  /** What `backend: "auto"` takes; null where nothing is usable. */
  readonly chosen: BackendName | null;
  readonly backends: Readonly<Record<BackendName, BackendReport>>;
}

export type BackendReport =
  | { readonly usable: true; readonly addonPath: string; readonly device: DeviceInfo }
  | { readonly usable: false; readonly reasons: readonly string[]; readonly remedy: string };

/** The backends, the best first: `auto` takes the first that is usable. */
export const BACKEND_PREFERENCE = ["cuda", "cpu"] as const;
export type BackendName = (typeof BACKEND_PREFERENCE)[number];

export function describeBackends(): BackendsReport {
  const backends = { cpu: describe("cpu", createCpuDevice), cuda: describe("cuda", createCudaDevice) };
  const chosen = BACKEND_PREFERENCE.find((name) => backends[name].usable) ?? null;
  return { chosen, backends };
}

function describe(backend: BackendName, create: () => Device): BackendReport {
  const loaded = loadAddon(backend);
  if (!loaded.found) {
    return { usable: false, reasons: reasonsOf(loaded.attempts), remedy: ADDON_REMEDIES[backend] };
  }
  try {
    using device = create();
    return { usable: true, addonPath: loaded.path, device: device.info };
  } catch (error) {
    if (!VitgraphError.is(error)) throw error;
    return { usable: false, reasons: [error.fact], remedy: error.remedy ?? "" };
  }
}
