/**
 * A progress line on stderr: the share done, the elapsed time, and an estimate of the rest. On a terminal it is redrawn
 * at least once a second and cut to the terminal's width; elsewhere only the last state is printed, without control
 * characters.
 */
import type { CliIo } from "./cli-io.js";

export interface Progress extends Disposable {
  update(done: number, total: number): void;
  /** Prints a separate line above the progress. */
  print(line: string): void;
  /** Ends the line with the time taken: "loading … 1.23 s". Without this call, disposing removes it. */
  done(): void;
}

/** Minimum time between redraws. */
const REDRAW_MS = 100;
/** Maximum time between redraws: a static line looks like a hang. */
const TICK_MS = 1000;
/** Moves to the first column and clears the row. */
const CLEAR = "\r\x1b[K";

export function startProgress(io: CliIo, title: string): Progress {
  const started = performance.now();
  const columns = io.terminalColumns;
  const elapsed = (digits: number) => `${((performance.now() - started) / 1000).toFixed(digits)} s`;
  let share = "";
  let endsAt = Number.POSITIVE_INFINITY;
  let drawn = Number.NEGATIVE_INFINITY;
  let isOver = false;
  const draw = () => {
    if (columns === undefined || isOver) return;
    drawn = performance.now();
    // The last column stays free: some terminals wrap when it is filled.
    io.stderr(
      CLEAR +
        [...`${title}${share} ${elapsed(0)}${timeLeft(endsAt - performance.now())}`]
          .slice(0, columns - 1)
          .join(""),
    );
  };
  const ticker = columns === undefined ? undefined : setInterval(draw, TICK_MS).unref();
  const end = (line: string) => {
    if (isOver) return;
    isOver = true;
    clearInterval(ticker);
    io.stderr((columns === undefined ? "" : CLEAR) + line);
  };
  draw();
  return {
    update(done, total) {
      share = ` ${((100 * done) / total).toFixed(0)} %`;
      endsAt = estimateEnd(started, done / total);
      if (performance.now() - drawn >= REDRAW_MS) draw();
    },
    print(line) {
      io.stderr(`${columns === undefined ? "" : CLEAR}${line}\n`);
      draw();
    },
    done: () => end(`${title} ${elapsed(2)}\n`),
    [Symbol.dispose]: () => end(""),
  };
}

/** Extrapolates linearly; infinite while too little is done. */
function estimateEnd(started: number, share: number): number {
  const elapsed = performance.now() - started;
  return elapsed < 2000 || share < 0.01 ? Number.POSITIVE_INFINITY : started + elapsed / share;
}

function timeLeft(ms: number): string {
  if (ms < 1000 || ms === Number.POSITIVE_INFINITY) return "";
  return ms < 120_000 ? `, ${Math.round(ms / 1000)} s left` : `, ${Math.round(ms / 60_000)} min left`;
}
