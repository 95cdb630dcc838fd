/**
 * The public entry point of `@vitgraph/config`: parser, linter and schemas of vLLM's compilation config. YAML is in
 * `@vitgraph/config/yaml`.
 *
 * @module @vitgraph/config
 */
export {
  type BudgetRange,
  type EncoderBudgetRequest,
  type EncoderBudgets,
  generateTokenBudgets,
  resolveEncoderBudgets,
} from "./budgets.js";
export {
  type ConfigCompletion,
  type ConfigCompletions,
  type ConfigHover,
  completeConfig,
  describeKey,
  hoverConfig,
} from "./completion.js";
export { type ConfigDocument, parseJsonDocument } from "./document.js";
export { type EncoderOptions, encoderOptions } from "./encoder-options.js";
export { type EncoderSupport, encoderSupport } from "./encoder-support.js";
export { type ExplainedKey, explainConfig, formatOrigin } from "./explain.js";
export { type ConfigFinding, configFindings } from "./findings.js";
export {
  applyFix,
  type ConfigChange,
  type ConfigFix,
  mergeFixes,
  type Repair,
  type TextEdit,
} from "./fix.js";
export type {
  CompilationConfig,
  CompilationConfigInput,
  DynamicShapesConfig,
  PassConfig,
} from "./generated/types.js";
export { parseHumanReadableInteger } from "./human-readable.js";
export {
  type ImageFacts,
  type LintFacts,
  type LintFinding,
  type LintRule,
  lintCompilationConfig,
  type SentImage,
} from "./lint.js";
export {
  type ConfigOrigin,
  type ParseOptions,
  parseCompilationConfig,
  type ResolvedConfig,
} from "./parse.js";
export {
  type ConfigNote,
  type ConfigNoteKind,
  type ConfigProblem,
  formatPlace,
  type Place,
  problemsOf,
} from "./problem.js";
export { compilationConfigSchema, type SchemaNode } from "./schema.js";
export { parseConfigFile, parseServeArguments } from "./serve/arguments.js";
export type {
  ArgumentText,
  OptimizationLevel,
  ServeArguments,
  ServeArgumentsOptions,
} from "./serve/types.js";
