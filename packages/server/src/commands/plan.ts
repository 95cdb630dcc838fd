/** `vitgraph plan`: which budgets to capture for the traffic of a log, and what they save against powers of two. */
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseHumanReadableInteger } from "@vitgraph/config";
import { type ImageProcessor, imageGrid, readImageProcessor, tokenCount } from "@vitgraph/core";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import {
  type BatchCost,
  type BudgetPlan,
  type BudgetReport,
  commonSizes,
  drawBudgets,
  histogramOf,
  paddedTokens,
  planBudgets,
  powerOfTwoBudgets,
  reportBudgets,
  type SizeCount,
} from "@vitgraph/scheduler";
import { type Command, InvalidArgumentError } from "commander";
import type { CliIo } from "../cli-io.js";
import { percent, renderTable } from "../table.js";
import { positiveInteger } from "./model-options.js";
import { parseTrace, TRACE_FORMATS, type TraceEntry } from "./plan-trace.js";

interface PlanCommandOptions {
  readonly trace?: string;
  readonly commonGrids?: true;
  readonly model?: string;
  readonly maxGraphs?: number;
  readonly bytesPerGraph?: number;
  readonly memoryLimit?: number;
  readonly smallestBudget: number;
  readonly multipleOf: number;
  readonly eagerOverhead?: number;
  readonly picture?: string;
  readonly json?: true;
}

export function registerPlan(program: Command, io: CliIo): void {
  program
    .command("plan")
    .description("plan token budgets for observed traffic, and compare them with power-of-two ones")
    .option("--trace <file>", "log of image sizes or token counts; its forms are below")
    .option("--common-grids", "instead of a log: the 100 most frequent grids of a product catalogue")
    .option(
      "--model <dir>",
      "checkpoint whose image processor turns pixels into tokens (default: Qwen3-VL's)",
    )
    .option(
      "--max-graphs <count>",
      "most graphs to capture (default: as many as powers of two)",
      positiveInteger,
    )
    .option("--bytes-per-graph <bytes>", "bytes that each graph takes: 200M, 1.5g", bytes)
    .option("--memory-limit <bytes>", "bytes for all graphs together", bytes)
    .option(
      "--smallest-budget <tokens>",
      "no budget is smaller: at least the items in a batch",
      positiveInteger,
      64,
    )
    .option("--multiple-of <tokens>", "round budgets up to a multiple", positiveInteger, 1)
    .option(
      "--eager-overhead <tokens>",
      "what launching without a graph costs, in tokens' worth of time; items may then run eagerly",
      tokensWorth,
    )
    .option("--picture <file.svg>", "write a picture of the sizes with the budgets on them")
    .option("--json", "print the plan as JSON")
    .addHelpText("after", TRACE_FORMATS)
    .action((options: PlanCommandOptions) => plan(options, io));
}

async function plan(options: PlanCommandOptions, io: CliIo): Promise<void> {
  const { name, sizes } = await readSizes(options);
  const histogram = histogramOf(sizes);
  const cost = costOf(options.eagerOverhead);
  const powers = powersOfTwo(histogram, options.smallestBudget);
  const planned = planBudgets(histogram, {
    maxGraphs: options.maxGraphs ?? powers.length,
    smallestBudget: options.smallestBudget,
    multipleOf: options.multipleOf,
    cost,
    ...(options.bytesPerGraph === undefined ? {} : { bytesPerGraph: options.bytesPerGraph }),
    ...(options.memoryLimit === undefined ? {} : { memoryLimit: options.memoryLimit }),
  });
  const compared = reportBudgets(histogram, powers, cost);
  if (options.picture !== undefined) await writePicture(options.picture, name, histogram, planned, compared);
  io.stdout(
    options.json
      ? `${JSON.stringify({ planned, powersOfTwo: compared }, null, 2)}\n`
      : describePlan(name, histogram, planned, compared, options.bytesPerGraph),
  );
}

/** Powers of two from the smallest budget to the first that holds every size. */
function powersOfTwo(histogram: readonly SizeCount[], smallest: number): number[] {
  let largest = smallest;
  while (largest < histogram.at(-1)!.tokens) largest *= 2;
  return powerOfTwoBudgets(smallest, largest);
}

/** A replay computes its budget's tokens; an eager run the item's own, and pays for the launches. */
function costOf(eagerOverhead: number | undefined): BatchCost {
  if (eagerOverhead === undefined) return paddedTokens;
  return (tokens, budget) => budget ?? tokens + eagerOverhead;
}

// ---- reading

async function readSizes(options: PlanCommandOptions): Promise<{ name: string; sizes: SizeCount[] }> {
  if ((options.trace === undefined) === (options.commonGrids === undefined)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "plan needs a log of sizes", {
      remedy: "give either --trace FILE or --common-grids",
    });
  }
  if (options.trace === undefined) return { name: "common grids", sizes: commonSizes() };
  const name = basename(options.trace);
  const entries = parseTrace(await readText(options.trace, "check the path given to --trace"), name);
  const inPixels = entries.some((entry) => "height" in entry);
  const processor = inPixels ? await readProcessor(options.model) : undefined;
  return {
    name,
    sizes: entries.map((entry) => ({ tokens: tokensOf(entry, processor), weight: entry.count })),
  };
}

function tokensOf(entry: TraceEntry, processor: ImageProcessor | undefined): number {
  if ("tokens" in entry) return entry.tokens;
  return tokenCount(imageGrid(entry, processor!), processor!.mergeSize);
}

async function readProcessor(directory: string | undefined): Promise<ImageProcessor> {
  if (directory === undefined) return readImageProcessor(undefined, "qwen3_vl");
  const config = await readJson(join(directory, "config.json"));
  const settings = await readJson(join(directory, "preprocessor_config.json"));
  return readImageProcessor(settings, String(config.model_type));
}

async function readJson(path: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readText(path, "give the directory of a checkpoint to --model");
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw toVitgraphError(cause, "VG_MODEL_INVALID", `${path} is not JSON`, "mend the file");
  }
}

async function readText(path: string, remedy: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw toVitgraphError(cause, "VG_FILE_UNREADABLE", `cannot read ${path}`, remedy);
  }
}

function bytes(text: string): number {
  const value = parseHumanReadableInteger(text);
  if (value === undefined || value <= 0)
    throw new InvalidArgumentError("expected bytes, like 200000000, 200M or 1.5g");
  return value;
}

function tokensWorth(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("expected a number of at least 0");
  return value;
}

// ---- writing

function describePlan(
  name: string,
  histogram: readonly SizeCount[],
  planned: BudgetPlan,
  compared: BudgetReport,
  bytesPerGraph: number | undefined,
): string {
  const sizes = histogram.length === 1 ? "one size" : `${histogram.length} sizes`;
  const range = `${histogram[0]!.tokens} to ${histogram.at(-1)!.tokens} tokens`;
  const budgets = renderTable(
    [
      { title: "budget", align: "right" },
      { title: "items", align: "right" },
      { title: "padding", align: "right" },
    ],
    planned.byBudget.map(({ budget, share, waste }) => [String(budget), percent(share), percent(waste)]),
  );
  const row = (title: string, report: BudgetReport): string[] => [
    title,
    String(report.budgets.length),
    percent(report.waste),
    percent(report.eagerShare),
    report.expectedCost.toFixed(1),
  ];
  const comparison = renderTable(
    [
      { title: "budgets" },
      { title: "graphs", align: "right" },
      { title: "padding", align: "right" },
      { title: "eager", align: "right" },
      { title: "cost of an item", align: "right" },
    ],
    [row("planned", planned), row("powers of two", compared)],
  );
  const memory = bytesPerGraph === undefined ? "" : `\nThe planned graphs take ${planned.bytes} bytes.\n`;
  const config = JSON.stringify({ encoder_cudagraph_token_budgets: planned.budgets });
  const use =
    planned.budgets.length === 0
      ? "Eager is cheapest for every size.\n"
      : `--compilation-config '${config}'\n`;
  return `${name}: ${sizes}, ${range}\n\n${budgets}\n${comparison}${memory}\n${use}`;
}

async function writePicture(
  path: string,
  name: string,
  histogram: readonly SizeCount[],
  planned: BudgetPlan,
  compared: BudgetReport,
): Promise<void> {
  const note = (title: string, { budgets, waste }: BudgetReport): string =>
    `${title}: ${budgets.length} graphs, ${percent(waste)} of computed tokens are padding`;
  const svg = drawBudgets({
    histogram,
    budgets: planned.budgets,
    comparedWith: { name: "power of two", budgets: compared.budgets },
    title: `Sizes and budgets: ${name}`,
    notes: [note("planned", planned), note("powers of two", compared)],
  });
  try {
    await writeFile(path, svg);
  } catch (cause) {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot write ${path}`,
      "check the path given to --picture",
    );
  }
}
