/**
 * What a command may touch of the outside world. Commands take it as an argument, so that a test can run one in the
 * process and read what it printed; they never call `process.exit` or `console` themselves.
 */
export interface CliIo {
  /** Results, for people and pipes. The text is written as it is: end lines with "\n". */
  stdout(text: string): void;
  /** Progress, warnings and errors. */
  stderr(text: string): void;
  /** True where stdout is a terminal that wants colour. */
  readonly color: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Set by a command that ran to its end but found something wrong (a failed check): the exit code, 0 otherwise. */
  exitCode: number;
}
