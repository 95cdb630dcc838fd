/**
 * The commands' {@link CliIo} on the process's own streams.
 *
 * A closed pipe (`vitgraph … | head -1`) is not an error: the rest of the output is discarded, and the command
 * completes, so that its files are written. Any other failed write, such as to a full disk, sets the exit code to 1.
 */
import { buffer } from "node:stream/consumers";
import { styleText } from "node:util";
import { type CliIo, printError } from "./cli-io.js";

/** The part of `process` that is used. */
export interface ProcessLike {
  readonly stdin: AsyncIterable<Buffer>;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  exitCode?: number | string | null | undefined;
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

type OutputStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

export function createProcessIo(host: ProcessLike = process): CliIo {
  /** The last one is called first. */
  const stops: (() => void)[] = [];
  const interrupt = () => {
    const stop = stops.at(-1);
    remove(stop);
    stop?.();
  };
  const remove = (stop: (() => void) | undefined) => {
    if (stop === undefined || !stops.includes(stop)) return;
    stops.splice(stops.indexOf(stop), 1);
    if (stops.length === 0) for (const signal of SIGNALS) host.off(signal, interrupt);
  };
  // Write errors arrive as events, possibly after the command has returned its exit code.
  const fail = () => {
    host.exitCode = 1;
    io.exitCode = 1;
  };
  const io: CliIo = {
    stdout: writerTo(host.stdout, (error) => {
      fail();
      printError(io, `cannot write to stdout (${error.message}): check the disk or device behind it`);
    }),
    // There is no stream left to report the error to.
    stderr: writerTo(host.stderr, fail),
    stdin: () => buffer(host.stdin),
    style: (color, text, stream = "stderr") => styleText(color, text, { stream: host[stream] }),
    terminalColumns: host.stderr.isTTY === true ? (host.stderr.columns ?? 80) : undefined,
    onInterrupt(stop) {
      if (stops.length === 0) for (const signal of SIGNALS) host.on(signal, interrupt);
      // A new function each time, so that one function can be registered twice.
      const entry = () => stop();
      stops.push(entry);
      return { [Symbol.dispose]: () => remove(entry) };
    },
    exitCode: 0,
  };
  return io;
}

/** Writes until the first error; the rest is discarded. */
function writerTo(stream: OutputStream, onFailure: (error: Error) => void): (text: string) => void {
  let failed = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (failed) return;
    failed = true;
    if (error.code !== "EPIPE") onFailure(error);
  });
  return (text) => {
    if (!failed) stream.write(text);
  };
}
