/** `vitgraph plan`: budgets to capture for the traffic of a log, compared with powers of two. */
import { basename } from "node:path";
import { compilationConfigSchema } from "@vitgraph/config";
import {
  createVisionModel,
  DEFAULT_MAX_BATCH_TOKENS,
  imageProcessorOf,
  readJsonObject,
  readProcessorSettings,
} from "@vitgraph/core";
import { listed, VitgraphError } from "@vitgraph/errors";
import {
  type BudgetReport,
  commonSizes,
  drawBudgets,
  histogramOf,
  packedSizes,
  planBudgets,
  powerOfTwoBudgets,
  reportBudgets,
  type SizeCount,
} from "@vitgraph/scheduler";
import { type Command, Option } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { checkOutput, inputName, outputPath, readTextInput, writeOutput } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
import { percent, renderTable } from "../table.js";
import { type ImageModel, imageBudgetTokens } from "./image-budget.js";
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
  readonly waiting: number;
  readonly maxBatchTokens?: number;
  readonly picture?: string;
  readonly json?: true;
}

export function registerPlan(program: Command, io: CliIo): void {
  const command = program.command("plan");
  command
    .description("plan token budgets for observed traffic, and compare them with power-of-two ones")
    .option(
      "--trace <file>",
      "log of image sizes or token counts, or - for standard input; the formats are listed below",
    )
    .addOption(
      new Option(
        "--common-grids",
        "instead of a log: the 100 most frequent grids of a product catalogue",
      ).conflicts(["trace", "model"]),
    )
    .option(
      "--model <dir-or-id>",
      "checkpoint whose image processor turns pixels into tokens; needed for a log of image sizes",
    )
    .option(
      "--max-graphs <count>",
      "maximum number of graphs (default: as many as powers of two)",
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
      "the smallest budget allowed; vLLM requires at least the items in a batch",
      positiveInteger,
      64,
    )
    .option(
      "--waiting <count>",
      "maximum number of waiting items: budgets are planned for the batches that vLLM packs from 1 to this many items",
      positiveInteger,
      1,
    )
    .option(
      "--max-batch-tokens <count>",
      `most tokens of a batch of several items (default: ${DEFAULT_MAX_BATCH_TOKENS}); needs --waiting`,
      positiveInteger,
    )
    .option(
      "--picture <file.svg>",
      "draw the sizes that each budget serves, and its padding",
      outputPath(".svg"),
    )
    .option("--json", "print the plan as JSON")
    .action((options: PlanCommandOptions) => {
      if (options.trace === undefined && options.commonGrids === undefined)
        command.error("error: plan needs a log of sizes: give --trace FILE or --common-grids");
      if (options.memoryLimit !== undefined && options.bytesPerGraph === undefined)
        command.error("error: --memory-limit has no effect without --bytes-per-graph: add it");
      if (options.maxBatchTokens !== undefined && options.waiting === 1)
        command.error("error: --max-batch-tokens has no effect without --waiting of 2 or more: add it");
      if (options.smallestBudget > LARGEST_BUDGET)
        command.error(`error: a token budget has at most ${LARGEST_BUDGET} tokens: lower --smallest-budget`);
      return plan(options, io);
    });
  addHelpNotes(command, TRACE_FORMATS + COST_HELP);
}

const COST_HELP = `
Cost: the tokens that vLLM computes for an item, padding included. Every batch replays the smallest budget that holds it, so the cost is the budget divided by the items in the batch. Device time grows with it, except for small budgets, where kernel launches take longer than computing. vitgraph does not compute the padding, so closer budgets save it little.`;

/** A budget plan with its histogram. */
interface Planned {
  /** Tokens of items, or of the batches that they are packed into. */
  readonly histogram: readonly SizeCount[];
  readonly report: BudgetReport;
  /** Tokens that an item takes, padding included. */
  readonly computedTokens: number;
}

async function plan(options: PlanCommandOptions, io: CliIo): Promise<void> {
  await checkOutput(options.picture);
  const { name, sizes } = await readSizes(options, io);
  const items = histogramOf(sizes);
  const largest = Math.max(options.maxBatchTokens ?? DEFAULT_MAX_BATCH_TOKENS, items.at(-1)!.tokens);
  const batches = batchesOf(items, largest, options);
  const powers = powersOfTwo(batches, options.smallestBudget);
  const planned = withCost(
    options,
    batches,
    planBudgets(batches, {
      maxGraphs: Math.min(options.maxGraphs ?? powers.length, fittingGraphs(options)),
      smallestBudget: options.smallestBudget,
      ...(options.waiting === 1 ? {} : { multipleOf: PACKED_MULTIPLE }),
    }),
  );
  // The largest budget determines the batches.
  const otherBatches = batchesOf(items, Math.max(powers.at(-1)!, items.at(-1)!.tokens), options);
  const compared = withCost(options, otherBatches, reportBudgets(otherBatches, powers));
  io.stdout(
    options.json
      ? `${JSON.stringify(toJson(planned, compared, options), null, 2)}\n`
      : describePlan(name, items, planned, compared, options),
  );
  if (options.picture !== undefined)
    await writeOutput(options.picture, picture(name, planned, compared, options), io);
}

/** @throws VG_ARGUMENT_INVALID if the memory limit allows no graph */
function fittingGraphs({
  bytesPerGraph = 0,
  memoryLimit = Number.POSITIVE_INFINITY,
}: PlanCommandOptions): number {
  const graphs = bytesPerGraph === 0 ? Number.POSITIVE_INFINITY : Math.floor(memoryLimit / bytesPerGraph);
  if (graphs > 0) return graphs;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `no graph of ${bytesPerGraph} bytes fits into ${memoryLimit} bytes`,
    { remedy: "raise --memory-limit", details: { bytesPerGraph, memoryLimit } },
  );
}

/** The batches for this largest budget; the items themselves if each runs alone. */
function batchesOf(
  items: readonly SizeCount[],
  largestBudget: number,
  { waiting, smallestBudget }: PlanCommandOptions,
): readonly SizeCount[] {
  if (waiting === 1) return items;
  return packedSizes(items, { waiting, largestBudget, maxItems: smallestBudget });
}

function withCost(
  { waiting }: PlanCommandOptions,
  histogram: readonly SizeCount[],
  report: BudgetReport,
): Planned {
  const batchesPerItem = waiting === 1 ? 1 : histogram.reduce((sum, { weight }) => sum + weight, 0);
  return { histogram, report, computedTokens: report.expectedCost * batchesPerItem };
}

/** Budgets of packed plans are multiples of this: the planning time grows with the square of the sizes, and batches have thousands. */
const PACKED_MULTIPLE = 32;

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
    printNote(io, `--model has no effect: ${name} has only token counts`);
  const model = inPixels ? await readImageModel(name, options.model, io) : undefined;
  return { name, sizes: possibleSizes(entries, model, name, io) };
}

/**
 * The entries' tokens. A size that the model rejects is skipped with a note: logs of user traffic contain some.
 * @throws VG_ARGUMENT_INVALID if none is left, or none with a count above 0
 */
function possibleSizes(
  entries: readonly TraceEntry[],
  model: ImageModel | undefined,
  name: string,
  io: CliIo,
): readonly SizeCount[] {
  const skipped: string[] = [];
  const sizes = entries.flatMap((entry): SizeCount[] => {
    try {
      const tokens = "tokens" in entry ? entry.tokens : imageBudgetTokens(entry, model!);
      if (tokens <= LARGEST_BUDGET) return [{ tokens, weight: entry.count }];
      skipped.push(`${entry.place}: skipped: ${tokens} tokens are more than the largest token budget`);
      return [];
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

/** The largest token budget that the compilation config's schema allows. */
const LARGEST_BUDGET = compilationConfigSchema.properties!.encoder_cudagraph_token_budgets!.items!.maximum!;

/** Most notes of one kind, and most names in one note. */
const MAX_LISTED = 10;

async function readImageModel(name: string, model: string | undefined, io: CliIo): Promise<ImageModel> {
  if (model === undefined) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `${name} has image sizes, and no model turns them into tokens`,
      {
        remedy: "give the model with --model, or token counts",
        details: { name },
      },
    );
  }
  const directory = await downloadSettings(model, io);
  const config = await readJsonObject(directory, "config.json");
  const { image } = await readProcessorSettings(directory);
  const vision = createVisionModel(config);
  return { vision, processor: imageProcessorOf(vision, image) };
}

// ---- writing

function describePlan(
  name: string,
  items: readonly SizeCount[],
  planned: Planned,
  compared: Planned,
  { waiting, smallestBudget, bytesPerGraph }: PlanCommandOptions,
): string {
  const sizes = items.length === 1 ? "one size" : `${items.length} sizes`;
  const [smallest, largest] = [items[0]!.tokens, items.at(-1)!.tokens];
  const range = smallest === largest ? `${smallest} tokens` : `${smallest} to ${largest} tokens`;
  const budgets = renderTable(
    [
      { title: "budget", align: "right" },
      { title: waiting === 1 ? "items" : "batches", align: "right" },
      { title: "padding", align: "right" },
    ],
    planned.report.byBudget.map(({ budget, share, padding }) => [
      String(budget),
      percent(share),
      percent(padding),
    ]),
  );
  const row = (title: string, { report, computedTokens }: Planned): string[] => [
    title,
    String(report.budgets.length),
    percent(report.padding),
    computedTokens.toFixed(1),
  ];
  const comparison = renderTable(
    [
      { title: "budgets" },
      { title: "graphs", align: "right" },
      { title: "padding", align: "right" },
      { title: "cost: tokens per item, with padding", align: "right" },
    ],
    [row("planned", planned), row("powers of two", compared)],
  );
  const packing =
    waiting === 1
      ? "Each item runs alone; --waiting COUNT plans for batches of several."
      : `1 to ${waiting} items wait at a time, their sizes drawn from the log. They are packed as vLLM does: at most ${planned.report.budgets.at(-1)}
tokens and ${smallestBudget} items in a batch.`;
  const memory =
    bytesPerGraph === undefined
      ? ""
      : `The planned graphs take ${planned.report.budgets.length * bytesPerGraph} bytes.\n`;
  const config = JSON.stringify({
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: planned.report.budgets,
  });
  return `${name}: ${sizes}, ${range}\n\n${budgets}\n${comparison}\n${packing}\n${COST}${memory}\n--compilation-config '${config}'\n`;
}

const COST = `The cost is vLLM's, which computes the padding. vitgraph does not compute it: closer budgets save it little.
`;

function toJson(
  planned: Planned,
  compared: Planned,
  { waiting, bytesPerGraph = 0 }: PlanCommandOptions,
): object {
  const flat = ({ report, computedTokens }: Planned) => {
    const { expectedCost: _, ...rest } = report;
    return { ...rest, computedTokensPerItem: computedTokens };
  };
  const bytes = planned.report.budgets.length * bytesPerGraph;
  return { waiting, planned: { ...flat(planned), bytes }, powersOfTwo: flat(compared) };
}

function picture(name: string, planned: Planned, compared: Planned, { waiting }: PlanCommandOptions): string {
  const note = (title: string, { report, computedTokens }: Planned): string =>
    `${title}: ${report.budgets.length} graphs, ${computedTokens.toFixed(0)} tokens computed for an item, ${percent(report.padding)} of them padding`;
  const packed = waiting === 1 ? "" : `, 1 to ${waiting} items waiting at a time`;
  return drawBudgets({
    histogram: planned.histogram,
    budgets: planned.report.budgets,
    comparedWith: { name: "powers of two", budgets: compared.report.budgets },
    title: `Sizes and budgets: ${name}${packed}`,
    notes: [note("planned", planned), note("powers of two", compared)],
    counted: waiting === 1 ? "item" : "batch",
  });
}
