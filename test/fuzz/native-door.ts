/**
 * The CPU addon as native code exports it, without the checks of @vitgraph/cuda-kernels before it: the types are those of
 * that package's src/native.ts, as far as fuzzing calls them.
 */
import { createRequire } from "node:module";
import { describeBackends } from "@vitgraph/cuda-kernels";

export interface NativeDoor {
  createDevice(options: unknown): NativeDevice;
  resizeFrame(request: unknown): Promise<Uint8Array>;
  patchifyFrames(request: unknown): Promise<Uint8Array>;
}

export interface NativeDevice {
  allocate(sizeBytes: number): NativeArena;
  upload(request: { arena: NativeArena; offset: number; bytes: Uint8Array }): Promise<void>;
  load(request: { words: Uint32Array } & Readonly<Record<string, unknown>>): NativeExecutable;
}

export interface NativeArena {
  dispose(): void;
}

export interface NativeExecutable {
  submit(submission: {
    counts: Uint32Array;
    inputs: readonly unknown[];
    outputs: readonly { buffer: number; sizeBytes: number }[];
  }): Promise<{ outputs: readonly Uint8Array[] }>;
  dispose(): void;
}

export function openNativeDoor(): NativeDoor {
  const { cpu } = describeBackends().backends;
  if (!cpu.usable) throw new Error(`the CPU addon cannot be loaded: ${cpu.reasons.join("; ")}`);
  return createRequire(import.meta.url)(cpu.addonPath) as NativeDoor;
}

/** The code of a native error. What has none is a bug: it is thrown on. */
export function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && code.startsWith("VG_") && code !== "VG_INTERNAL") return code;
  throw error;
}
