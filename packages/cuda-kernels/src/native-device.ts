/** A Device over a native addon, the same for every backend. */
import { VitgraphError } from "@vitgraph/errors";
import type {
  Arena,
  CaptureTimes,
  Device,
  DeviceInfo,
  DeviceMemory,
  Executable,
  ExportedMemory,
  ProgramArenas,
  RunResult,
  Submission,
} from "./device.js";
import type { KernelName } from "./kernels.js";
import {
  fromNative,
  type NativeArena,
  type NativeDevice,
  type NativeExecutable,
  type NativeExportedMemory,
} from "./native.js";
import { type DType, encodeProgram, type Program } from "./program.js";
import { checkSubmission } from "./submission.js";

export function wrapNativeDevice(native: NativeDevice): Device {
  return new DeviceOverNative(native);
}

class DeviceOverNative implements Device {
  readonly info: DeviceInfo;
  readonly activationDType: DType;
  readonly weightDType: DType | null;
  readonly kernels: ReadonlySet<KernelName>;
  readonly #native: NativeDevice;

  constructor(native: NativeDevice) {
    const { backend, name, facts, activationDType, kernels } = native.info();
    this.info = { backend, name, facts };
    this.activationDType = activationDType;
    // The CPU widens weights of any dtype; tensor cores need both factors in one.
    this.weightDType = activationDType === "f32" ? null : activationDType;
    this.kernels = new Set(kernels);
    this.#native = native;
  }

  allocate(sizeBytes: number): Arena {
    return rethrowing(() => new ArenaOverNative(this.#native.allocate(sizeBytes), sizeBytes));
  }

  memory(): DeviceMemory {
    return rethrowing(() => this.#native.memory());
  }

  exportMemory(sizeBytes: number): ExportedMemory | null {
    return rethrowing(() => {
      const native = this.#native.exportMemory(sizeBytes);
      return native === null ? null : new ExportedMemoryOverNative(native);
    });
  }

  async upload(arena: Arena, offset: number, bytes: Uint8Array): Promise<void> {
    return settling(() => this.#native.upload({ arena: nativeArena(arena), offset, bytes }));
  }

  async fill(arena: Arena, byte: number): Promise<void> {
    return settling(() => this.#native.fill({ arena: nativeArena(arena), byte }));
  }

  load(program: Program, arenas: ProgramArenas): Executable {
    const words = encodeProgram(program);
    return rethrowing(() => {
      const { weights, io, scratch, cache } = arenas;
      const native = this.#native.load({
        words,
        weights: nativeArena(weights),
        io: nativeArena(io),
        scratch: nativeArena(scratch),
        ...(cache === undefined ? {} : { cache: nativeArena(cache) }),
      });
      return new ExecutableOverNative(native, program);
    });
  }

  liveHandles(): number {
    return this.#native.liveHandles();
  }

  [Symbol.dispose](): void {
    this.#native.dispose();
  }
}

class ArenaOverNative implements Arena {
  readonly native: NativeArena;
  readonly sizeBytes: number;

  constructor(native: NativeArena, sizeBytes: number) {
    this.native = native;
    this.sizeBytes = sizeBytes;
  }

  [Symbol.dispose](): void {
    this.native.dispose();
  }
}

class ExportedMemoryOverNative implements ExportedMemory {
  readonly sizeBytes: number;
  readonly handle: Uint8Array;
  readonly #native: NativeExportedMemory;
  readonly #mostBytes: number;
  /** Settles when the writes so far have ended. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(native: NativeExportedMemory) {
    const { handle, sizeBytes, mostBytes } = native.info();
    this.handle = handle;
    this.sizeBytes = sizeBytes;
    this.#mostBytes = mostBytes;
    this.#native = native;
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    const { length } = bytes;
    const written = this.#tail.then(() => this.#writeParts(offset, bytes, length));
    this.#tail = written.catch(() => {});
    return written;
  }

  /** @param length of the bytes at the call */
  async #writeParts(offset: number, bytes: Uint8Array, length: number): Promise<void> {
    for (let at = 0; at < length; at += this.#mostBytes) {
      if (bytes.length !== length) {
        throw new VitgraphError(
          "VG_ARGUMENT_INVALID",
          "the bytes of a write to exported memory were transferred or shrunk before they were copied",
          { remedy: "leave them as they are until the promise settles" },
        );
      }
      const part = bytes.subarray(at, at + this.#mostBytes);
      await settling(() => this.#native.write({ offset: offset + at, bytes: part }));
    }
  }

  [Symbol.dispose](): void {
    this.#native.dispose();
  }
}

class ExecutableOverNative implements Executable {
  readonly program: Program;
  readonly #native: NativeExecutable;

  constructor(native: NativeExecutable, program: Program) {
    this.program = program;
    this.#native = native;
  }

  async submit(submission: Submission): Promise<RunResult> {
    checkSubmission(this.program, submission);
    const { counts, inputs, outputs } = submission;
    return settling(() => this.#native.submit({ counts: Uint32Array.from(counts), inputs, outputs }));
  }

  capture(): Promise<CaptureTimes | null> {
    return settling(() => this.#native.capture());
  }

  [Symbol.dispose](): void {
    this.#native.dispose();
  }
}

function nativeArena(arena: Arena): NativeArena {
  if (arena instanceof ArenaOverNative) return arena.native;
  throw new VitgraphError("VG_ARGUMENT_INVALID", "the arena was not made by a native device", {
    remedy: "pass what this device's allocate returned",
  });
}

function rethrowing<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}

async function settling<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}
