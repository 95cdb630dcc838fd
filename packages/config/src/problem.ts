/**
 * What the parser has to say about a config: problems, which make it invalid, and notes, which do not.
 * Both say where, what, and what to do.
 */
import { VitgraphError } from "@vitgraph/errors";

/** Where something stands. Lines and columns count from 1; they are absent where there is no text (an object). */
export interface Place {
  /** A file's path, an argument as it was written, or a name such as "compilation config". */
  readonly source: string;
  readonly line?: number;
  readonly column?: number;
}

/** One reason why a config is invalid. */
export interface ConfigProblem extends Place {
  /** JSON pointer of the value in the compilation config; "" is the config as a whole. */
  readonly pointer: string;
  /** The fact, naming the key and the value. */
  readonly message: string;
  /** What would have been right, as a phrase: "true or false". */
  readonly expected: string;
  /** What to do about it. */
  readonly remedy: string;
}

/**
 * What a note is about:
 * - `language-model`: the key is not the encoder's; it was checked and is passed over.
 * - `renamed`: an old name was used.
 * - `coerced`: a value of another type was read as the right one, as vLLM does.
 * - `ignored`: the key is accepted and has no effect.
 * - `duplicate`: a key was given more than once, or a budget listed twice.
 * - `merged`: several forms were merged where vLLM would keep only the last.
 * - `not-in-vllm`: vLLM would refuse the key.
 */
export type ConfigNoteKind =
  | "language-model"
  | "renamed"
  | "coerced"
  | "ignored"
  | "duplicate"
  | "merged"
  | "not-in-vllm";

/** Something worth knowing about a config that is valid. */
export interface ConfigNote extends Place {
  readonly kind: ConfigNoteKind;
  /** `warning`: probably not what was meant, or different in vLLM. */
  readonly level: "info" | "warning";
  readonly pointer: string;
  readonly message: string;
}

/** "serve.yaml:3:5", or the source alone where there is no line. */
export function formatPlace({ source, line, column }: Place): string {
  return line === undefined ? source : `${source}:${line}:${column ?? 1}`;
}

/** One line: place, fact, remedy. */
export function formatProblem(problem: ConfigProblem): string {
  return `${formatPlace(problem)}: ${problem.message}: ${problem.remedy}`;
}

/** The error that carries all problems, in `details.problems`. */
export function configInvalid(problems: readonly ConfigProblem[]): VitgraphError {
  const [first] = problems;
  if (problems.length === 1 && first !== undefined) {
    return new VitgraphError("VG_CONFIG_INVALID", `${formatPlace(first)}: ${first.message}`, {
      remedy: first.remedy,
      details: { problems },
    });
  }
  const lines = problems.map((problem) => `\n  ${formatProblem(problem)}`).join("");
  return new VitgraphError(
    "VG_CONFIG_INVALID",
    `the configuration has ${problems.length} problems:${lines}`,
    {
      details: { problems },
    },
  );
}

/** The problems that a VG_CONFIG_INVALID error carries; empty for any other value. */
export function problemsOf(error: unknown): readonly ConfigProblem[] {
  if (!VitgraphError.is(error) || error.code !== "VG_CONFIG_INVALID") return [];
  return (error.details.problems as readonly ConfigProblem[] | undefined) ?? [];
}
