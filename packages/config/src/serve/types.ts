/** What goes into and comes out of {@link parseServeArguments}. */
import type { ConfigDocument } from "../document.js";
import type { TextEdit } from "../fix.js";
import type { ResolvedConfig } from "../parse.js";
import type { Place } from "../problem.js";

/** vLLM's `-O`: how much start-up time to spend on speed. */
export type OptimizationLevel = 0 | 1 | 2 | 3;

export interface ServeArgumentsOptions {
  /** Reads the text of a `--config` file. It may throw; the error is passed on. */
  readonly readFile?: (path: string) => string;
  /** Reads YAML: `parseYamlDocument` of `@vitgraph/config/yaml`. */
  readonly parseYaml?: (text: string, source: string) => ConfigDocument;
  /** Where the argument at an index stands in a text, such as a manifest. Absent: places name the arguments. */
  readonly textOf?: (index: number) => ArgumentText;
}

/** An argument as characters of a text. */
export interface ArgumentText {
  locate(offset: number): Place;
  /** An edit of the argument as one of the text; undefined where it cannot be written there. */
  embedEdit(edit: TextEdit): TextEdit | undefined;
}

/** What the arguments and the `--config` file say. */
export interface ServeArguments {
  readonly compilationConfig: ResolvedConfig;
  /** 2 unless `-O` says otherwise. It decides `mode` and `cudagraph_mode` where these are unset. */
  readonly optimizationLevel: OptimizationLevel;
  readonly enforceEager: boolean;
  /** Other options given in dotted form: `--hf-overrides.a.b=1` is `{"hf-overrides": {a: {b: 1}}}`. */
  readonly dotted: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Other options of the `--config` file, under the names that they have there. */
  readonly fileOptions: Readonly<Record<string, unknown>>;
  /** The arguments that are none of the above, in order. */
  readonly rest: readonly string[];
}
