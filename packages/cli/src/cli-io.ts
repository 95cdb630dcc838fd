/**
 * A command's interface to its process, except for files. Commands take it as an argument, so that tests run them in
 * process and read their output; they never call `process.exit` or `console`.
 */
export interface CliIo {
  /** Writes results, for people and pipes. The text is written unchanged: end lines with "\n". */
  stdout(text: string): void;
  /** Writes progress, notes and errors. */
  stderr(text: string): void;
  /** Reads standard input to its end. */
  stdin(): Promise<Uint8Array>;
  /** Colours a text for a stream (default: stderr); returns it unchanged if the stream has no colours. */
  style(color: "red" | "yellow", text: string, stream?: "stdout" | "stderr"): string;
  /** Columns of stderr's terminal; undefined if stderr is a file or a pipe. */
  readonly terminalColumns: number | undefined;
  /**
   * Until it is disposed, the next Ctrl-C (or SIGTERM) calls `stop`, once. The one after it calls the function that was
   * registered before; `main` registers the first, which ends the command at once.
   */
  onInterrupt(stop: () => void): Disposable;
  /** Exit code, set by a command that completed but found a problem (a failed check); 0 otherwise. */
  exitCode: number;
}

/** The shell's exit code of a command that Ctrl-C has ended. */
export const INTERRUPTED = 130;

/** Prints a line that begins with "error:". */
export function printError(io: CliIo, text: string): void {
  io.stderr(`${io.style("red", "error:")} ${text}\n`);
}

/** Prints a line that begins with "note:". */
export function printNote(io: CliIo, text: string): void {
  io.stderr(`${io.style("yellow", "note:")} ${text}\n`);
}
