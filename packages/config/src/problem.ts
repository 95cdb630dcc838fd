/**
 * The parser's messages about a config: problems, which make it invalid, and notes, which do not. Both have a position,
 * a fact and a remedy.
 */
import { LONGEST_PATH, shorten, VitgraphError } from "@vitgraph/errors";
import { MAX_DEPTH, MAX_MEMBERS, MAX_TEXT_LENGTH } from "./bounds.js";
import type { ConfigFix, Repair } from "./fix.js";

/** A position. Lines and columns count from 1; they are absent if there is no text (an object). */
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
  /** The expected value, as a phrase: "true or false". */
  readonly expected: string;
  /** The remedy, as an imperative. */
  readonly remedy: string;
  /** The remedy as edits of the text, if it is unambiguous. */
  readonly fix?: ConfigFix;
}

/**
 * The subject of a note:
 * - `language-model`: the key belongs to the language model; it was checked, and is ignored.
 * - `renamed`: an old name was used.
 * - `coerced`: a value of another type was read as the right one, as vLLM does.
 * - `ignored`: the key is accepted and has no effect.
 * - `duplicate`: a key was given more than once, or a budget listed twice.
 * - `merged`: several forms were merged where vLLM would keep only the last.
 * - `not-in-vllm`: vLLM would refuse the key.
 * - `unknown-option`: an option that neither vitgraph nor vLLM has; it is ignored.
 * - `file`: the form of a `--config` file: it is a compilation config itself, or has none in it.
 * - `omitted`: there are more notes than are listed.
 */
export type ConfigNoteKind =
  | "language-model"
  | "renamed"
  | "coerced"
  | "ignored"
  | "duplicate"
  | "merged"
  | "not-in-vllm"
  | "unknown-option"
  | "file"
  | "omitted";

/** A remark about a valid config. */
export interface ConfigNote extends Place {
  readonly kind: ConfigNoteKind;
  /** `warning`: probably not what was meant, or different in vLLM. */
  readonly level: "info" | "warning";
  readonly pointer: string;
  readonly message: string;
  /** The remedy as a change of the config, if it is unambiguous. */
  readonly repair?: Repair;
}

/** "serve.yaml:3:5", or only the source if there is no line. */
export function formatPlace({ source, line, column }: Place): string {
  const shown = shorten(source, LONGEST_PATH);
  return line === undefined ? shown : `${shown}:${line}:${column ?? 1}`;
}

/** One line: place, fact, remedy. */
export function formatProblem(problem: ConfigProblem): string {
  return `${formatPlace(problem)}: ${problem.message}: ${problem.remedy}`;
}

/** Most problems that one error lists: a damaged text can have one per character. */
const MAX_PROBLEMS = 20;
/** Most notes of one config. */
export const MAX_NOTES = 50;

/** Collects problems: the first {@link MAX_PROBLEMS} are kept, the others are counted and cost nothing more. */
export class ProblemList {
  private readonly kept: ConfigProblem[] = [];
  private omitted = 0;

  get count(): number {
    return this.kept.length + this.omitted;
  }

  get listed(): readonly ConfigProblem[] {
    return this.kept;
  }

  add(describe: () => ConfigProblem): void {
    if (this.kept.length < MAX_PROBLEMS) this.kept.push(describe());
    else this.omitted += 1;
  }

  addAll(problems: ProblemList): void {
    for (const problem of problems.kept) this.add(() => problem);
    this.omitted += problems.omitted;
  }

  /** The problems of a VG_CONFIG_INVALID error. Any other value is thrown again. */
  addError(error: unknown): void {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    const omitted = ((error as VitgraphError).details.omitted as number | undefined) ?? 0;
    // The last problem only says how many are omitted.
    for (const problem of omitted === 0 ? problems : problems.slice(0, -1)) this.add(() => problem);
    this.omitted += omitted;
  }

  /** By line and column; those without come first. */
  sortByPlace(): void {
    this.kept.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  }

  /** @throws VG_CONFIG_INVALID with the problems in `details.problems`, if there are any */
  throwIfAny(): void {
    if (this.count > 0) throw configInvalid(this);
  }
}

/** The error with all problems in `details.problems`. If there are too many, the last one counts the others. */
export function configInvalid(problems: ProblemList | readonly ConfigProblem[]): VitgraphError {
  const list = new ProblemList();
  if (problems instanceof ProblemList) list.addAll(problems);
  else for (const problem of problems) list.add(() => problem);
  const { count, listed } = list;
  const [first] = listed;
  const more = count - listed.length;
  const details =
    more === 0
      ? { problems: listed }
      : { problems: [...listed, omittedProblems(more, listed.at(-1)!)], omitted: more };
  if (count === 1 && first !== undefined) {
    return new VitgraphError("VG_CONFIG_INVALID", `${formatPlace(first)}: ${first.message}`, {
      remedy: first.remedy,
      details,
    });
  }
  const lines = listed.map((problem) => `\n  ${formatProblem(problem)}`).join("");
  const rest = more === 0 ? "" : `\n  … and ${formatCount(more)} more`;
  return new VitgraphError(
    "VG_CONFIG_INVALID",
    `the configuration has ${formatCount(count)} problems:${lines}${rest}`,
    {
      details,
    },
  );
}

function omittedProblems(count: number, { source }: Place): ConfigProblem {
  return {
    source,
    pointer: "",
    message: `… and ${formatCount(count)} more problems`,
    expected: "a valid config",
    remedy: "correct those that are listed first",
  };
}

/** The first {@link MAX_NOTES} notes, and one that counts the others. */
export function limitNotes(notes: readonly ConfigNote[]): readonly ConfigNote[] {
  const [first] = notes;
  if (first === undefined || notes.length <= MAX_NOTES) return notes;
  const count = formatCount(notes.length - MAX_NOTES);
  return [
    ...notes.slice(0, MAX_NOTES),
    {
      source: first.source,
      kind: "omitted",
      level: "info",
      pointer: "",
      message: `… and ${count} more notes`,
    },
  ];
}

/** A text or value beyond the bounds. `subject` names it: "the JSON". */
export function excessProblem(
  subject: string,
  excess: "contains itself" | "too deep" | "too large" | "too long",
  place: Place,
): ConfigProblem {
  const [message, expected, remedy] = {
    "contains itself": [
      "contains itself",
      "an object that could be written as JSON",
      "remove the member that leads back",
    ],
    "too deep": [
      "is nested too deeply to be read",
      `at most ${MAX_DEPTH} levels`,
      `flatten it: a compilation config has 4 levels, and ${MAX_DEPTH} are read`,
    ],
    "too large": [
      "has too many members",
      `at most ${formatCount(MAX_MEMBERS)} members`,
      "remove what is not a setting",
    ],
    "too long": [
      "is too long to be read",
      `at most ${formatCount(MAX_TEXT_LENGTH)} characters`,
      `a config has a few thousand characters, and ${formatCount(MAX_TEXT_LENGTH)} are read`,
    ],
  }[excess] as [string, string, string];
  return { ...place, pointer: "", message: `${subject} ${message}`, expected, remedy };
}

function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** The problems that a VG_CONFIG_INVALID error carries; empty for any other value. */
export function problemsOf(error: unknown): readonly ConfigProblem[] {
  if (!VitgraphError.is(error) || error.code !== "VG_CONFIG_INVALID") return [];
  return (error.details.problems as readonly ConfigProblem[] | undefined) ?? [];
}
