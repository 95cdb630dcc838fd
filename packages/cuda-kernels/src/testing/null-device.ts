/**
 * A device that runs nothing: it validates programs, keeps what it was handed, and answers in order. For tests of
 * compilers, planners, schedulers and runtimes, which then need no native code.
 *
 * Outputs are zeros, unless `respond` fills them in.
 */
import { VitgraphError } from "@vitgraph/errors";
import type {
  Arena,
  Device,
  DeviceInfo,
  DeviceMemory,
  Executable,
  InputTransfer,
  OutputTransfer,
  ProgramArenas,
  RunResult,
  Submission,
} from "../device.js";
import { KERNEL_NAMES, type KernelName } from "../kernels.js";
import type { DType, Program } from "../program.js";
import { checkSubmission } from "../submission.js";
import { validateProgram } from "./validate.js";

/** Options of a null device: its kernels, its dtype, its memory and its results. */
export interface NullDeviceOptions {
  /** Default: all. */
  readonly kernels?: readonly KernelName[];
  /** Default: f32, as the CPU's. */
  readonly activationDType?: DType;
  /** Bytes that `allocate` hands out before it is out of memory. Default: no limit. */
  readonly memoryBytes?: number;
  /** Called for each submission in its turn: may write to the outputs, and what it throws rejects the submission. */
  readonly respond?: (submission: RunningSubmission, program: Program) => void | Promise<void>;
}

/** A submission with the memory of its outputs. */
export interface RunningSubmission extends Submission {
  readonly outputs: readonly (OutputTransfer & { readonly bytes: Uint8Array })[];
}

export interface NullDevice extends Device {
  /** Programs in the order in which they were loaded. */
  readonly loaded: readonly Program[];
  /** Submissions in the order in which they ran, with copies of their inputs. */
  readonly submissions: readonly RecordedSubmission[];
  /** Uploads and fills, in order. */
  readonly writes: readonly RecordedWrite[];
}

/** A submission that a null device received. */
export interface RecordedSubmission {
  readonly program: Program;
  readonly counts: readonly number[];
  readonly inputs: readonly InputTransfer[];
}

/** A write to the memory of a null device: bytes from the host, or one byte repeated. */
export type RecordedWrite =
  | { readonly kind: "upload"; readonly arena: Arena; readonly offset: number; readonly sizeBytes: number }
  | { readonly kind: "fill"; readonly arena: Arena; readonly byte: number };

/** A device that computes nothing: it checks and records programs, uploads and runs. Needs no addon. */
export function createNullDevice(options: NullDeviceOptions = {}): NullDevice {
  return new RecordingDevice(options);
}

class RecordingDevice implements NullDevice {
  readonly info: DeviceInfo = { backend: "null", name: "null device", facts: {} };
  readonly activationDType: DType;
  readonly weightDType: DType | null;
  readonly kernels: ReadonlySet<KernelName>;
  readonly loaded: Program[] = [];
  readonly submissions: RecordedSubmission[] = [];
  readonly writes: RecordedWrite[] = [];
  readonly #options: NullDeviceOptions;
  readonly #handles = new Set<object>();
  /** Handles of each arena's memory: its own, and those of the executables over it. */
  readonly #holders = new Map<Arena, number>();
  /** Settles when everything that was handed over has been answered: one at a time, in order. */
  #tail: Promise<unknown> = Promise.resolve();
  #usedBytes = 0;
  #disposed = false;

  constructor(options: NullDeviceOptions) {
    this.activationDType = options.activationDType ?? "f32";
    this.weightDType = this.activationDType === "f32" ? null : this.activationDType;
    this.kernels = new Set(options.kernels ?? KERNEL_NAMES);
    this.#options = options;
  }

  allocate(sizeBytes: number): Arena {
    this.#checkOpen();
    const { freeBytes, totalBytes } = this.memory();
    if (sizeBytes > freeBytes) {
      throw new VitgraphError(
        "VG_DEVICE_OUT_OF_MEMORY",
        `the null device was asked for ${sizeBytes} bytes, and ${freeBytes} of ${totalBytes} are free`,
        { remedy: "raise memoryBytes" },
      );
    }
    this.#usedBytes += sizeBytes;
    const arena: Arena = {
      sizeBytes,
      [Symbol.dispose]: () => {
        if (this.#handles.delete(arena)) this.#letGo(arena);
      },
    };
    this.#handles.add(arena);
    this.#hold(arena);
    return arena;
  }

  memory(): DeviceMemory {
    this.#checkOpen();
    const { memoryBytes = Number.POSITIVE_INFINITY } = this.#options;
    return { freeBytes: memoryBytes - this.#usedBytes, totalBytes: memoryBytes };
  }

  exportMemory(): null {
    return null;
  }

  async upload(arena: Arena, offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkArena(arena);
    const sizeBytes = bytes.byteLength;
    if (offset < 0 || offset + sizeBytes > arena.sizeBytes) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `${sizeBytes} bytes at offset ${offset} do not fit an arena of ${arena.sizeBytes}`,
      );
    }
    return this.#inTurn(() => {
      this.writes.push({ kind: "upload", arena, offset, sizeBytes });
    });
  }

  async fill(arena: Arena, byte: number): Promise<void> {
    this.#checkArena(arena);
    return this.#inTurn(() => {
      this.writes.push({ kind: "fill", arena, byte });
    });
  }

  load(program: Program, arenas: ProgramArenas): Executable {
    const held = new Set(Object.values(arenas).filter((arena) => arena !== undefined));
    for (const arena of held) this.#checkArena(arena);
    validateProgram(program, { activationDType: this.activationDType, kernels: this.kernels, arenas });
    this.loaded.push(program);
    const executable: Executable = {
      program,
      submit: (submission) => this.#submit(executable, submission),
      capture: async () => null,
      [Symbol.dispose]: () => {
        if (this.#handles.delete(executable)) for (const arena of held) this.#letGo(arena);
      },
    };
    this.#handles.add(executable);
    for (const arena of held) this.#hold(arena);
    return executable;
  }

  liveHandles(): number {
    return this.#handles.size;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
  }

  async #submit(executable: Executable, submission: Submission): Promise<RunResult> {
    this.#checkOpen();
    if (!this.#handles.has(executable)) throw disposed("an executable");
    const { program } = executable;
    checkSubmission(program, submission);
    const counts = [...submission.counts];
    const inputs = submission.inputs.map((input) => ({ ...input, bytes: input.bytes.slice() }));
    const outputs = submission.outputs.map((output) => ({
      ...output,
      bytes: new Uint8Array(output.sizeBytes),
    }));
    return this.#inTurn(async () => {
      this.submissions.push({ program, counts, inputs });
      await this.#options.respond?.({ counts, inputs, outputs }, program);
      const bytes = outputs.map((output) => output.bytes);
      return { durationMs: 0, outputs: bytes, firstNonFinite: bytes.map(() => -1) };
    });
  }

  #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => {});
    return done;
  }

  /** As in native code, the last holder of an arena frees its memory. */
  #hold(arena: Arena): void {
    this.#holders.set(arena, (this.#holders.get(arena) ?? 0) + 1);
  }

  #letGo(arena: Arena): void {
    const left = (this.#holders.get(arena) as number) - 1;
    this.#holders.set(arena, left);
    if (left > 0) return;
    this.#holders.delete(arena);
    this.#usedBytes -= arena.sizeBytes;
  }

  #checkOpen(): void {
    if (this.#disposed) throw disposed("a device");
  }

  #checkArena(arena: Arena): void {
    this.#checkOpen();
    if (!this.#handles.has(arena)) throw disposed("an arena");
  }
}

function disposed(what: string): VitgraphError {
  return new VitgraphError("VG_DISPOSED", `${what} was used after it had been disposed`);
}
