/**
 * How long a call is waited for: until its caller cancels, its deadline passes, or the engine gives it up. One ticket a
 * call, shared by its items; what is asked first decides the error.
 */
import { setMaxListeners } from "node:events";
import { VitgraphError } from "@vitgraph/errors";
import type { Clock } from "@vitgraph/scheduler";

export interface TicketOptions {
  readonly signal?: AbortSignal | undefined;
  /** On the clock. */
  readonly deadline?: number | undefined;
  readonly clock: Clock;
}

export class Ticket implements Disposable {
  readonly #controller = new AbortController();
  #forget: () => void = () => {};

  /** @throws VG_ABORTED, VG_DEADLINE_EXCEEDED where it is over already; VG_ARGUMENT_INVALID */
  constructor({ signal, deadline, clock }: TicketOptions) {
    // Each item of the call listens.
    setMaxListeners(0, this.#controller.signal);
    if (deadline !== undefined && Number.isNaN(deadline)) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", "the deadline is NaN", {
        remedy: "give a moment on the engine's clock, in milliseconds: performance.now() + 500",
      });
    }
    if (signal?.aborted) throw abortedError(signal);
    const cameAt = clock.now();
    if (deadline !== undefined && deadline <= cameAt) {
      throw deadlineError(`had passed ${Math.round(cameAt - deadline)} ms before it came`, deadline);
    }
    const onAbort = () => this.end(abortedError(signal as AbortSignal));
    signal?.addEventListener("abort", onAbort);
    const cancelTimer =
      deadline === undefined || deadline === Number.POSITIVE_INFINITY
        ? () => {}
        : clock.after(deadline - cameAt, () => {
            const waitedMs = Math.round(clock.now() - cameAt);
            this.end(deadlineError(`passed, ${waitedMs} ms after it came`, deadline));
          });
    this.#forget = () => {
      signal?.removeEventListener("abort", onAbort);
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

  /** What the promise settles to, or the error of the ticket if that ends first. The promise is never left unhandled. */
  race<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      const settle = () => signal.removeEventListener("abort", onAbort);
      promise.then(resolve, reject).finally(settle);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort);
    });
  }

  /** Lets go of the caller's signal and of the timer. */
  [Symbol.dispose](): void {
    this.#forget();
  }
}

function abortedError(signal: AbortSignal): VitgraphError {
  return new VitgraphError("VG_ABORTED", "the call was cancelled", { cause: signal.reason });
}

function deadlineError(event: string, deadline: number): VitgraphError {
  return new VitgraphError("VG_DEADLINE_EXCEEDED", `the call's deadline ${event}`, {
    remedy: "allow more time, or send less work",
    details: { deadline },
  });
}
