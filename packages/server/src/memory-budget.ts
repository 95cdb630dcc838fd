/**
 * Bytes that requests hold before and after the engine: bodies, fetched images, answers. The engine bounds what waits in
 * its queue; this bounds the memory in front of it.
 *
 * A full budget still accepts a caller within its share, the limit divided by the callers that hold memory: the rule of the
 * engine's admission.
 */
import { VitgraphError } from "@vitgraph/errors";

/** The memory of one request. A second release has no effect. */
export interface MemoryLease {
  /**
   * @returns gives these bytes back before the request ends, if it is disposed
   * @throws VG_QUEUE_FULL
   */
  take(bytes: number): Disposable;
  /** Gives all bytes back. */
  release(): void;
}

/** Bytes of one request that are released together. */
export class MemoryShare implements Disposable {
  readonly #memory: Pick<MemoryLease, "take">;
  readonly #taken: Disposable[] = [];

  constructor(memory: Pick<MemoryLease, "take">) {
    this.#memory = memory;
  }

  /** @throws VG_QUEUE_FULL */
  take(bytes: number): Disposable {
    const taken = this.#memory.take(bytes);
    this.#taken.push(taken);
    return taken;
  }

  [Symbol.dispose](): void {
    for (const taken of this.#taken) taken[Symbol.dispose]();
  }
}

export class MemoryBudget {
  readonly #limit: number;
  #held = 0;
  /** Bytes and requests of each caller. */
  readonly #callers = new Map<string, { bytes: number; requests: number }>();

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  open(caller: string): MemoryLease {
    const own = this.#callers.get(caller) ?? { bytes: 0, requests: 0 };
    own.requests += 1;
    this.#callers.set(caller, own);
    let held = 0;
    let isOpen = true;
    const add = (bytes: number) => {
      held += bytes;
      own.bytes += bytes;
      this.#held += bytes;
    };
    return {
      take: (bytes) => {
        let isTaken = isOpen;
        const giveBack = () => {
          if (isOpen && isTaken) add(-bytes);
          isTaken = false;
        };
        const taken = { [Symbol.dispose]: giveBack };
        if (!isOpen) return taken;
        if (this.#held + bytes > this.#limit && own.bytes + bytes > this.#limit / this.#callers.size)
          throw this.#full(bytes);
        add(bytes);
        return taken;
      },
      release: () => {
        if (!isOpen) return;
        isOpen = false;
        add(-held);
        own.requests -= 1;
        if (own.requests === 0) this.#callers.delete(caller);
      },
    };
  }

  #full(bytes: number): VitgraphError {
    return new VitgraphError(
      "VG_QUEUE_FULL",
      `requests hold ${this.#held} bytes, and there is no room for ${bytes} more (the limit is ${this.#limit})`,
      {
        remedy: "try again later, or raise maxRequestMemoryBytes of the server",
        details: { bytes, limit: this.#limit },
      },
    );
  }
}
