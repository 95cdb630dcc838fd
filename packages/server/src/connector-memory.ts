/**
 * Rows for vLLM's connector in GPU memory: a block of the engine's device that vLLM's worker on the same GPU has mapped (CUDA
 * IPC). Rows stay until the worker has copied them, or the scheduler's connector releases them.
 *
 * A vLLM engine has two connections: its worker maps memory, and its scheduler asks for rows, which are written to that
 * memory. Both name the engine.
 */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { type Embedding, type ExportedMemory, embeddingBytes } from "@vitgraph/core";
import { describe, VitgraphError } from "@vitgraph/errors";
import type { ServedEngine } from "./server-options.js";

/**
 * 8192 rows of 16 384 bf16 columns: 4096 for the merged embedding, and 4096 for each of three deepstack levels. Rows
 * beyond that go through shared memory.
 */
export const DEFAULT_MAPPED_BYTES = 256 * 2 ** 20;
/** The alignment of cudaMalloc. */
const ALIGNMENT = 256;

export interface RowsInMemory {
  readonly memory: string;
  readonly rows: number;
  readonly offset: number;
}

interface Slot {
  readonly rows: number;
  readonly offset: number;
  readonly bytes: number;
  /** The connection that asked for them. */
  readonly socket: Socket;
  isWritten: boolean;
}

/** The memory of one worker. */
export class MappedMemory {
  readonly id: string = randomUUID();
  /** vLLM's engine. */
  readonly vllm: string;
  readonly exported: ExportedMemory;
  /** By offset. */
  #slots: Slot[] = [];
  #count = 0;

  constructor(vllm: string, exported: ExportedMemory) {
    this.vllm = vllm;
    this.exported = exported;
  }

  /** bf16 [tokens, columns]; undefined if there is no room. @throws VG_DEVICE_FAILED */
  async write(embedding: Embedding, socket: Socket): Promise<RowsInMemory | undefined> {
    const bytes = embeddingBytes(embedding, "bf16");
    const slot = this.#reserve(bytes.length, socket);
    if (slot === undefined) return undefined;
    try {
      await this.exported.write(slot.offset, bytes);
    } catch (error) {
      this.release(slot.rows);
      throw error;
    }
    slot.isWritten = true;
    return { memory: this.id, rows: slot.rows, offset: slot.offset };
  }

  /** Does nothing for rows that were released. */
  release(rows: number | undefined): void {
    this.#slots = this.#slots.filter((slot) => slot.rows !== rows);
  }

  /** Releases the rows that a connection asked for. */
  releaseOf(socket: Socket): void {
    this.#slots = this.#slots.filter((slot) => slot.socket !== socket);
  }

  /** Connections that asked for the rows in this memory. */
  get sockets(): ReadonlySet<Socket> {
    return new Set(this.#slots.filter(({ isWritten }) => isWritten).map(({ socket }) => socket));
  }

  /** The first gap that is large enough. */
  #reserve(bytes: number, socket: Socket): Slot | undefined {
    let offset = 0;
    let index = 0;
    for (; index < this.#slots.length; index++) {
      const next = this.#slots[index] as Slot;
      if (offset + bytes <= next.offset) break;
      offset = Math.ceil((next.offset + next.bytes) / ALIGNMENT) * ALIGNMENT;
    }
    if (offset + bytes > this.exported.sizeBytes) return undefined;
    const slot = { rows: this.#count++, offset, bytes, socket, isWritten: false };
    this.#slots.splice(index, 0, slot);
    return slot;
  }
}

/** The memory of all workers. */
export class ConnectorMemory {
  readonly #engine: ServedEngine;
  readonly #sizeBytes: number;
  /** Mapped memory by vLLM's engine. */
  readonly #mapped = new Map<string, MappedMemory>();

  constructor(engine: ServedEngine, sizeBytes: number) {
    this.#engine = engine;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Memory for a worker to map.
   * @param gpu PCI bus id of the worker's GPU
   * @throws VG_BACKEND_UNAVAILABLE if the server computes elsewhere, VG_DEVICE_OUT_OF_MEMORY, VG_DEVICE_FAILED
   */
  offer(vllm: string, gpu: string): MappedMemory {
    const exported = this.#engine.exportMemory?.(gpu, this.#sizeBytes) ?? null;
    if (exported !== null) return new MappedMemory(vllm, exported);
    throw new VitgraphError(
      "VG_BACKEND_UNAVAILABLE",
      `vitgraph does not compute on the GPU ${describe(gpu)}`,
      {
        remedy: "start it on vLLM's GPU, with the CUDA backend",
      },
    );
  }

  /** Called when a worker has mapped the memory: from now on rows are written to it. */
  confirm(memory: MappedMemory): void {
    this.abandon(this.#mapped.get(memory.vllm));
    this.#mapped.set(memory.vllm, memory);
  }

  /** The memory that the worker of vLLM's engine has mapped. */
  of(vllm: string | undefined): MappedMemory | undefined {
    return this.#mapped.get(vllm ?? "");
  }

  /**
   * Stops writing rows to the memory. Schedulers with rows in it are disconnected, so that they drop the rows before the
   * worker unmaps the memory.
   */
  abandon(memory: MappedMemory | undefined): void {
    if (memory === undefined || this.#mapped.get(memory.vllm) !== memory) return;
    this.#mapped.delete(memory.vllm);
    for (const socket of memory.sockets) socket.destroy();
  }

  release(memory: string | undefined, rows: number | undefined): void {
    for (const mapped of this.#mapped.values()) if (mapped.id === memory) mapped.release(rows);
  }

  releaseOf(socket: Socket): void {
    for (const mapped of this.#mapped.values()) mapped.releaseOf(socket);
  }
}
