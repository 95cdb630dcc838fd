/** Options and result of {@link parseServeArguments}. */
import type { ConfigDocument } from "../document.js";
import type { TextEdit } from "../fix.js";
import type { ResolvedConfig } from "../parse.js";
import type { Place } from "../problem.js";

/** vLLM's `-O`: how much start-up time to spend on speed. */
export type OptimizationLevel = 0 | 1 | 2 | 3;

/** Readers of the files that arguments name, and the places of the arguments in a text. */
export interface ServeArgumentsOptions {
  /** Reads the text of a `--config` file. Its errors are thrown unchanged. */
  readonly readFile?: (path: string) => string;
  /** Reads YAML: `parseYamlDocument` of `@vitgraph/config/yaml`. */
  readonly parseYaml?: (text: string, source: string) => ConfigDocument;
  /** Maps the argument at an index to the text that contains it, such as a manifest. Absent: places name the arguments. */
  readonly textOf?: (index: number) => ArgumentText;
}

/** An argument as characters of a text. */
export interface ArgumentText {
  /** Place in the text of an offset in the argument. */
  locate(offset: number): Place;
  /** An edit of the argument as an edit of the text; undefined if it cannot be written there. */
  embedEdit(edit: TextEdit): TextEdit | undefined;
}

/** The settings in the arguments and the `--config` file. */
export interface ServeArguments {
  readonly compilationConfig: ResolvedConfig;
  /** The level of `-O`, or 2. It decides `mode` and `cudagraph_mode` if they are not set. */
  readonly optimizationLevel: OptimizationLevel;
  readonly enforceEager: boolean;
  /** Other options given in dotted form: `--hf-overrides.a.b=1` is `{"hf-overrides": {a: {b: 1}}}`. */
  readonly dotted: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Other options of the `--config` file, by their names there. */
  readonly fileOptions: Readonly<Record<string, unknown>>;
  /** All other arguments, in order. */
  readonly rest: readonly string[];
}
