/** `vitgraph print STAGE`: every artefact between the model and the device, as text or JSON. */
import type { ServeArguments } from "@vitgraph/config";
import {
  capacityFor,
  compileForDevice,
  type Graph,
  gridValues,
  printGraph,
  printMemoryPlan,
  printProgram,
  useGridCache,
} from "@vitgraph/core";
import { Argument, type Command } from "commander";
import type { CliIo } from "../cli-io.js";
import { addHelpNotes } from "../help-notes.js";
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
  readonly budget?: number;
  readonly gridCacheRows?: number;
  readonly json?: true;
}

export function registerPrint(program: Command, io: CliIo, serving: ServeArguments): void {
  const command = program.command("print");
  addModelOptions(command)
    .description(
      "print a stage of the compiler: the op graph, the fused graph, its memory plan, or its program",
    )
    .addArgument(new Argument("<stage>").choices([...STAGES]))
    .option(
      "--budget <tokens>",
      "token budget of plan and program (default: the model's smallest)",
      positiveInteger,
    )
    .option(
      "--grid-cache-rows <patches>",
      "print the stage with a grid cache of this many rows (default: without a grid cache)",
      positiveInteger,
    )
    .option("--json", "the same as JSON")
    .action((stage: Stage, options: PrintOptions) => {
      if (options.budget !== undefined && (stage === "graph" || stage === "fused"))
        command.error(`error: --budget has no effect on print ${stage}: plan and program have a budget`);
      return print(stage, options, io, serving);
    });
  addHelpNotes(command, HELP);
}

const HELP = `The fusion rules run unless the compilation config sets compile_mm_encoder to false.
Lines are long: vitgraph print … | less -S`;

async function print(stage: Stage, options: PrintOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  // Fusion is the reason to print, so it is on unless the configuration turns it off by name.
  const byDefault = serving.compilationConfig.origin("/compile_mm_encoder").kind === "default";
  const fuse = byDefault || compilationConfigOf(serving, io).compile_mm_encoder;
  await using opened = await openModel(options, io);
  const { model, device } = opened;
  const graph = graphOverCache(model.graph, options.gridCacheRows);
  const compiled = compileForDevice({ ...model, graph }, device, fuse);
  const { budget: tokens = model.vision.minTokenBudget } = options;
  const capacity = capacityFor(model.vision, tokens);
  const stages: Record<Stage, () => { readonly text: string; readonly data: unknown }> = {
    graph: () => ({ text: printGraph(compiled.source), data: compiled.source }),
    fused() {
      const { fused, trace } = compiled;
      const rules = trace.map(({ rule, at }) => `# ${rule} at ${at}\n`);
      return { text: printGraph(fused) + rules.join(""), data: { ...fused, trace } };
    },
    plan() {
      const { plan } = compiled.program(capacity);
      return { text: printMemoryPlan(compiled.fused, plan), data: plan };
    },
    program() {
      const { program } = compiled.program(capacity);
      return { text: printProgram(program), data: program };
    },
  };
  const { text, data } = stages[stage]();
  io.stdout(options.json === true ? `${JSON.stringify(data, plainArrays)}\n` : text);
}

/** JSON.stringify would print typed arrays as objects. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value;
}

function graphOverCache(graph: Graph, rows: number | undefined): Graph {
  const values = gridValues(graph);
  return rows === undefined || values === undefined ? graph : useGridCache(graph, values, rows);
}
