/** `vitgraph print STAGE`: every artefact between the model and the device, as text. */
import type { ServeArguments } from "@vitgraph/config";
import {
  cacheableOp,
  compileForDevice,
  type Graph,
  printGraph,
  printMemoryPlan,
  printProgram,
  useGridCache,
} from "@vitgraph/core";
import { Argument, type Command } from "commander";
import type { CliIo } from "../cli-io.js";
import {
  addModelOptions,
  compilationConfigOf,
  type ModelOptions,
  openModel,
  positiveInteger,
} from "./model-options.js";

const STAGES = ["graph", "fused", "plan", "program"] as const;
type Stage = (typeof STAGES)[number];

interface PrintOptions extends ModelOptions {
  readonly budget: number;
  readonly gridCacheRows?: number;
}

/** vLLM's smallest budget for this family. */
const DEFAULT_BUDGET = 64;

export function registerPrint(program: Command, io: CliIo, serving: ServeArguments): void {
  addModelOptions(program.command("print"))
    .description(
      "print what the compiler makes of a model: the op graph, the fused graph, its memory plan, its program",
    )
    .addArgument(new Argument("<stage>").choices([...STAGES]))
    .option(
      "--budget <tokens>",
      "the token budget that plan and program are made for",
      positiveInteger,
      DEFAULT_BUDGET,
    )
    .option(
      "--grid-cache-rows <patches>",
      "print what runs over a grid cache of so many rows: without it, what runs where a budget does not fit one",
      positiveInteger,
    )
    .addHelpText(
      "after",
      "\nThe fusion rules run unless the compilation config sets `compile_mm_encoder` to false.",
    )
    .action((stage: Stage, options: PrintOptions) => print(stage, options, io, serving));
}

async function print(stage: Stage, options: PrintOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  // Printing is for seeing what fusion does, so it is on unless the configuration turns it off by name.
  const byDefault = serving.compilationConfig.origin("/compile_mm_encoder").kind === "default";
  const fuse = byDefault || compilationConfigOf(serving, io).compile_mm_encoder;
  await using opened = await openModel(options);
  const { model, device } = opened;
  const graph = graphOverCache(model.graph, options.gridCacheRows);
  const compiled = compileForDevice({ ...model, graph }, device, fuse);
  const tokens = options.budget;
  const patches = tokens * model.vision.spatialMergeSize ** 2;
  const stages: Record<Stage, () => string> = {
    graph: () => printGraph(compiled.source),
    fused: () =>
      printGraph(compiled.fused) + compiled.trace.map(({ rule, at }) => `# ${rule} at ${at}\n`).join(""),
    plan: () => printMemoryPlan(compiled.fused, compiled.program({ tokens, patches, segments: tokens }).plan),
    program: () => printProgram(compiled.program({ tokens, patches, segments: tokens }).program),
  };
  io.stdout(stages[stage]());
}

function graphOverCache(graph: Graph, rows: number | undefined): Graph {
  const sampled = cacheableOp(graph);
  return rows === undefined || sampled === undefined ? graph : useGridCache(graph, sampled, rows);
}
