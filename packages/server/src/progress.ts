/** One line on stderr that says how far long work is. On a terminal it is redrawn; elsewhere it stays silent till done. */
import type { CliIo } from "./cli-io.js";

export interface Progress {
  update(done: number, total: number): void;
  /** Ends the line: "what … 1.2 s". */
  done(): void;
}

/** Redrawing more often than this costs more than it tells. */
const REDRAW_MS = 100;

export function startProgress(io: CliIo, what: string): Progress {
  const started = performance.now();
  let drawn = 0;
  return {
    update(done, total) {
      const now = performance.now();
      if (!io.color || now - drawn < REDRAW_MS) return;
      drawn = now;
      io.stderr(`\r${what} ${((100 * done) / total).toFixed(0)} %`);
    },
    done() {
      const seconds = ((performance.now() - started) / 1000).toFixed(2);
      io.stderr(`${io.color ? "\r" : ""}${what} ${seconds} s\n`);
    },
  };
}
