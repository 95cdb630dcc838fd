/** `vitgraph config`: checks and explains compilation configs, and prints their schemas. */
import {
  type ConfigFinding,
  type ConfigNote,
  type ExplainedKey,
  explainConfig,
  formatOrigin,
  formatPlace,
  type LintFacts,
  parseServeArguments,
} from "@vitgraph/config";
import compilationConfigSchema from "@vitgraph/config/schema.json" with { type: "json" };
import serveSchema from "@vitgraph/config/serve.schema.json" with { type: "json" };
import { fileFindings, parseYamlDocument } from "@vitgraph/config/yaml";
import { VitgraphError } from "@vitgraph/errors";
import type { Command } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { expandGlobs, inputName, readTextInput, readTextSync } from "../files.js";
import { dottedOptions } from "../serve-options.js";
import { renderTable } from "../table.js";
import {
  addFactOptions,
  type FactOptions,
  findingCounts,
  findingLine,
  lintFacts,
} from "./config-findings.js";
import { registerConfigFix } from "./config-fix.js";
import { registerConfigInit } from "./config-init.js";

export function registerConfig(program: Command, io: CliIo): void {
  const config = program
    .command("config")
    .description("write, check, fix, explain and describe compilation configs");
  registerConfigInit(config, io);
  const checkCommand = config.command("check");
  checkCommand
    .description("find errors and likely mistakes in config files; exits with 1 on errors")
    .argument(
      "<file...>",
      "YAML or JSON files, globs, or - for standard input: compilation configs, --config files, compose files, Kubernetes manifests (ConfigMaps too), values of Helm charts",
    )
    .option("--strict", "exit with 1 on warnings, too")
    .option("--json", "print the findings as a JSON array");
  addFactOptions(checkCommand).action((files: string[], options: CheckOptions) => check(files, options, io));
  registerConfigFix(config, io);
  config
    .command("explain")
    .description("print each key's value and its origin, for the arguments of `vllm serve`")
    .usage("[options] [-cc.KEY=VALUE] [--config FILE] …")
    .argument("[arguments...]", "arguments of `vllm serve`; a note lists those that are not about the config")
    .option("--json", "the same as JSON")
    .option("--given", "only keys that were given, or that follow from given ones")
    .allowUnknownOption()
    .action((args: string[], options: ExplainOptions, command: Command) => {
      const [first = ""] = args;
      if (/^[^-].*\.(ya?ml|json)$/i.test(first))
        command.error(`error: ${first} is not an argument of vllm serve: write --config ${first}`);
      return explain(args, options, io);
    });
  config
    .command("schema")
    .description("print the JSON schema of a compilation config, for editors")
    .option("--serve", "the schema of a --config file instead")
    .action(({ serve }: { serve?: true }) =>
      io.stdout(`${JSON.stringify(serve === true ? serveSchema : compilationConfigSchema, null, 2)}\n`),
    );
}

// ---- check

interface CheckOptions extends FactOptions {
  readonly strict?: true;
  readonly json?: true;
}

async function check(files: readonly string[], options: CheckOptions, io: CliIo): Promise<void> {
  const facts = await lintFacts(options, io);
  const all: ConfigFinding[] = [];
  for (const given of files)
    for await (const { source, findings } of checkFiles(given, facts, io)) {
      all.push(...findings);
      if (options.json === true) continue;
      for (const finding of findings) io.stdout(findingLine(finding, io));
      io.stdout(`${source}: ${findingCounts(findings)}\n`);
    }
  if (options.json === true) {
    const plain = all.map(({ source, ...finding }) => ({ file: source, ...finding }));
    io.stdout(`${JSON.stringify(plain, null, 2)}\n`);
  }
  const failing = options.strict === true ? ["error", "warning"] : ["error"];
  if (all.some(({ severity }) => failing.includes(severity))) io.exitCode = 1;
}

interface CheckedFile {
  readonly source: string;
  readonly findings: readonly ConfigFinding[];
}

/** Checks a file, or each match of a glob. One that cannot be read is a finding, and the others are still checked. */
async function* checkFiles(given: string, facts: LintFacts, io: CliIo): AsyncGenerator<CheckedFile> {
  let paths: readonly string[];
  try {
    paths = await expandGlobs([given]);
  } catch (error) {
    yield unreadableFile(given, error);
    return;
  }
  for (const path of paths) {
    try {
      const text = await readTextInput(path, io, "check the path");
      yield { source: inputName(path), findings: fileFindings({ name: inputName(path), text }, facts) };
    } catch (error) {
      yield unreadableFile(path, error);
    }
  }
}

function unreadableFile(path: string, error: unknown): CheckedFile {
  if (!VitgraphError.is(error) || error.code !== "VG_FILE_UNREADABLE") throw error;
  const { fact, remedy } = error;
  const source = inputName(path);
  const finding = { source, severity: "error", message: fact } as const;
  return { source, findings: [remedy === undefined ? finding : { ...finding, remedy }] };
}

function describeNote(note: ConfigNote, io: CliIo): string {
  const level = note.level === "info" ? "note" : io.style("yellow", note.level);
  return `${formatPlace(note)}: ${level}: ${note.message}`;
}

// ---- explain

interface ExplainOptions {
  readonly json?: true;
  readonly given?: true;
}

function explain(args: readonly string[], options: ExplainOptions, io: CliIo): void {
  const { compilationConfig, fileOptions, rest } = parseServeArguments(args, {
    readFile: (path) => readTextSync(path, "check the path"),
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
  for (const note of compilationConfig.notes) io.stderr(`${describeNote(note, io)}\n`);
  const others = [...rest, ...dottedOptions(args).map(({ option, keys }) => option + keys)];
  if (others.length > 0) printNote(io, `ignored, not part of the compilation config: ${others.join(" ")}`);
  const fileNames = Object.keys(fileOptions);
  if (fileNames.length > 0)
    printNote(io, `in the config file, but not part of the compilation config: ${fileNames.join(", ")}`);
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
