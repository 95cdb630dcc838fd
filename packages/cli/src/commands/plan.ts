/** `vitgraph plan`: budgets to capture for the traffic of a log, compared with powers of two. */
import { basename } from "node:path";
import {
  type ImageProcessor,
  imageGrid,
  readImageProcessor,
  readJsonObject,
  readProcessorSettings,
  tokenCount,
} from "@vitgraph/core";
import { listed, VitgraphError } from "@vitgraph/errors";
import {
  type BudgetPlan,
  type BudgetReport,
  commonSizes,
  drawBudgets,
  histogramOf,
  planBudgets,
  powerOfTwoBudgets,
  reportBudgets,
  type SizeCount,
} from "@vitgraph/scheduler";
import { type Command, Option } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { checkOutput, inputName, outputPath, readTextInput, writeOutput } from "../files.js";
import { percent, renderTable } from "../table.js";
import { byteCount, positiveInteger } from "./model-options.js";
import { parseTrace, TRACE_FORMATS, type TraceEntry } from "./plan-trace.js";

interface PlanCommandOptions {
  readonly trace?: string;
  readonly commonGrids?: true;
  readonly model?: string;
  readonly maxGraphs?: number;
  readonly bytesPerGraph?: number;
  readonly memoryLimit?: number;
  readonly smallestBudget: number;
  readonly picture?: string;
  readonly json?: true;
}

export function registerPlan(program: Command, io: CliIo): void {
  const command = program.command("plan");
  command
    .description("plan token budgets for observed traffic, and compare them with power-of-two ones")
    .option(
      "--trace <file>",
      "log of image sizes or token counts, or - for standard input; its forms are below",
    )
    .addOption(
      new Option(
        "--common-grids",
        "instead of a log: the 100 most frequent grids of a product catalogue",
      ).conflicts(["trace", "model"]),
    )
    .option(
      "--model <dir-or-id>",
      "checkpoint whose image processor turns pixels into tokens (default: Qwen3-VL's)",
    )
    .option(
      "--max-graphs <count>",
      "most graphs to capture (default: as many as powers of two)",
      positiveInteger,
    )
    .option(
      "--bytes-per-graph <bytes>",
      "bytes that each graph takes: 200M (of 1024² bytes), 1.5g (of 10⁹)",
      byteCount,
    )
    .option("--memory-limit <bytes>", "bytes for all graphs together; needs --bytes-per-graph", byteCount)
    .option(
      "--smallest-budget <tokens>",
      "no budget is smaller: at least the items in a batch",
      positiveInteger,
      64,
    )
    .option("--picture <file.svg>", "draw the sizes with the budgets on them", outputPath(".svg"))
    .option("--json", "print the plan as JSON")
    .addHelpText("after", TRACE_FORMATS)
    .action((options: PlanCommandOptions) => {
      if (options.trace === undefined && options.commonGrids === undefined)
        command.error("error: plan needs a log of sizes: give --trace FILE or --common-grids");
      if (options.memoryLimit !== undefined && options.bytesPerGraph === undefined)
        command.error("error: --memory-limit has no effect without --bytes-per-graph: add it");
      return plan(options, io);
    });
}

async function plan(options: PlanCommandOptions, io: CliIo): Promise<void> {
  await checkOutput(options.picture);
  const { name, sizes } = await readSizes(options, io);
  const histogram = histogramOf(sizes);
  const powers = powersOfTwo(histogram, options.smallestBudget);
  const planned = planBudgets(histogram, {
    maxGraphs: options.maxGraphs ?? powers.length,
    smallestBudget: options.smallestBudget,
    ...(options.bytesPerGraph === undefined ? {} : { bytesPerGraph: options.bytesPerGraph }),
    ...(options.memoryLimit === undefined ? {} : { memoryLimit: options.memoryLimit }),
  });
  const compared = reportBudgets(histogram, powers);
  if (options.picture !== undefined)
    await writeOutput(options.picture, picture(name, histogram, planned, compared), io);
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

// ---- reading

async function readSizes(
  options: PlanCommandOptions,
  io: CliIo,
): Promise<{ name: string; sizes: readonly SizeCount[] }> {
  if (options.trace === undefined) return { name: "common grids", sizes: commonSizes() };
  const name = basename(inputName(options.trace));
  const text = await readTextInput(options.trace, io, "check the path given to --trace");
  const { entries, unusedColumns } = parseTrace(text, name);
  if (unusedColumns.length > 0)
    printNote(io, `${name}: columns without effect: ${listed(unusedColumns, MAX_LISTED, inputName)}`);
  const inPixels = entries.some((entry) => "height" in entry);
  if (!inPixels && options.model !== undefined)
    printNote(io, `--model has no effect: ${name} has token counts alone`);
  const processor = inPixels ? await readProcessor(options.model, io) : undefined;
  return { name, sizes: possibleSizes(entries, processor, name, io) };
}

/**
 * The entries' tokens. A size that the model refuses is skipped with a note: a log of what users sent has some.
 * @throws VG_ARGUMENT_INVALID if none is left, or none with a count above 0
 */
function possibleSizes(
  entries: readonly TraceEntry[],
  processor: ImageProcessor | undefined,
  name: string,
  io: CliIo,
): readonly SizeCount[] {
  const skipped: string[] = [];
  const sizes = entries.flatMap((entry): SizeCount[] => {
    if ("tokens" in entry) return [{ tokens: entry.tokens, weight: entry.count }];
    try {
      const grid = imageGrid(entry, processor!);
      return [{ tokens: tokenCount(grid, processor!.mergeSize), weight: entry.count }];
    } catch (error) {
      if (!VitgraphError.is(error)) throw error;
      skipped.push(`${entry.place}: skipped: ${error.fact}`);
      return [];
    }
  });
  for (const line of skipped.slice(0, MAX_LISTED)) printNote(io, line);
  if (skipped.length > MAX_LISTED) printNote(io, `${name}: ${skipped.length - MAX_LISTED} more skipped`);
  if (sizes.some(({ weight }) => weight > 0)) return sizes;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} has no size to plan for`, {
    remedy: "give one that the model takes, with a count above 0",
    details: { name, skipped: skipped.length },
  });
}

/** Notes of one kind, and names in one note. */
const MAX_LISTED = 10;

async function readProcessor(model: string | undefined, io: CliIo): Promise<ImageProcessor> {
  if (model === undefined) return readImageProcessor(undefined, "qwen3_vl");
  const directory = await downloadSettings(model, io);
  const config = await readJsonObject(directory, "config.json");
  const { image } = await readProcessorSettings(directory);
  return readImageProcessor(image, String(config.model_type));
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
    planned.byBudget.map(({ budget, share, padding }) => [String(budget), percent(share), percent(padding)]),
  );
  const row = (title: string, report: BudgetReport): string[] => [
    title,
    String(report.budgets.length),
    percent(report.padding),
    report.expectedCost.toFixed(1),
  ];
  const comparison = renderTable(
    [
      { title: "budgets" },
      { title: "graphs", align: "right" },
      { title: "padding", align: "right" },
      { title: "tokens an item, with padding", align: "right" },
    ],
    [row("planned", planned), row("powers of two", compared)],
  );
  const memory = bytesPerGraph === undefined ? "" : `The planned graphs take ${planned.bytes} bytes.\n`;
  const config = JSON.stringify({
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: planned.budgets,
  });
  return `${name}: ${sizes}, ${range}\n\n${budgets}\n${comparison}\n${PADDING}${memory}\n--compilation-config '${config}'\n`;
}

const PADDING = `Each item is counted as if it ran alone; both engines pack several into a budget. vLLM computes the padding, so these
shares are its cost. vitgraph does not compute it: closer budgets save it little.
`;

function picture(
  name: string,
  histogram: readonly SizeCount[],
  planned: BudgetPlan,
  compared: BudgetReport,
): string {
  const note = (title: string, { budgets, padding }: BudgetReport): string =>
    `${title}: ${budgets.length} graphs, ${percent(padding)} of budget tokens are padding`;
  return drawBudgets({
    histogram,
    budgets: planned.budgets,
    comparedWith: { name: "power of two", budgets: compared.budgets },
    title: `Sizes and budgets: ${name}`,
    notes: [note("planned", planned), note("powers of two", compared)],
  });
}
