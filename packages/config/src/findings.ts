/** All findings about a config as one list: its problems, or else its notes and those of the linter. */
import { type ConfigFix, fixOf } from "./fix.js";
import { type LintFacts, type LintRule, lintCompilationConfig } from "./lint.js";
import type { ResolvedConfig } from "./parse.js";
import { type Place, problemsOf } from "./problem.js";

export interface ConfigFinding extends Place {
  /** `note`: information. `error` and `warning`: see {@link LintFinding}. */
  readonly severity: "error" | "warning" | "note";
  /** The linter's rule; absent for problems and notes of the parser. */
  readonly rule?: LintRule;
  readonly message: string;
  readonly remedy?: string;
  /** Absent if the remedy is ambiguous, or the text cannot be edited. */
  readonly fix?: ConfigFix;
}

/**
 * All findings in the order of the text; those without a line come last.
 * @param source name of the text, as the place of findings about values that it does not contain
 * @param resolve parses the text
 * @throws what `resolve` throws, except VG_CONFIG_INVALID
 */
export function configFindings(
  source: string,
  resolve: () => ResolvedConfig,
  facts: LintFacts = {},
): ConfigFinding[] {
  let resolved: ResolvedConfig;
  try {
    resolved = resolve();
  } catch (error) {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    return problems.map(({ message, remedy, fix, ...place }) => ({
      ...placeIn(place),
      severity: "error",
      message,
      remedy,
      ...(fix === undefined ? {} : { fix }),
    }));
  }
  const notes = resolved.notes.map(
    ({ level, message, repair, ...place }): ConfigFinding => ({
      ...placeIn(place),
      severity: level === "info" ? "note" : level,
      message,
      ...fixOf(resolved, repair),
    }),
  );
  const lints = lintCompilationConfig(resolved.config, facts).map(
    ({ pointer, severity, rule, message, remedy, repair }): ConfigFinding => {
      const origin = resolved.origin(pointer);
      const place = ("place" in origin ? origin.place : undefined) ?? { source };
      return { ...placeIn(place), severity, rule, message, remedy, ...fixOf(resolved, repair) };
    },
  );
  return [...notes, ...lints].sort(byPlace);
}

function placeIn({ source, line, column }: Place): Place {
  return { source, ...(line === undefined ? {} : { line, column: column ?? 1 }) };
}

/** The order of a text; what has no line comes last. */
export function byPlace(a: Place, b: Place): number {
  const last = Number.MAX_SAFE_INTEGER;
  return (a.line ?? last) - (b.line ?? last) || (a.column ?? last) - (b.column ?? last);
}
