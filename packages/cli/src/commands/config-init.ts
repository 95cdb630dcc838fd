/** `vitgraph config init`: writes a first config file, which names its schema for editors. */
import { access } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import {
  type CompilationConfigInput,
  compilationConfigSchema,
  generateTokenBudgets,
  type LintFacts,
  lintCompilationConfig,
  parseCompilationConfig,
} from "@vitgraph/config";
import { DEFAULT_MAX_BATCH_TOKENS } from "@vitgraph/core";
import type { Command } from "commander";
import { Document, isMap, type Scalar } from "yaml";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { checkNewOutput, outputPath, writeNewOutput } from "../files.js";
import { readModelFacts } from "./config-facts.js";
import { positiveInteger } from "./model-options.js";

interface InitOptions {
  readonly model?: string;
  readonly maxBatchTokens?: number;
}

const DEFAULT_FILE = "serve.yaml";

export function registerConfigInit(config: Command, io: CliIo): void {
  const command = config.command("init");
  command
    .description("write a first config file: graphs and fusion on, and the schema named for editors")
    .argument(
      "[file]",
      "a --config file (.yaml, .yml), or a compilation config alone (.json)",
      outputPath(".yaml", ".yml", ".json"),
      DEFAULT_FILE,
    )
    .option("--model <dir-or-id>", "checkpoint whose token budgets are filled in: its settings are read")
    .option(
      "--max-batch-tokens <count>",
      `the largest token budget (default: ${DEFAULT_MAX_BATCH_TOKENS}); needs --model`,
      positiveInteger,
    )
    .action((file: string, options: InitOptions) => {
      if (options.maxBatchTokens !== undefined && options.model === undefined)
        command.error("error: --max-batch-tokens has no effect without --model: add it");
      return init(file, options, io);
    });
}

async function init(file: string, { model, maxBatchTokens }: InitOptions, io: CliIo): Promise<void> {
  await checkNewOutput(file);
  const facts =
    model === undefined
      ? {}
      : await readModelFacts(await downloadSettings(model, io), maxBatchTokens ?? DEFAULT_MAX_BATCH_TOKENS);
  const config = startingConfig(facts);
  if (config.cudagraph_mm_encoder === false)
    printNote(io, `the encoder of model type ${facts.modelType} is not captured: the file has no budgets`);
  const isJson = file.toLowerCase().endsWith(".json");
  const schema = await schemaPath(file, isJson ? JSON_SCHEMA : YAML_SCHEMA);
  if (!schema.isInstalled)
    printNote(
      io,
      `editors need the schema ${schema.path}: npm install --save-dev @vitgraph/config, or see vitgraph config schema`,
    );
  await writeNewOutput(
    file,
    isJson ? jsonText(config, schema.path) : yamlText(file, model, config, schema.path),
  );
  if (isJson) printNote(io, "vLLM refuses the key $schema: remove it where the file goes to vLLM");
  io.stdout(`wrote ${file}\n`);
}

/** A config with the inferred budgets, except those that no batch of the model reaches. */
function startingConfig({
  compileSupported = true,
  cudagraphSupported = true,
  ...facts
}: LintFacts): CompilationConfigInput {
  const switches = { compile_mm_encoder: compileSupported, cudagraph_mm_encoder: cudagraphSupported };
  if (facts.budgetRange === undefined || !cudagraphSupported) return switches;
  const { min, max } = facts.budgetRange;
  const budgets = generateTokenBudgets(min, max);
  const inferred = { ...switches, encoder_cudagraph_token_budgets: budgets };
  const unreachable = lintCompilationConfig(parseCompilationConfig(inferred).config, facts)
    .filter(({ rule }) => rule === "budget-unreachable")
    .map(({ pointer }) => pointer);
  const isReachable = (_: number, index: number) =>
    !unreachable.includes(`/encoder_cudagraph_token_budgets/${index}`);
  return { ...switches, encoder_cudagraph_token_budgets: budgets.filter(isReachable) };
}

// ---- the text

const JSON_SCHEMA = "generated/compilation-config.schema.json";
const YAML_SCHEMA = "generated/serve-config.schema.json";

/** Path of the schema, relative to the file: in the nearest node_modules that has it, else in the file's directory. */
async function schemaPath(file: string, name: string): Promise<{ path: string; isInstalled: boolean }> {
  const inPackage = join("node_modules", "@vitgraph", "config", "schema", name);
  const start = dirname(resolve(file));
  let directory = start;
  for (;;) {
    const found = join(directory, inPackage);
    const isInstalled = await access(found).then(
      () => true,
      () => false,
    );
    if (isInstalled) return { path: posix(relative(start, found)), isInstalled };
    const parent = dirname(directory);
    if (parent === directory) return { path: posix(inPackage), isInstalled: false };
    directory = parent;
  }
}

/** A relative path with slashes. It begins with a dot, so that it does not look like a package's name. */
function posix(path: string): string {
  const text = path.split(sep).join("/");
  return text.startsWith(".") ? text : `./${text}`;
}

function jsonText(config: CompilationConfigInput, schema: string): string {
  const members = Object.entries({ $schema: schema, ...config });
  const lines = members.map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n}\n`;
}

function yamlText(
  file: string,
  model: string | undefined,
  config: CompilationConfigInput,
  schema: string,
): string {
  const document = new Document({ ...(model === undefined ? {} : { model }), "compilation-config": config });
  document.commentBefore = ` yaml-language-server: $schema=${schema}\n For vitgraph serve --config ${file}, and vllm serve --config ${file}.`;
  const map = document.get("compilation-config");
  if (isMap<Scalar<string>>(map))
    for (const { key } of map.items) key.commentBefore = ` ${firstSentence(key.value)}`;
  const budgets = document.getIn(["compilation-config", "encoder_cudagraph_token_budgets"]);
  if (budgets !== undefined) (budgets as { flow?: boolean }).flow = true;
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** The first sentence of a key's description in the schema. */
function firstSentence(key: string): string {
  return /^.*?\.(?=\s|$)/.exec(compilationConfigSchema.properties?.[key]?.description ?? "")?.[0] ?? "";
}
