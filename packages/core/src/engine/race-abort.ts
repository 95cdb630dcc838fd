import { onAbort } from "@vitgraph/scheduler";

/** Settles with the promise, or with the signal's reason if that aborts first. The promise is never left unhandled. */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stop = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(stop);
  });
}
