/** `vitgraph bench`: what a tower takes on this machine, workload by workload. */
import { readFile, writeFile } from "node:fs/promises";
import { type CompilationConfig, encoderOptions, type ServeArguments } from "@vitgraph/config";
import {
  ARCHITECTURES,
  type ArchitectureName,
  DEFAULT_MAX_BATCH_TOKENS,
  type Device,
  EncoderEngine,
  type LoadedModel,
  loadDummyModel,
  loadModel,
  PACKING_RULES,
  type PackingRule,
  resolveBudgets,
  VisionEncoder,
} from "@vitgraph/core";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { type Command, Option } from "commander";
import { argumentsForBoth, findBuild, renderAgainst, runRounds } from "../bench/against.js";
import { CardSampler } from "../bench/card-sampler.js";
import { measureLoad, measureStream } from "../bench/continuous-load.js";
import { measureWorkload } from "../bench/measure.js";
import { measureMatmul } from "../bench/measure-matmul.js";
import { type EagerMemory, measureEagerMemory } from "../bench/measure-memory.js";
import { randomItems } from "../bench/random-items.js";
import {
  type BenchedWorkload,
  type BenchReport,
  type MeasuredMatmul,
  renderReport,
} from "../bench/report.js";
import {
  type LoadedPacking,
  type LoadedWorkload,
  renderLoads,
  renderPackings,
} from "../bench/report-load.js";
import {
  BUILT_IN_WORKLOADS,
  checkWorkload,
  parseWorkloads,
  printWorkloads,
  type Workload,
  workloadBudget,
} from "../bench/workloads.js";
import type { CliIo } from "../cli-io.js";
import { startProgress } from "../progress.js";
import {
  addDeviceOptions,
  compilationConfigOf,
  type DeviceOptions,
  openDevice,
  positiveInteger,
  wholeNumber,
} from "./model-options.js";

interface BenchOptions extends DeviceOptions {
  readonly model?: string;
  readonly arch?: ArchitectureName;
  readonly loadFormat: "auto" | "dummy";
  readonly workload?: string;
  readonly only?: readonly string[];
  readonly repetitions: number;
  readonly warmup: number;
  readonly callers?: number;
  readonly engineDevices?: readonly number[];
  readonly packing?: readonly PackingRule[];
  readonly json?: string;
  readonly printWorkloads?: true;
  readonly against?: string;
  readonly rounds: number;
}

/** As the PyTorch peer does it, so that the medians compare. */
const DEFAULT_REPETITIONS = 20;
/** Where `--packing` is given without `--callers`: enough that something waits at all times. */
const DEFAULT_CALLERS = 32;
/** Calls of each caller under load: more where they are short, so that one that is slow to come back counts for little. */
const LOAD_ROUNDS = { least: 4, most: 32 };
/** What the calls under load would take one after the other, where the rounds allow it. */
const LOAD_MS = 1500;
/** Of `--against`: few enough to wait for, and a spread to judge by. */
const DEFAULT_ROUNDS = 3;
/** The first runs touch memory for the first time and raise the clocks. */
const DEFAULT_WARMUP = 3;

export function registerBench(
  program: Command,
  io: CliIo,
  serving: ServeArguments,
  args: readonly string[],
): void {
  const command = program
    .command("bench")
    .description("time the encoder on workloads of random images: prints a table")
    .option("--model <dir>", "directory of the checkpoint")
    .addOption(
      new Option("--arch <name>", "the tower of a published model, without its weights").choices(
        Object.keys(ARCHITECTURES),
      ),
    )
    .addOption(
      new Option("--load-format <format>", "`dummy` makes random weights instead of reading any")
        .choices(["auto", "dummy"])
        .default("auto"),
    )
    .option(
      "--workload <file>",
      'JSON: {"name": {"sizes": [[height, width], …], "frames"?: n, "budget"?: tokens}}',
    )
    .option("--only <name...>", "these workloads alone")
    .option("--repetitions <count>", "timed calls of each workload", positiveInteger, DEFAULT_REPETITIONS)
    .option("--warmup <count>", "calls before them that are not timed", wholeNumber, DEFAULT_WARMUP)
    .option(
      "--callers <count>",
      "then load an engine: so many callers, each sending its next call when the last is answered",
      positiveInteger,
    )
    .option(
      "--engine-devices <ordinal...>",
      "the engine's GPUs, or on the CPU as many devices as there are numbers (default: the one of --device)",
      (text: string, ordinals: readonly number[] = []) => [...ordinals, wholeNumber(text)],
    )
    .addOption(
      new Option(
        "--packing <rule...>",
        `then compare packing rules on one stream of all workloads (from --callers, default ${DEFAULT_CALLERS})`,
      ).choices([...PACKING_RULES]),
    )
    .option("--json <file>", "write everything that was measured, each repetition too")
    .option("--against <dir>", "another build (a bundle or a checkout): run both by turns and print ratios")
    .option("--rounds <count>", "turns of each build", positiveInteger, DEFAULT_ROUNDS)
    .option("--print-workloads", "print the built-in workloads as a workload file, and do nothing else");
  addDeviceOptions(command)
    .addHelpText(
      "after",
      "\nUnless the compilation config says otherwise, graphs and fusion are on, with one budget for each workload.",
    )
    .action((options: BenchOptions) =>
      options.against === undefined
        ? bench(options, io, serving)
        : benchAgainst(options.against, options, args, io),
    );
}

async function bench(options: BenchOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  if (options.printWorkloads) {
    io.stdout(printWorkloads(BUILT_IN_WORKLOADS));
    return;
  }
  const workloads = selectWorkloads(await readWorkloads(options.workload), options.only);
  await using model = await openModel(options);
  for (const workload of workloads) checkWorkload(workload, model.vision);
  const compilationConfig = benchConfig(serving, options, workloads, model, io);

  const opened = performance.now();
  using device = openDevice(options);
  const openMs = performance.now() - opened;
  const { freeBytes } = device.memory();
  const eager = await weighEagerRun(model, device, compilationConfig, options);
  const started = performance.now();
  const loading = startProgress(io, `loading ${model.name} on ${device.info.name}`);
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
    onProgress: loading.update,
  });
  loading.done();
  const prepareMs = openMs + performance.now() - started;
  const memory = eager === null ? null : { ...eager, capturedBytes: freeBytes - device.memory().freeBytes };

  const matmul = await measureMatmul(device);
  using card = device.info.backend === "cuda" ? new CardSampler(options.device ?? 0) : undefined;
  const measured: BenchedWorkload[] = [];
  for (const workload of workloads) {
    measured.push(await benchWorkload(encoder, workload, options, { matmul, card }, io));
  }
  const report: BenchReport = {
    machine: {
      device: device.info,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
    },
    model: {
      name: model.name,
      weights: options.loadFormat === "dummy" ? "dummy" : "checkpoint",
      visionConfig: model.vision.config,
    },
    compilationConfig,
    tokenBudgets: encoder.tokenBudgets,
    prepareMs,
    startTimes: encoder.startTimes,
    memory,
    matmul,
    warmup: options.warmup,
    workloads: measured,
  };
  io.stdout(renderReport(report));
  const load = await benchEngine(model, compilationConfig, workloads, measured, options, io);
  if (options.json !== undefined) await writeReport(options.json, { ...report, ...load });
}

/** Runs both builds with the arguments of this command. */
async function benchAgainst(
  directory: string,
  { rounds, json }: BenchOptions,
  args: readonly string[],
  io: CliIo,
): Promise<void> {
  const candidate = { node: process.execPath, entry: process.argv[1] as string };
  const builds = { baseline: findBuild(directory), candidate };
  const progress = startProgress(io, `${rounds} rounds against ${directory}`);
  const measured = runRounds(builds, argumentsForBoth(args), rounds, progress.update);
  progress.done();
  io.stdout(`${renderAgainst(measured)}\n`);
  if (json !== undefined) await writeReport(json, { rounds: measured });
}

/** What `--callers` and `--packing` ask for: engines under continuous load. */
async function benchEngine(
  model: LoadedModel,
  compilationConfig: CompilationConfig,
  workloads: readonly Workload[],
  measured: readonly BenchedWorkload[],
  options: BenchOptions,
  io: CliIo,
): Promise<{ readonly loads?: readonly LoadedWorkload[]; readonly packings?: readonly LoadedPacking[] }> {
  const { callers = DEFAULT_CALLERS, packing = [], maxBatchTokens, repetitions } = options;
  const callsOf = ({ deviceMs }: BenchedWorkload) => {
    const rounds = Math.ceil(LOAD_MS / (deviceMs * callers));
    return Math.max(repetitions, callers * Math.min(Math.max(rounds, LOAD_ROUNDS.least), LOAD_ROUNDS.most));
  };
  const items = workloads.map((workload) => randomItems(workload, model.vision));
  const ordinals = options.engineDevices ?? [options.device];
  const devices = ordinals.map((device) => () => openDevice({ ...options, device }));
  const openEngine = (rule: PackingRule) =>
    EncoderEngine.create({
      model,
      devices,
      compilationConfig,
      packing: rule,
      // The same items come again and again, and are to be encoded.
      outputCacheBytes: 0,
      limits: { maxQueuedTokens: Number.POSITIVE_INFINITY, maxQueuedItems: Number.POSITIVE_INFINITY },
      ...(maxBatchTokens === undefined ? {} : { maxBatchTokens }),
    });
  const loads: LoadedWorkload[] = [];
  if (options.callers !== undefined) {
    await using engine = await openEngine("cost");
    for (const [index, { name }] of workloads.entries()) {
      const progress = startProgress(io, `${name} from ${callers} callers`);
      const itemsOf = () => items[index] as (typeof items)[number];
      const calls = callsOf(measured[index] as BenchedWorkload);
      const onCall = progress.update;
      loads.push({ name, ...(await measureLoad(engine, itemsOf, { callers, calls, onCall })) });
      progress.done();
    }
    io.stdout(`\n${renderLoads(loads)}`);
  }
  const packings: LoadedPacking[] = [];
  for (const rule of packing) {
    await using engine = await openEngine(rule);
    const progress = startProgress(io, `packing ${rule}`);
    // Every workload as often as the others, in an order that is the same for each rule.
    const itemsOf = (call: number) => items[call % items.length] as (typeof items)[number];
    const stream = { callers, calls: Math.max(repetitions, callers) * items.length, onCall: progress.update };
    packings.push({ packing: rule, ...(await measureStream(engine, itemsOf, stream)) });
    progress.done();
  }
  if (packings.length > 0) io.stdout(`\n${renderPackings(packings)}`);
  return { ...(loads.length === 0 ? {} : { loads }), ...(packings.length === 0 ? {} : { packings }) };
}

/** Before there is any graph: what the largest budget takes without. */
async function weighEagerRun(
  model: LoadedModel,
  device: Device,
  compilationConfig: CompilationConfig,
  { maxBatchTokens = DEFAULT_MAX_BATCH_TOKENS }: BenchOptions,
): Promise<EagerMemory | null> {
  const { cudagraph, limits } = resolveBudgets(
    model.vision,
    maxBatchTokens,
    encoderOptions(compilationConfig),
  );
  if (device.info.backend !== "cuda" || !cudagraph) return null;
  return measureEagerMemory(model, device, compilationConfig, Math.max(...limits.tokenBudgets)).catch(
    (error) => {
      // The encoder that comes next has no room either, and says which budgets would fit.
      if (VitgraphError.is(error) && error.code === "VG_DEVICE_OUT_OF_MEMORY") return null;
      throw error;
    },
  );
}

async function benchWorkload(
  encoder: VisionEncoder,
  workload: Workload,
  { repetitions, warmup }: BenchOptions,
  { matmul, card }: { readonly matmul: MeasuredMatmul | null; readonly card: CardSampler | undefined },
  io: CliIo,
): Promise<BenchedWorkload> {
  const { vision } = encoder.model;
  const progress = startProgress(io, workload.name);
  const measured = await measureWorkload(encoder, workload, randomItems(workload, vision), {
    repetitions,
    warmup,
    onCall: progress.update,
    ...(card === undefined ? {} : { card }),
  });
  progress.done();
  return {
    ...measured,
    budget: workloadBudget(workload, vision),
    matmulShare: matmul === null ? null : measured.tflops / matmul.tflops,
  };
}

async function readWorkloads(path: string | undefined): Promise<readonly Workload[]> {
  if (path === undefined) return BUILT_IN_WORKLOADS;
  const text = await readFile(path, "utf8").catch((cause) => {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot read ${path}`,
      "check the path given to --workload",
    );
  });
  return parseWorkloads(text, path);
}

function selectWorkloads(
  workloads: readonly Workload[],
  only: readonly string[] | undefined,
): readonly Workload[] {
  if (only === undefined) return workloads;
  const names = workloads.map(({ name }) => name);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `there is no workload ${JSON.stringify(unknown)}`, {
      remedy: `choose from ${names.join(", ")}`,
      details: { workload: unknown, known: names },
    });
  }
  return workloads.filter(({ name }) => only.includes(name));
}

async function openModel({ model, arch, loadFormat }: BenchOptions): Promise<LoadedModel> {
  if ((model === undefined) === (arch === undefined)) {
    const fact = model === undefined ? "no model was named" : "both --model and --arch were given";
    throw new VitgraphError("VG_ARGUMENT_INVALID", fact, {
      remedy: "give --model with a checkpoint's directory, or --arch with a name and --load-format dummy",
    });
  }
  if (model !== undefined) return loadModel(model, { loadFormat });
  if (loadFormat === "dummy") return loadDummyModel(arch as ArchitectureName);
  throw new VitgraphError("VG_ARGUMENT_INVALID", `--arch ${arch} names a tower without weights`, {
    remedy: "add --load-format dummy for random ones, or give a checkpoint with --model",
  });
}

/** The configuration that was given; what it leaves out is set for measuring: fusion, graphs, a budget a workload. */
function benchConfig(
  serving: ServeArguments,
  options: BenchOptions,
  workloads: readonly Workload[],
  model: LoadedModel,
  io: CliIo,
): CompilationConfig {
  const config = compilationConfigOf(serving, io);
  const isGiven = (key: keyof CompilationConfig) =>
    serving.compilationConfig.origin(`/${key}`).kind !== "default";
  const budgets = workloads.map((workload) => workloadBudget(workload, model.vision));
  const inferBudgets = options.maxBatchTokens !== undefined;
  return {
    ...config,
    ...(isGiven("compile_mm_encoder") ? {} : { compile_mm_encoder: true }),
    ...(isGiven("cudagraph_mm_encoder") || serving.enforceEager ? {} : { cudagraph_mm_encoder: true }),
    ...(isGiven("encoder_cudagraph_token_budgets") || inferBudgets
      ? {}
      : { encoder_cudagraph_token_budgets: [...new Set(budgets)].sort((a, b) => a - b) }),
  };
}

async function writeReport(path: string, report: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`).catch((cause) => {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot write ${path}`,
      "check the path given to --json",
    );
  });
}
