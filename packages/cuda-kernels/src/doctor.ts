/** The backends as plain data, for `vitgraph doctor`: which are usable, which is chosen, and why the others are not usable. */
import { VitgraphError } from "@vitgraph/errors";
import { createCpuDevice } from "./cpu-device.js";
import { createCudaDevice } from "./cuda-device.js";
import type { Device, DeviceInfo } from "./device.js";
import { ADDON_REMEDIES, loadAddon, reasonsOf } from "./native.js";

/** Every backend, and the one that `auto` takes. */
export interface BackendsReport {
  /** The backend of `backend: "auto"`; null if none is usable. */
  readonly chosen: BackendName | null;
  readonly backends: Readonly<Record<BackendName, BackendReport>>;
}

/** Whether a backend is usable: its device, or the reasons and the remedy. */
export type BackendReport =
  | { readonly usable: true; readonly addonPath: string; readonly device: DeviceInfo }
  | { readonly usable: false; readonly reasons: readonly string[]; readonly remedy: string };

/** Best first: `auto` takes the first usable one. */
export const BACKEND_PREFERENCE = ["cuda", "cpu"] as const;
export type BackendName = (typeof BACKEND_PREFERENCE)[number];

/**
 * Which backends are usable, why the others are not, and which one `auto` takes. Opens and closes a device of each.
 */
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
