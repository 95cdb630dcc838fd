/**
 * The interface of the engine's logger: pino's four usual methods. A host passes its own; `console` fits too, and
 * `createLogger` creates a pino.
 */
import { isRecord, VitgraphError } from "@vitgraph/errors";
import { loadOptional } from "../optional-package.js";

/** Fields first, then the message, as in pino. An error is the field `err`. */
export interface Logger {
  /** For debugging: an item that was refused. */
  debug(fields: object, message: string): void;
  /** For operators: a request, a state. */
  info(fields: object, message: string): void;
  /** A fault that the engine works around. */
  warn(fields: object, message: string): void;
  /** A fault that fails work. */
  error(fields: object, message: string): void;
}

/** For values from untyped hosts and callers. */
export function isLogger(value: unknown): value is Logger {
  return (
    isRecord(value) && ["debug", "info", "warn", "error"].every((level) => typeof value[level] === "function")
  );
}

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
/** pino's levels, from the most lines to none. */
export type LogLevel = (typeof LEVELS)[number];

/** Options of `createLogger`. */
export interface LoggerOptions {
  /** Default: the environment variable VITGRAPH_LOG_LEVEL, else "warn". */
  readonly level?: LogLevel;
  /** Receives one line of JSON at a time. Default: standard error, since standard output is for results. */
  readonly destination?: {
    /** Takes a line with its line end. */
    write(line: string): void;
  };
}

/** For a host without a logger: prints warnings and errors to standard error, with `verbose` also information. */
export function standardErrorLogger({ verbose }: { readonly verbose: boolean }): Logger {
  const print = (fields: object, message: string) => console.error(`vitgraph: ${message}`, fields);
  const drop = () => {};
  return { debug: drop, info: verbose ? print : drop, warn: print, error: print };
}

/** A pino. @throws VG_ARGUMENT_INVALID for an unknown level; VG_PACKAGE_UNAVAILABLE without pino */
export async function createLogger(options: LoggerOptions = {}): Promise<Logger> {
  const level = options.level ?? process.env.VITGRAPH_LOG_LEVEL ?? "warn";
  if (!LEVELS.some((known) => known === level)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `log level ${JSON.stringify(level)} is not known`, {
      remedy: `use one of ${LEVELS.join(", ")}, as an option or in VITGRAPH_LOG_LEVEL`,
      details: { level },
    });
  }
  const { pino } = await loadOptional("pino", "a logger of JSON lines", () => import("pino"));
  const logger: Logger = pino(
    { name: "vitgraph", level },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
  return logger;
}
