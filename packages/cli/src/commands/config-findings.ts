/** Findings in config files, for `vitgraph config check` and `fix`: the options with facts for the linter, and the output. */
import { type ConfigFinding, formatPlace, type LintFacts } from "@vitgraph/config";
import { DEFAULT_MAX_BATCH_TOKENS, type ImageSize } from "@vitgraph/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CliIo } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { counted } from "../table.js";
import { readModelFacts } from "./config-facts.js";
import { positiveInteger } from "./model-options.js";

export interface FactOptions {
  readonly model?: string;
  readonly maxBatchTokens?: number;
  readonly image: readonly ImageSize[];
  readonly video: boolean;
}

export function addFactOptions(command: Command): Command {
  return command
    .option(
      "--model <dir-or-id>",
      "checkpoint to check against: its config.json and processor files are read",
    )
    .option(
      "--max-batch-tokens <count>",
      `the largest inferred token budget (default: ${DEFAULT_MAX_BATCH_TOKENS}); needs --model`,
      positiveInteger,
    )
    .addOption(
      new Option(
        "--image <width>x<height>",
        "size of an image that will be sent; may be repeated; needs --model",
      )
        .argParser(imageSize)
        .default([], "none"),
    )
    .option("--no-video", "no videos will be sent; needs --model")
    .hook("preAction", () => {
      const options = command.opts<FactOptions>();
      const needsModel = [
        ...(options.maxBatchTokens === undefined ? [] : ["--max-batch-tokens"]),
        ...(options.image.length === 0 ? [] : ["--image"]),
        ...(options.video ? [] : ["--no-video"]),
      ];
      if (options.model === undefined && needsModel.length > 0)
        command.error(`error: ${needsModel[0]} has no effect without --model: add it`);
    });
}

function imageSize(text: string, earlier: readonly ImageSize[]): readonly ImageSize[] {
  const match = /^([1-9]\d*)[x×]([1-9]\d*)$/i.exec(text);
  if (match === null) throw new InvalidArgumentError("expected a size such as 1920x1080");
  return [...earlier, { width: Number(match[1]), height: Number(match[2]) }];
}

/** Facts from the options, including a model's settings; those of a hub id are downloaded. */
export async function lintFacts(options: FactOptions, io: CliIo): Promise<LintFacts> {
  const { model, maxBatchTokens = DEFAULT_MAX_BATCH_TOKENS, image } = options;
  return {
    ...(model && (await readModelFacts(await downloadSettings(model, io), maxBatchTokens, image))),
    ...(options.video ? {} : { videoLimit: 0 }),
  };
}

const COLORS = { error: "red", warning: "yellow" } as const;

/** Formats a finding like a compiler's message, for stdout. */
export function findingLine(finding: ConfigFinding, io: CliIo): string {
  const { severity, message, remedy, rule } = finding;
  const level = severity === "note" ? severity : io.style(COLORS[severity], severity, "stdout");
  const remedyText = remedy === undefined ? "" : `: ${remedy}`;
  const ruleText = rule === undefined ? "" : ` [${rule}]`;
  return `${formatPlace(finding)}: ${level}: ${message}${remedyText}${ruleText}\n`;
}

/** "1 error, 2 warnings". */
export function findingCounts(findings: readonly ConfigFinding[]): string {
  const total = (noun: string) => counted(findings.filter(({ severity }) => severity === noun).length, noun);
  return `${total("error")}, ${total("warning")}`;
}
