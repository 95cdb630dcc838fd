/**
 * What a backend offers: memory, and programs to run over it. One short contract for the CPU, CUDA and null devices.
 *
 * Submissions of one device run in the order in which they were made, on threads of its own: JavaScript's thread only
 * hands over and receives promises. Where the device can, the inputs of one arrive and the results of another leave while
 * a third runs. Every handle is disposable; `liveHandles` tells whether something was forgotten.
 */
import type { KernelName } from "./kernels.js";
import type { ArenaName, DType, Program } from "./program.js";

export interface DeviceInfo {
  readonly backend: "cpu" | "cuda" | "null";
  /** For people: "AMD EPYC, 2 threads, AVX-512, OpenBLAS" or "NVIDIA H200, 132 multiprocessors, CUDA 13.0". */
  readonly name: string;
  /** The same as data. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

export interface Device extends Disposable {
  readonly info: DeviceInfo;
  /** The dtype of values between kernels. */
  readonly activationDType: DType;
  /** The one dtype in which weights must be; null where the backend reads f32, f16 and bf16 alike. */
  readonly weightDType: DType | null;
  /** The kernels that this backend has: the compiler fuses only into these. */
  readonly kernels: ReadonlySet<KernelName>;

  /**
   * Memory of `sizeBytes`, aligned to 256 bytes. Pages that are never touched cost nothing where the system allows it.
   * @throws VG_DEVICE_OUT_OF_MEMORY saying what was asked for and what was free.
   */
  allocate(sizeBytes: number): Arena;
  /** Of the whole device, whoever uses it. */
  memory(): DeviceMemory;
  /**
   * Memory of at least `sizeBytes` that other processes map; null where the backend can't share memory with them.
   * @throws VG_DEVICE_OUT_OF_MEMORY; VG_DEVICE_FAILED where the system allows no CUDA IPC.
   */
  exportMemory(sizeBytes: number): ExportedMemory | null;
  /** Copies `bytes` to `offset` of the arena. They are taken at the call: what happens to the array later is no matter. */
  upload(arena: Arena, offset: number, bytes: Uint8Array): Promise<void>;
  /** Sets every byte of the arena; 0xff makes every float a NaN, for self-checks. */
  fill(arena: Arena, byte: number): Promise<void>;
  /**
   * Decodes and validates the program once, against these arenas.
   * @throws VG_PROGRAM_INVALID naming the instruction and what is wrong with it; VG_DEVICE_OUT_OF_MEMORY where there is
   * no room for what the program needs besides the arenas.
   */
  load(program: Program, arenas: ProgramArenas): Executable;
  /** Arenas, executables and exported memory that were made and not yet disposed. */
  liveHandles(): number;
}

export interface DeviceMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}
/** The cache may be left out by programs that keep nothing in it. */
export type ProgramArenas = Readonly<Record<Exclude<ArenaName, "cache">, Arena>> & { readonly cache?: Arena };

export interface Arena extends Disposable {
  readonly sizeBytes: number;
}

/** A plain block of device memory. Dispose it when the other processes have unmapped it: CUDA leaves undefined what they read later. */
export interface ExportedMemory extends Disposable {
  readonly sizeBytes: number;
  /** `cudaIpcMemHandle_t`, 64 bytes. */
  readonly handle: Uint8Array;
  /**
   * Copies `bytes` to `offset`, in parts; waits for no run. Other processes see them when it resolves. The array must not
   * change before.
   * @throws VG_ARGUMENT_INVALID, VG_DEVICE_FAILED, VG_DISPOSED (as a rejected promise)
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/** A place in one of the program's io buffers. A buffer may be part of several transfers. */
interface Place {
  /** Index into `Program.buffers`. Its rows must not be strided. */
  readonly buffer: number;
  /** Where in the buffer the bytes start: a multiple of its element's size. Default: 0. */
  readonly offsetBytes?: number;
}

/** Bytes for an io buffer. */
export interface InputTransfer extends Place {
  readonly bytes: Uint8Array;
}

/** Bytes of an io buffer that the run's result has. */
export interface OutputTransfer extends Place {
  readonly sizeBytes: number;
}

export interface Submission {
  /** One count for each of the program's dims, none above its capacity. */
  readonly counts: readonly number[];
  /** Written before the run. The bytes are taken at the call: what happens to the arrays later is no matter. */
  readonly inputs: readonly InputTransfer[];
  /** Read after the run, before the next one starts. */
  readonly outputs: readonly OutputTransfer[];
}

export interface RunResult {
  /** From the first kernel's start to the last one's end, in milliseconds, as the device's own clock has it. */
  readonly durationMs: number;
  /** The bytes of each output, in new memory that nobody else holds. */
  readonly outputs: readonly Uint8Array[];
  /**
   * For each output the index of its first element that is NaN or infinite, or -1. Looked at on the device's threads, for
   * the bytes are in the caches there.
   */
  readonly firstNonFinite: readonly number[];
}

/** How long the parts of readying a program took, in milliseconds. */
export interface CaptureTimes {
  /** Finding the fastest way of each matrix product; next to nothing where the answers were remembered. */
  readonly measureMs: number;
  readonly captureMs: number;
}

export interface Executable extends Disposable {
  readonly program: Program;
  /** @throws VG_DEVICE_FAILED, VG_ARGUMENT_INVALID (as a rejected promise), VG_DISPOSED. */
  submit(submission: Submission): Promise<RunResult>;
  /**
   * Readies the program for being replayed: it is measured, warmed up and captured, and each later run is one launch.
   * Resolves to null where the backend has no such thing; running is the same either way.
   * @throws VG_DEVICE_FAILED (as a rejected promise)
   */
  capture(): Promise<CaptureTimes | null>;
}
