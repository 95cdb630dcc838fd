/** Lets other work of JavaScript's thread, and I/O, run before long work goes on. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
