/**
 * The native addons: the places that are tried, their types, and the conversion of their errors. Importing this module
 * loads nothing: the first use does, once, and the reasons of failures are kept.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type ErrorCode, VitgraphError } from "@vitgraph/errors";
import type { CaptureTimes, DeviceMemory, InputTransfer, OutputTransfer, RunResult } from "./device.js";
import type { KernelName } from "./kernels.js";
import type { DType } from "./program.js";

/** What every addon exports. */
export interface NativeAddon<Options> {
  /** The version that the decoder reads: `PROGRAM_VERSION`. */
  readonly programVersion: number;
  createDevice(options: Options): NativeDevice;
}

/** The exports of the CPU addon. It is built everywhere, so it also has the work on the host. */
export interface NativeCpuAddon extends NativeImaging, NativeWeights, NativeAddon<NativeCpuOptions> {}

export interface NativeCpuOptions {
  /** 0 for the default. */
  readonly threads: number;
  readonly simd: string;
  readonly gemm: string;
}

export type NativeCudaAddon = NativeAddon<NativeCudaOptions>;

export interface NativeCudaOptions {
  readonly device: number;
  /** Paths and names of libcublasLt, tried in order. */
  readonly cublasLtCandidates: readonly string[];
  /** Empty for none. */
  readonly algorithmCache: string;
  readonly programmatic: boolean;
}

/** Bytes of an image, copied in parts. The request that it is passed to takes its memory. */
export interface NativeFrame {
  append(bytes: Uint8Array): void;
  dispose(): void;
}

/** Pixel work on libuv's pool, over copies of the arrays that the request brings; see src/imaging.ts. */
export interface NativeImaging {
  readonly Frame: new (sizeBytes: number) => NativeFrame;
  resizeFrame(request: {
    readonly rgb: Uint8Array | NativeFrame;
    readonly filter: string;
    readonly height: number;
    readonly width: number;
    readonly toHeight: number;
    readonly toWidth: number;
  }): Promise<Uint8Array>;
  patchifyFrames(request: {
    readonly frames: readonly (Uint8Array | NativeFrame)[];
    readonly filter: string;
    readonly height: number;
    readonly width: number;
    readonly toHeight: number;
    readonly toWidth: number;
    readonly patchSize: number;
    readonly mergeSize: number;
    readonly temporalPatchSize: number;
  }): Promise<Uint8Array>;
  cmykToRgb(request: {
    readonly pixels: number;
    readonly cmyk: Uint8Array | NativeFrame;
  }): Promise<Uint8Array>;
}

/** Work on weights on libuv's pool, over copies of the arrays that the request brings; see src/weights.ts. */
export interface NativeWeights {
  convertFloats(request: {
    readonly bytes: Uint8Array;
    readonly from: string;
    readonly to: string;
  }): Promise<Uint8Array>;
  foldNorm(request: {
    readonly weight: Uint8Array;
    readonly from: string;
    readonly to: string;
    readonly columns: number;
    readonly centred: boolean;
    readonly scale: Uint8Array;
    readonly shift?: Uint8Array;
    readonly bias?: Uint8Array;
  }): Promise<{ readonly weight: Uint8Array; readonly u: Uint8Array; readonly v: Uint8Array }>;
}

export interface NativeDevice {
  info(): NativeDeviceInfo;
  allocate(sizeBytes: number): NativeArena;
  memory(): DeviceMemory;
  exportMemory(sizeBytes: number): NativeExportedMemory | null;
  upload(request: {
    readonly arena: NativeArena;
    readonly offset: number;
    readonly bytes: Uint8Array;
  }): Promise<void>;
  fill(request: { readonly arena: NativeArena; readonly byte: number }): Promise<void>;
  load(request: {
    readonly words: Uint32Array;
    readonly weights: NativeArena;
    readonly io: NativeArena;
    readonly scratch: NativeArena;
    readonly cache?: NativeArena;
  }): NativeExecutable;
  liveHandles(): number;
  dispose(): void;
}

export interface NativeDeviceInfo {
  readonly backend: "cpu" | "cuda";
  readonly name: string;
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  readonly activationDType: DType;
  readonly kernels: readonly KernelName[];
}

/** Branded, since a plain object is not one; the addon checks the type tag. */
export interface NativeArena {
  readonly __brand: "NativeArena";
  dispose(): void;
}

export interface NativeExportedMemory {
  readonly __brand: "NativeExportedMemory";
  /** `mostBytes`: of one write. */
  info(): { readonly handle: Uint8Array; readonly sizeBytes: number; readonly mostBytes: number };
  /** One at a time. */
  write(request: { readonly offset: number; readonly bytes: Uint8Array }): Promise<void>;
  dispose(): void;
}

export interface NativeExecutable {
  readonly __brand: "NativeExecutable";
  submit(submission: {
    readonly counts: Uint32Array;
    readonly inputs: readonly InputTransfer[];
    readonly outputs: readonly OutputTransfer[];
  }): Promise<RunResult>;
  capture(): Promise<CaptureTimes | null>;
  dispose(): void;
}

export type LoadedAddon<Addon> =
  | { readonly found: true; readonly path: string; readonly addon: Addon }
  | { readonly found: false; readonly attempts: readonly LoadAttempt[] };

/** One place that was tried, and why it gave no addon. */
export interface LoadAttempt {
  readonly path: string;
  readonly reason: string;
}

/** Both `src` and `dist` lie beside `build`. */
const packageRoot = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const platform = `${process.platform}-${process.arch}`;
/** The packages with a prebuilt addon for this platform. */
const PREBUILT = {
  cpu: `@vitgraph/cuda-kernels-${platform}`,
  cuda: `@vitgraph/cuda-kernels-${platform}-cuda`,
} as const;

const build = `build it with \`node ${packageRoot}scripts/build-native.mjs\``;

/** What to do about an addon that is not there. */
export const ADDON_REMEDIES = {
  cpu: `install ${PREBUILT.cpu}, which npm leaves out with --omit=optional, or ${build}`,
  cuda: `install ${PREBUILT.cuda}, or install the CUDA toolkit (nvcc) and ${build}; or use backend "cpu"`,
} as const;

interface Addons {
  readonly cpu: NativeCpuAddon;
  readonly cuda: NativeCudaAddon;
}

const loaded: { [B in keyof Addons]?: LoadedAddon<Addons[B]> } = {};

/**
 * A backend's addon: the one that was built here, or else the one of the platform's package. `VITGRAPH_CPU_ADDON` or
 * `VITGRAPH_CUDA_ADDON` names a file to be taken instead.
 */
export function loadAddon<B extends keyof Addons>(backend: B): LoadedAddon<Addons[B]> {
  const known = loaded[backend];
  // Each image asks, and looking for a package takes a millisecond.
  if (known !== undefined) return known;
  const override = process.env[`VITGRAPH_${backend.toUpperCase()}_ADDON`];
  const built = ["Release", "Debug"].map((mode) => `${packageRoot}build/${mode}/vitgraph_${backend}.node`);
  const prebuilt = findPrebuilt(backend);
  const places = [...built, ...(prebuilt === undefined ? [] : [prebuilt])];
  const addon = loadFirst<Addons[B]>(override === undefined ? places : [override]);
  loaded[backend] = addon as (typeof loaded)[B];
  return addon;
}

/** @throws VG_BACKEND_UNAVAILABLE where the addon is not built or cannot be loaded. */
export function requireAddon<B extends keyof Addons>(backend: B): Addons[B] {
  const addon = loadAddon(backend);
  if (addon.found) return addon.addon;
  throw new VitgraphError(
    "VG_BACKEND_UNAVAILABLE",
    `the ${backend.toUpperCase()} backend cannot be loaded (${reasonsOf(addon.attempts).join("; ")})`,
    { remedy: ADDON_REMEDIES[backend], details: { backend, attempts: addon.attempts } },
  );
}

export function reasonsOf(attempts: readonly LoadAttempt[]): readonly string[] {
  return attempts.map(({ path, reason }) => `${path}: ${reason}`);
}

/** The addon's file in the platform's package, if that is installed. */
function findPrebuilt(backend: keyof Addons): string | undefined {
  try {
    return require.resolve(`${PREBUILT[backend]}/vitgraph_${backend}.node`);
  } catch {
    return undefined;
  }
}

function loadFirst<Addon>(paths: readonly string[]): LoadedAddon<Addon> {
  const attempts: LoadAttempt[] = [];
  for (const path of paths) {
    if (!existsSync(path)) {
      attempts.push({ path, reason: "there is no such file" });
      continue;
    }
    try {
      return { found: true, path, addon: require(path) as Addon };
    } catch (error) {
      attempts.push({ path, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { found: false, attempts };
}

/** A native error as a VitgraphError; any other value as it is. */
export function fromNative(error: unknown, details: Readonly<Record<string, unknown>> = {}): unknown {
  if (!(error instanceof Error) || !("fact" in error) || !("code" in error)) return error;
  const { code, fact, remedy } = error as Error & { code: ErrorCode; fact: string; remedy?: string };
  return new VitgraphError(code, fact, { details, ...(remedy === undefined ? {} : { remedy }) });
}
