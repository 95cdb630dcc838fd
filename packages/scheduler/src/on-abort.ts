/**
 * `addEventListener("abort", …)` with a single listener per signal: Node warns of a leak from the eleventh listener on,
 * and many calls of a connection often share one signal.
 */

interface Watch {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `callback` once when the signal aborts; never for a signal that has already aborted. Returns a function that
 * unregisters the callback. The listener is removed with the last callback.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? startWatch(signal);
  // A new function each time, so that one callback can be registered twice.
  const entry = () => callback();
  watch.callbacks.add(entry);
  return () => {
    if (watch.callbacks.delete(entry) && watch.callbacks.size === 0) stopWatch(signal, watch);
  };
}

/** Settles with the promise, or with the signal's reason if that aborts first. The promise is never left unhandled. */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stop = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(stop);
  });
}

function startWatch(signal: AbortSignal): Watch {
  const callbacks = new Set<() => void>();
  const watch: Watch = {
    callbacks,
    listener: () => {
      stopWatch(signal, watch);
      // The set itself, not a copy: a callback that an earlier one unregisters is not called.
      for (const callback of callbacks) callback();
    },
  };
  watches.set(signal, watch);
  signal.addEventListener("abort", watch.listener);
  return watch;
}

function stopWatch(signal: AbortSignal, watch: Watch): void {
  signal.removeEventListener("abort", watch.listener);
  if (watches.get(signal) === watch) watches.delete(signal);
}
