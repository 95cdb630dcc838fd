/**
 * The entry point vitgraph/testing: a {@link CliIo} that keeps a command's output, and the load of `bench --callers`.
 *
 * @module vitgraph/testing
 */
import type { CliIo } from "./cli-io.js";

export { measureLoad } from "./bench/continuous-load.js";

export interface FakeIo extends CliIo {
  /** Everything written to stdout. */
  readonly out: string;
  /** Everything written to stderr. */
  readonly err: string;
  /** Simulates Ctrl-C: calls the function that was last registered with `onInterrupt`. */
  interrupt(): void;
}

/** Options of a command line in a test: its standard input and its terminal. */
export interface FakeIoOptions {
  readonly stdin?: string | Uint8Array;
  /** Makes stderr a terminal of this width. Default: it is a pipe. */
  readonly terminalColumns?: number;
}

/** A terminal for tests of commands: `main(["doctor"], createFakeIo())`. */
export function createFakeIo({ stdin = "", terminalColumns }: FakeIoOptions = {}): FakeIo {
  const stops: (() => void)[] = [];
  const io = {
    out: "",
    err: "",
    stdout(text: string) {
      io.out += text;
    },
    stderr(text: string) {
      io.err += text;
    },
    stdin: async () => (typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin),
    style: (_color: string, text: string) => text,
    terminalColumns,
    onInterrupt(stop: () => void) {
      const entry = () => stop();
      stops.push(entry);
      return {
        [Symbol.dispose]() {
          if (stops.includes(entry)) stops.splice(stops.indexOf(entry), 1);
        },
      };
    },
    interrupt() {
      stops.pop()?.();
    },
    exitCode: 0,
  };
  return io;
}
