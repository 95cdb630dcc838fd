/** `vitgraph config`: mistakes in a compilation config, the values that it comes to, and the schemas. */
import {
  type ConfigDocument,
  type ConfigFinding,
  type ConfigNote,
  compilationConfigSchema,
  configFindings,
  type ExplainedKey,
  explainConfig,
  formatOrigin,
  formatPlace,
  type ImageSize,
  type LintFacts,
  parseConfigFile,
  parseJsonDocument,
  parseServeArguments,
} from "@vitgraph/config";
import serveSchema from "@vitgraph/config/serve.schema.json" with { type: "json" };
import { parseYamlDocument } from "@vitgraph/config/yaml";
import { DEFAULT_MAX_BATCH_TOKENS } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { type Command, InvalidArgumentError } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { expandGlobs, inputName, readTextInput, readTextSync } from "../files.js";
import { dottedOptions } from "../serve-options.js";
import { counted, renderTable } from "../table.js";
import { readModelFacts } from "./config-facts.js";
import { registerConfigInit } from "./config-init.js";
import { positiveInteger } from "./model-options.js";

export function registerConfig(program: Command, io: CliIo): void {
  const config = program
    .command("config")
    .description("write, check, explain and describe compilation configs");
  registerConfigInit(config, io);
  const checkCommand = config.command("check");
  checkCommand
    .description("find errors and likely mistakes in config files; exits with 1 on errors")
    .argument(
      "<file...>",
      "YAML or JSON files, globs, or - for standard input: compilation configs, or --config files that have one",
    )
    .option(
      "--model <dir-or-id>",
      "checkpoint to check against: its config.json and processor files are read",
    )
    .option(
      "--max-batch-tokens <count>",
      `the largest inferred token budget (default: ${DEFAULT_MAX_BATCH_TOKENS}); needs --model`,
      positiveInteger,
    )
    .option(
      "--image <width>x<height>",
      "size of an image that will be sent; may be repeated; needs --model",
      imageSize,
      [],
    )
    .option("--no-video", "no videos will be sent; needs --model")
    .option("--strict", "exit with 1 on warnings, too")
    .option("--json", "print the findings as a JSON array")
    .action((files: string[], options: CheckOptions) => {
      const needsModel = [
        ...(options.maxBatchTokens === undefined ? [] : ["--max-batch-tokens"]),
        ...(options.image.length === 0 ? [] : ["--image"]),
        ...(options.video ? [] : ["--no-video"]),
      ];
      if (options.model === undefined && needsModel.length > 0)
        checkCommand.error(`error: ${needsModel[0]} has no effect without --model: add it`);
      return check(files, options, io);
    });
  config
    .command("explain")
    .description("print each key's value and its origin, for the arguments of `vllm serve`")
    .usage("[--json] [--given] [-cc JSON] [-cc.KEY=VALUE] [-O LEVEL] [--config FILE] …")
    .argument("[arguments...]", "as for serving; those of other parts of vLLM are named in a note")
    .option("--json", "the same as JSON")
    .option("--given", "only what was given, or follows from it")
    .allowUnknownOption()
    .action((args: string[], options: ExplainOptions) => explain(args, options, io));
  config
    .command("schema")
    .description("print the JSON schema of a compilation config, for editors")
    .option("--serve", "the schema of a --config file instead")
    .action(({ serve }: { serve?: true }) =>
      io.stdout(`${JSON.stringify(serve === true ? serveSchema : compilationConfigSchema, null, 2)}\n`),
    );
}

// ---- check

interface CheckOptions {
  readonly model?: string;
  readonly maxBatchTokens?: number;
  readonly image: readonly ImageSize[];
  readonly video: boolean;
  readonly strict?: true;
  readonly json?: true;
}

/** One line of the report. Its names are those of `--json`. */
type Finding = Omit<ConfigFinding, "source"> & { readonly file: string };

async function check(files: readonly string[], options: CheckOptions, io: CliIo): Promise<void> {
  const { model, maxBatchTokens = DEFAULT_MAX_BATCH_TOKENS } = options;
  const facts: LintFacts = {
    ...(model === undefined ? {} : await readModelFacts(await downloadSettings(model, io), maxBatchTokens)),
    imageSizes: options.image,
    ...(options.video ? {} : { videoLimit: 0 }),
  };
  const all: Finding[] = [];
  for (const file of await expandGlobs(files)) {
    const findings = await findingsIn(file, facts, io);
    all.push(...findings);
    if (options.json !== true) io.stdout(reportOf(inputName(file), findings));
  }
  if (options.json === true) io.stdout(`${JSON.stringify(all, null, 2)}\n`);
  const failing = options.strict === true ? ["error", "warning"] : ["error"];
  if (all.some(({ severity }) => failing.includes(severity))) io.exitCode = 1;
}

async function findingsIn(file: string, facts: LintFacts, io: CliIo): Promise<readonly Finding[]> {
  const source = inputName(file);
  try {
    const text = await readTextInput(file, io, "check the path");
    const resolve = () => parseConfigFile(parseDocument(text, source)).compilationConfig;
    return configFindings(source, resolve, facts).map(({ source: name, ...finding }) => ({
      file: name,
      ...finding,
    }));
  } catch (error) {
    // Other files may be fine.
    if (!VitgraphError.is(error) || error.code !== "VG_FILE_UNREADABLE") throw error;
    const { fact, remedy } = error;
    return [{ file: source, severity: "error", message: fact, ...(remedy === undefined ? {} : { remedy }) }];
  }
}

/** A line for each finding, as compilers print them, and a line of counts. */
function reportOf(name: string, findings: readonly Finding[]): string {
  const lines = findings.map(({ file, severity, message, remedy, rule, ...place }) => {
    const remedyText = remedy === undefined ? "" : `: ${remedy}`;
    const ruleText = rule === undefined ? "" : ` [${rule}]`;
    return `${formatPlace({ source: file, ...place })}: ${severity}: ${message}${remedyText}${ruleText}\n`;
  });
  const total = (noun: string) => counted(findings.filter(({ severity }) => severity === noun).length, noun);
  return `${lines.join("")}${name}: ${total("error")}, ${total("warning")}\n`;
}

function describeNote(note: ConfigNote): string {
  return `${formatPlace(note)}: ${note.level === "info" ? "note" : note.level}: ${note.message}`;
}

/** By the name's ending, or else by content: JSON begins with a bracket or a quote. */
function parseDocument(text: string, source: string): ConfigDocument {
  const ending = /\.(json|ya?ml)$/i.exec(source)?.[1]?.toLowerCase();
  const isJson = ending === undefined ? /^\uFEFF?\s*[[{"]/.test(text) : ending === "json";
  return isJson ? parseJsonDocument(text, source) : parseYamlDocument(text, source);
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
  for (const note of compilationConfig.notes) io.stderr(`${describeNote(note)}\n`);
  const others = [...rest, ...dottedOptions(args).map(({ option, keys }) => option + keys)];
  if (others.length > 0) printNote(io, `not the compilation config's, without effect: ${others.join(" ")}`);
  const fileNames = Object.keys(fileOptions);
  if (fileNames.length > 0)
    printNote(io, `not the compilation config's, in the config file: ${fileNames.join(", ")}`);
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
