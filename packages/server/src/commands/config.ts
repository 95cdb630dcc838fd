/** `vitgraph config check|explain|schema`: what is wrong with a compilation config, and what it comes to. */
import { readFileSync } from "node:fs";
import {
  type ConfigDocument,
  type ConfigNote,
  compilationConfigSchema,
  type ExplainedKey,
  explainConfig,
  formatOrigin,
  formatPlace,
  type ImageSize,
  type LintFacts,
  lintCompilationConfig,
  type Place,
  parseConfigFile,
  parseJsonDocument,
  parseServeArguments,
  problemsOf,
  type ResolvedConfig,
} from "@vitgraph/config";
import { parseYamlDocument } from "@vitgraph/config/yaml";
import { toVitgraphError } from "@vitgraph/errors";
import { type Command, InvalidArgumentError } from "commander";
import type { CliIo } from "../cli-io.js";
import { renderTable } from "../table.js";
import { readModelFacts } from "./config-facts.js";
import { positiveInteger } from "./model-options.js";

export function registerConfig(program: Command, io: CliIo): void {
  const config = program.command("config").description("check, explain and describe compilation configs");
  config
    .command("check")
    .description("say what is wrong with a file, and what is unlikely to be meant; exits with 1 on errors")
    .argument("<file>", "YAML or JSON: a compilation config, or a --config file that has one")
    .option("--model <dir>", "checkpoint to check against: its config.json and processor files are read")
    .option("--max-batch-tokens <count>", "the largest inferred token budget", positiveInteger, 16_384)
    .option("--image <width>x<height>", "size of an image that will be sent; may be repeated", imageSize, [])
    .option("--no-video", "no videos will be sent")
    .option("--strict", "exit with 1 on warnings, too")
    .action((file: string, options: CheckOptions) => check(file, options, io));
  config
    .command("explain")
    .description("print each key's value and where it comes from, for the arguments of `vllm serve`")
    .usage("[--json] [--given] [-cc JSON] [-cc.KEY=VALUE] [-O LEVEL] [--config FILE] …")
    .argument("[arguments...]", "as for serving; what does not concern the compilation config is passed over")
    .option("--json", "the same as JSON")
    .option("--given", "only what was given, or follows from it")
    .allowUnknownOption()
    .action((args: string[], options: ExplainOptions) => explain(args, options, io));
  config
    .command("schema")
    .description("print the JSON schema of a compilation config")
    .action(() => io.stdout(`${JSON.stringify(compilationConfigSchema, null, 2)}\n`));
}

// ---- check

interface CheckOptions {
  readonly model?: string;
  readonly maxBatchTokens: number;
  readonly image: readonly ImageSize[];
  readonly video: boolean;
  readonly strict?: true;
}

async function check(file: string, options: CheckOptions, io: CliIo): Promise<void> {
  const facts: LintFacts = {
    ...(options.model === undefined ? {} : await readModelFacts(options.model, options.maxBatchTokens)),
    imageSizes: options.image,
    ...(options.video ? {} : { videoLimit: 0 }),
  };
  let resolved: ResolvedConfig;
  try {
    resolved = parseConfigFile(readDocument(file)).compilationConfig;
  } catch (error) {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    for (const problem of problems) {
      io.stdout(`${formatPlace(problem)}: error: ${problem.message}: ${problem.remedy}\n`);
    }
    io.stdout(`${file}: ${count(problems.length, "error")}\n`);
    io.exitCode = 1;
    return;
  }
  const lines = [
    ...resolved.notes.map((note) => ({ place: note, severity: note.level, text: note.message })),
    ...lintCompilationConfig(resolved.config, facts).map((finding) => ({
      place: placeOf(resolved, finding.pointer, file),
      severity: finding.severity,
      text: `${finding.message}: ${finding.remedy} [${finding.rule}]`,
    })),
  ].sort((a, b) => byPlace(a.place, b.place));
  for (const { place, severity, text } of lines) {
    io.stdout(`${formatPlace(place)}: ${severity === "info" ? "note" : severity}: ${text}\n`);
  }
  const errors = lines.filter((line) => line.severity === "error").length;
  const warnings = lines.filter((line) => line.severity === "warning").length;
  io.stdout(`${file}: ${count(errors, "error")}, ${count(warnings, "warning")}\n`);
  if (errors > 0 || (options.strict === true && warnings > 0)) io.exitCode = 1;
}

/** Where the value at a pointer was given; a value by default stands for the file. */
function placeOf(resolved: ResolvedConfig, pointer: string, file: string): Place {
  const origin = resolved.origin(pointer);
  return ("place" in origin ? origin.place : undefined) ?? { source: file };
}

/** In the order of the file; what has no line comes last. */
function byPlace(a: Place, b: Place): number {
  const last = Number.MAX_SAFE_INTEGER;
  return (a.line ?? last) - (b.line ?? last) || (a.column ?? last) - (b.column ?? last);
}

function describeNote(note: ConfigNote): string {
  return `${formatPlace(note)}: ${note.level === "warning" ? "warning" : "note"}: ${note.message}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function readDocument(file: string): ConfigDocument {
  const text = readText(file);
  return /\.ya?ml$/i.test(file) ? parseYamlDocument(text, file) : parseJsonDocument(text, file);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw toVitgraphError(error, "VG_FILE_UNREADABLE", `cannot read ${path}`, "check the path");
  }
}

function imageSize(text: string, earlier: readonly ImageSize[]): readonly ImageSize[] {
  const match = /^([1-9]\d*)[x×]([1-9]\d*)$/i.exec(text);
  if (match === null) throw new InvalidArgumentError("expected a size such as 1920x1080");
  return [...earlier, { width: Number(match[1]), height: Number(match[2]) }];
}

// ---- explain

interface ExplainOptions {
  readonly json?: true;
  readonly given?: true;
}

function explain(args: readonly string[], options: ExplainOptions, io: CliIo): void {
  const { compilationConfig, rest } = parseServeArguments(args, {
    readFile: readText,
    parseYaml: parseYamlDocument,
  });
  const rows = explainConfig(compilationConfig).filter(
    (row) => options.given !== true || row.origin.kind !== "default",
  );
  if (options.json === true) {
    const plain = rows.map(({ key, value, origin, scope }) => ({
      key,
      value,
      from: formatOrigin(origin),
      scope,
    }));
    io.stdout(`${JSON.stringify(plain, null, 2)}\n`);
  } else {
    io.stdout(explanation(rows));
  }
  for (const note of compilationConfig.notes) io.stderr(`${describeNote(note)}\n`);
  if (rest.length > 0) io.stderr(`note: not the compilation config's, passed over: ${rest.join(" ")}\n`);
}

/** Two tables: the encoder's keys, and the language model's. */
function explanation(rows: readonly ExplainedKey[]): string {
  const tables = [
    ["encoder", "the encoder's"],
    ["language-model", "the language model's"],
  ] as const;
  return tables
    .map(([scope, title]) => [title, rows.filter((row) => row.scope === scope)] as const)
    .filter(([, mine]) => mine.length > 0)
    .map(([title, mine]) =>
      renderTable(
        [{ title }, { title: "value" }, { title: "from" }],
        mine.map((row) => [row.key, JSON.stringify(row.value), formatOrigin(row.origin)]),
      ),
    )
    .join("\n");
}
