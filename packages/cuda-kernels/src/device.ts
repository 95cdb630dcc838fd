/**
 * The device interface: memory, and programs that run over it. CPU, CUDA and null devices implement it.
 *
 * Submissions of one device run in the order in which they were made, on the device's own threads: JavaScript's thread
 * only submits and receives promises. On CUDA the uploads of one run and the downloads of another overlap with the
 * computation of a third. Every handle is disposable; `liveHandles` counts those that were not disposed.
 */
import type { KernelName } from "./kernels.js";
import type { ArenaName, DType, Program } from "./program.js";

/** What a device is, for messages and as data. */
export interface DeviceInfo {
  readonly backend: "cpu" | "cuda" | "null";
  /** For messages: "AMD EPYC, 2 threads, AVX-512, OpenBLAS" or "NVIDIA H200, 132 multiprocessors, CUDA 13.0". */
  readonly name: string;
  /** The same as data. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

/** Memory, and threads that run programs on it in order. */
export interface Device extends Disposable {
  readonly info: DeviceInfo;
  /** The dtype of values between kernels. */
  readonly activationDType: DType;
  /** The dtype that weights must have; null if the backend reads f32, f16 and bf16. */
  readonly weightDType: DType | null;
  /** The kernels of this backend: the compiler fuses only into these. */
  readonly kernels: ReadonlySet<KernelName>;

  /**
   * Memory of `sizeBytes`, aligned to 256 bytes. On the CPU, pages that are never touched cost nothing.
   * @throws VG_DEVICE_OUT_OF_MEMORY with the requested and the free size
   */
  allocate(sizeBytes: number): Arena;
  /** Of the whole device, including other processes. */
  memory(): DeviceMemory;
  /**
   * Memory of at least `sizeBytes` that other processes map; null if the backend can't share memory with them.
   * @throws VG_DEVICE_OUT_OF_MEMORY; VG_DEVICE_FAILED if the system does not allow CUDA IPC
   */
  exportMemory(sizeBytes: number): ExportedMemory | null;
  /** Copies `bytes` to `offset` of the arena. They are copied at the call, so the array may change afterwards. */
  upload(arena: Arena, offset: number, bytes: Uint8Array): Promise<void>;
  /** Sets every byte of the arena; 0xff makes every float a NaN, for self-checks. */
  fill(arena: Arena, byte: number): Promise<void>;
  /**
   * Decodes and validates the program once, against these arenas.
   * @throws VG_PROGRAM_INVALID naming the instruction and the fault; VG_DEVICE_OUT_OF_MEMORY if the program needs more
   *   memory, besides the arenas, than there is
   */
  load(program: Program, arenas: ProgramArenas): Executable;
  /** Arenas, executables and exported memory that were created and not yet disposed. */
  liveHandles(): number;
}

/** Of the whole device, other processes included. */
export interface DeviceMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}
/** The cache may be absent for programs that do not use it. */
export type ProgramArenas = Readonly<Record<Exclude<ArenaName, "cache">, Arena>> & { readonly cache?: Arena };

/** A block of device memory. */
export interface Arena extends Disposable {
  readonly sizeBytes: number;
}

/**
 * A plain block of device memory. Dispose it after the other processes have unmapped it: under CUDA, what they read later
 * is undefined.
 */
export interface ExportedMemory extends Disposable {
  readonly sizeBytes: number;
  /** `cudaIpcMemHandle_t`, 64 bytes. */
  readonly handle: Uint8Array;
  /**
   * Copies `bytes` to `offset`, in parts, without waiting for runs. Other processes see them when the promise resolves;
   * the array must not change before.
   * @throws VG_ARGUMENT_INVALID, VG_DEVICE_FAILED, VG_DISPOSED (as a rejected promise)
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/** A place in one of the program's io buffers. A buffer may have several transfers. */
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

/** A range of an io buffer to return with the result. */
export interface OutputTransfer extends Place {
  readonly sizeBytes: number;
}

/** One run of a program: its row counts, and the transfers before and after it. */
export interface Submission {
  /** One count for each of the program's dims, none above its capacity. */
  readonly counts: readonly number[];
  /** Written before the run. The bytes are copied at the call, so the arrays may change afterwards. */
  readonly inputs: readonly InputTransfer[];
  /** Read after the run, before the next one starts. */
  readonly outputs: readonly OutputTransfer[];
}

/** The outputs of a run and its time. */
export interface RunResult {
  /** From the first kernel's start to the last one's end, in milliseconds on the device's clock. */
  readonly durationMs: number;
  /** The bytes of each output, each in its own new memory. */
  readonly outputs: readonly Uint8Array[];
  /**
   * For each output the index of its first element that is NaN or infinite, or -1. Checked on the device's threads, while
   * the bytes are in cache.
   */
  readonly firstNonFinite: readonly number[];
}

/** Durations of a capture's parts, in milliseconds. */
export interface CaptureTimes {
  /** Autotuning of the matrix products; close to 0 if the results were cached. */
  readonly measureMs: number;
  readonly captureMs: number;
}

/** A program that was loaded into a device's memory. */
export interface Executable extends Disposable {
  readonly program: Program;
  /** @throws VG_DEVICE_FAILED, VG_ARGUMENT_INVALID (as a rejected promise), VG_DISPOSED. */
  submit(submission: Submission): Promise<RunResult>;
  /**
   * Autotunes the program, warms it up and captures it as a graph: each later run is one launch. Resolves to null if the
   * backend has no graphs; submitting is the same either way.
   * @throws VG_DEVICE_FAILED (as a rejected promise)
   */
  capture(): Promise<CaptureTimes | null>;
}
