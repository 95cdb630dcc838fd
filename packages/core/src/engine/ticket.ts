/**
 * How long a call is waited for: until its caller cancels, its time is over, or the engine is closed. One ticket for
 * each call, shared by its items; the first of the three decides the error.
 */
import { describe, VitgraphError } from "@vitgraph/errors";
import { type Clock, onAbort } from "@vitgraph/scheduler";

export interface TicketOptions {
  readonly signal?: AbortSignal | undefined;
  /** From now. */
  readonly timeoutMs?: number | undefined;
  readonly clock: Clock;
}

export class Ticket implements Disposable {
  readonly #controller = new AbortController();
  #forget: () => void = () => {};

  /** @throws VG_ABORTED, VG_DEADLINE_EXCEEDED if it is over already; VG_ARGUMENT_INVALID */
  constructor({ signal, timeoutMs = Number.POSITIVE_INFINITY, clock }: TicketOptions) {
    checkSignal(signal);
    if (typeof timeoutMs !== "number" || Number.isNaN(timeoutMs)) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `timeoutMs is ${describe(timeoutMs)}`, {
        remedy: "give milliseconds from now: 500",
      });
    }
    if (signal?.aborted) throw abortedError(signal);
    if (timeoutMs <= 0) throw timeoutError(`timeoutMs is ${timeoutMs}: the call came too late`, timeoutMs);
    const stopWatching =
      signal === undefined ? () => {} : onAbort(signal, () => this.end(abortedError(signal)));
    const cancelTimer =
      timeoutMs === Number.POSITIVE_INFINITY
        ? () => {}
        : clock.after(timeoutMs, () => {
            this.end(timeoutError(`the call was not done within ${timeoutMs} ms`, timeoutMs));
          });
    this.#forget = () => {
      stopWatching();
      cancelTimer();
    };
  }

  /** Aborts when the call is over; its reason is the error. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(error: VitgraphError): void {
    this.#controller.abort(error);
    this.#forget();
  }

  /** Settles with the promise, or with the ticket's error if that ends first. The promise is never left unhandled. */
  race<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise<T>((resolve, reject) => {
      if (signal.aborted) reject(signal.reason);
      const stop = onAbort(signal, () => reject(signal.reason));
      promise.then(resolve, reject).finally(stop);
    });
  }

  /** Removes the listener on the caller's signal, and the timer. */
  [Symbol.dispose](): void {
    this.#forget();
  }
}

function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>;
  if (typeof aborted === "boolean" && typeof addEventListener === "function") return;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `signal is ${describe(signal)}`, {
    remedy: "pass the signal of an AbortController",
  });
}

function abortedError(signal: AbortSignal): VitgraphError {
  return new VitgraphError("VG_ABORTED", "the call was cancelled", { cause: signal.reason });
}

function timeoutError(fact: string, timeoutMs: number): VitgraphError {
  return new VitgraphError("VG_DEADLINE_EXCEEDED", fact, {
    remedy: "allow more time, or send less work",
    details: { timeoutMs },
  });
}
