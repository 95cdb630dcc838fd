/**
 * The context of one engine call, shared by its items. The call ends early when the caller cancels, its time limit
 * passes, or the engine is closed; the first of the three determines the error.
 */
import { describe, VitgraphError } from "@vitgraph/errors";
import { type Clock, onAbort, raceAbort } from "@vitgraph/scheduler";
import type { EncodeOptions } from "./engine-options.js";

export interface RequestContextOptions extends EncodeOptions {
  readonly id: number;
  /** Maximum time that items wait for others to share their batch. */
  readonly windowMs: number;
  readonly clock: Clock;
}

export class RequestContext implements Disposable {
  readonly id: number;
  readonly priority: number;
  /** The caller whose share the call uses. */
  readonly caller: unknown;
  readonly windowMs: number;
  readonly #controller = new AbortController();
  #stopWatching: () => void = () => {};

  /** @throws VG_ABORTED, VG_DEADLINE_EXCEEDED if it is over already; VG_ARGUMENT_INVALID */
  constructor({ id, windowMs, clock, ...options }: RequestContextOptions) {
    const { signal, timeoutMs = Number.POSITIVE_INFINITY, priority = 0, caller = id } = options;
    checkSignal(signal);
    if (typeof timeoutMs !== "number" || Number.isNaN(timeoutMs)) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `timeoutMs is ${describe(timeoutMs)}`, {
        remedy: "give milliseconds from now: 500",
      });
    }
    if (signal?.aborted) throw abortedError(signal);
    if (timeoutMs <= 0) throw timeoutError(`timeoutMs is ${timeoutMs}: the call came too late`, timeoutMs);
    this.id = id;
    this.priority = priority;
    this.caller = caller;
    // With a time limit within the window, waiting for others would only make items late.
    this.windowMs = timeoutMs <= windowMs ? 0 : windowMs;
    const stopWatching =
      signal === undefined ? () => {} : onAbort(signal, () => this.end(abortedError(signal)));
    const cancelTimer =
      timeoutMs === Number.POSITIVE_INFINITY
        ? () => {}
        : clock.after(timeoutMs, () => {
            this.end(timeoutError(`the call was not done within ${timeoutMs} ms`, timeoutMs));
          });
    this.#stopWatching = () => {
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
    this.#stopWatching();
  }

  /**
   * Settles like the promise, or with the call's error if the call ends first. Handles a later rejection of the
   * promise.
   */
  race<T>(promise: Promise<T>): Promise<T> {
    return raceAbort(promise, this.signal);
  }

  /** Removes the listener on the caller's signal, and the timer. */
  [Symbol.dispose](): void {
    this.#stopWatching();
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
