/** `vitgraph bench`: the speed of a tower on this machine, workload by workload. */
import { type CompilationConfig, encoderOptions, type ServeArguments } from "@vitgraph/config";
import {
  ARCHITECTURES,
  type ArchitectureName,
  DEFAULT_MAX_BATCH_TOKENS,
  type Device,
  EncoderEngine,
  type GraphCheck,
  type LoadedModel,
  loadDummyModel,
  loadModel,
  measureCosts,
  PACKING_RULES,
  type PackingRule,
  resolveBudgets,
  VisionEncoder,
} from "@vitgraph/core";
import { nearestKey, VitgraphError } from "@vitgraph/errors";
import { type Command, InvalidArgumentError, Option } from "commander";
import { argumentsForBoth, findBuild, renderAgainst, runRounds } from "../bench/against.js";
import { CardSampler } from "../bench/card-sampler.js";
import { measureLoad, measureStream } from "../bench/continuous-load.js";
import { measureWorkload, workOf } from "../bench/measure.js";
import { measureMatmul } from "../bench/measure-matmul.js";
import { type EagerMemory, measureEagerMemory } from "../bench/measure-memory.js";
import { printPeerInput } from "../bench/peer-input.js";
import {
  type BenchedWorkload,
  type BenchReport,
  describeStart,
  type MeasuredMatmul,
  renderPadding,
  workloadTable,
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
  fitWorkload,
  parseWorkloads,
  printWorkloads,
  type Workload,
  workloadBudget,
  workloadItems,
} from "../bench/workloads.js";
import { type CliIo, INTERRUPTED, printNote } from "../cli-io.js";
import { downloadModel } from "../download-model.js";
import { checkOutput, outputPath, readTextInput, writeOutput } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
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
  readonly loadFormat?: "auto" | "dummy";
  readonly workload?: string;
  readonly only?: readonly string[];
  readonly repetitions?: number;
  readonly warmup: number;
  readonly callers?: number;
  readonly engineDevices?: readonly number[];
  readonly packing?: readonly PackingRule[];
  readonly padding?: true;
  readonly json?: string;
  readonly graphJson?: string;
  readonly printWorkloads?: true;
  readonly against?: string;
  readonly rounds?: number;
}

/** The same as the PyTorch peer's, so that the medians are comparable. */
const MAX_REPETITIONS = 20;
/** For all workloads together, without `--repetitions`: a GPU needs less, and a CPU would need hours. */
const TIME_LIMIT_MS = 60_000;
/** For `--packing` without `--callers`: enough that the queue is never empty. */
const DEFAULT_CALLERS = 32;
/** Calls per caller under load: more if they are short, so that one slow answer has little weight. */
const LOAD_ROUNDS = { min: 4, max: 32 };
/** Sequential duration of the calls under load, within the limits of the rounds. */
const LOAD_MS = 1500;
/** Rounds of `--against`: enough to see the spread. */
const DEFAULT_ROUNDS = 3;
/** The first runs touch memory for the first time and raise the clocks. */
const DEFAULT_WARMUP = 3;

/** The list of all names is long: a typo gets the nearest one alone. */
function architecture(name: string): string {
  const names = Object.keys(ARCHITECTURES);
  if (names.includes(name)) return name;
  const nearest = nearestKey(name, names);
  throw new InvalidArgumentError(
    nearest === undefined ? `Allowed choices are ${names.join(", ")}.` : `Did you mean ${nearest}?`,
  );
}

export function registerBench(
  program: Command,
  io: CliIo,
  serving: ServeArguments,
  args: readonly string[],
): void {
  const command = program.command("bench");
  command
    .description("time the encoder on workloads of random images: prints a table, row by row")
    .option("--model <dir-or-id>", "directory of the checkpoint")
    .addOption(
      new Option("--arch <name>", "the tower of a published model, with random weights")
        .choices(Object.keys(ARCHITECTURES))
        .argParser(architecture)
        .conflicts("model"),
    )
    .addOption(
      new Option(
        "--load-format <format>",
        "`dummy` only reads config.json and makes random weights (default with --arch)",
      ).choices(["auto", "dummy"]),
    )
    .option(
      "--workload <file>",
      'JSON: {"name": {"sizes": [[height, width], …], "frames"?: n, "budget"?: tokens}}',
    )
    .option("--only <name...>", "only these workloads")
    .option(
      "--repetitions <count>",
      `timed calls of each workload (default: up to ${MAX_REPETITIONS}, in ${TIME_LIMIT_MS / 1000} s for all workloads together)`,
      positiveInteger,
    )
    .option("--warmup <count>", "calls before the timed ones", wholeNumber, DEFAULT_WARMUP)
    .option(
      "--callers <count>",
      "then load an engine with this many callers, each sending its next call when the last is answered",
      positiveInteger,
    )
    .option(
      "--engine-devices <ordinal...>",
      "the engine's GPUs; on the CPU, one device for each number (default: the device of --device)",
      (text: string, ordinals: readonly number[] = []) => [...ordinals, wholeNumber(text)],
    )
    .addOption(
      new Option(
        "--packing <rule...>",
        `then compare packing rules on one stream of all workloads (from --callers, default ${DEFAULT_CALLERS})`,
      ).choices([...PACKING_RULES]),
    )
    .option(
      "--padding",
      "then time each budget full, half full and a quarter full, and the same tokens eagerly",
    )
    .option("--json <file.json>", "write all measurements, with each repetition", outputPath(".json"))
    .option(
      "--graph-json <file.json>",
      "write the op graph and each workload's input tables, for benchmarks/peer/generic.py",
      outputPath(".json"),
    )
    .addOption(
      new Option(
        "--against <dir>",
        "another build (a bundle or a checkout): run both alternately and print ratios",
      ).conflicts(["callers", "packing", "padding", "graphJson", "printWorkloads"]),
    )
    .option(
      "--rounds <count>",
      `runs of each build (default: ${DEFAULT_ROUNDS}); needs --against`,
      positiveInteger,
    )
    .addOption(
      new Option(
        "--print-workloads",
        "print the built-in workloads as a workload file, and do nothing else",
      ).conflicts([
        "model",
        "arch",
        "loadFormat",
        "workload",
        "only",
        "repetitions",
        "callers",
        "packing",
        "padding",
        "json",
        "graphJson",
      ]),
    );
  addDeviceOptions(command).action((options: BenchOptions) => {
    if (options.printWorkloads) {
      io.stdout(printWorkloads(BUILT_IN_WORKLOADS));
      return;
    }
    checkUsage(command, options);
    if (options.against !== undefined) return benchAgainst(options.against, options, args, io);
    return bench(command, options, io, serving);
  });
  addHelpNotes(command, BENCH_HELP);
}

const BENCH_HELP = `Unless the compilation config says otherwise, graphs and fusion are on, with one budget for each workload.
A model that cuts images into tiles gets the tiles of its processor, so its grids and tokens differ from other models'.
Without --repetitions and --only, workloads that would not end in time are skipped, with a note.
Ctrl-C ends the bench with the results so far; the exit code is then ${INTERRUPTED}.`;

/** Combinations without effect are errors of the command line. */
function checkUsage(command: Command, { model, arch, loadFormat, ...options }: BenchOptions): void {
  if (model === undefined && arch === undefined)
    command.error("error: bench needs a model: give --model DIR or --arch NAME");
  if (arch !== undefined && loadFormat === "auto")
    command.error(`error: --arch ${arch} has no weights to load: remove --load-format auto`);
  if (options.engineDevices !== undefined && options.callers === undefined && options.packing === undefined)
    command.error("error: --engine-devices has no effect without --callers or --packing: add one");
  if (options.rounds !== undefined && options.against === undefined)
    command.error("error: --rounds has no effect without --against: add it");
}

async function bench(
  command: Command,
  options: BenchOptions,
  io: CliIo,
  serving: ServeArguments,
): Promise<void> {
  await checkOutput(options.json);
  await checkOutput(options.graphJson);
  const chosen = selectWorkloads(command, await readWorkloads(options.workload, io), options.only);
  await using model = await loadMeasuredModel(options, io);
  // The built-in sizes are multiples of 32 pixels.
  const workloads = options.workload === undefined ? chosen.map((each) => fitWorkload(each, model)) : chosen;
  for (const note of model.notes) printNote(io, note);
  for (const workload of workloads) checkWorkload(workload, model);
  const compilationConfig = benchConfig(serving, options, workloads, model, io);
  if (options.graphJson !== undefined)
    await writeOutput(options.graphJson, printPeerInput(model, workloads), io);

  const opened = performance.now();
  using device = openDevice(options);
  const openMs = performance.now() - opened;
  const { freeBytes } = device.memory();
  const eager = await measureEagerRun(model, device, compilationConfig, options);
  const started = performance.now();
  using loading = startProgress(io, `loading ${model.name} on ${device.info.name}`);
  const checks: GraphCheck[] = [];
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    ...(options.maxBatchTokens === undefined ? {} : { maxBatchTokens: options.maxBatchTokens }),
    onProgress: loading.update,
    onGraphChecked: (check) => checks.push(check),
  });
  loading.done();
  const prepareMs = openMs + performance.now() - started;
  const memory = eager === null ? null : { ...eager, capturedBytes: freeBytes - device.memory().freeBytes };

  const matmul = await measureMatmul(device);
  using card = device.info.backend === "cuda" ? new CardSampler(options.device ?? 0) : undefined;
  let interrupted = false;
  using _ = io.onInterrupt(() => {
    interrupted = true;
    io.stderr("\ninterrupted: the call in progress is the last\n");
  });
  const isStopped = () => interrupted;
  const measured = await benchWorkloads(encoder, workloads, options, { matmul, card }, isStopped, io);
  const report: Omit<BenchReport, "interrupted"> = {
    machine: {
      device: device.info,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
    },
    model: {
      name: model.name,
      weights: isDummy(options) ? "dummy" : "checkpoint",
      visionConfig: model.vision.config,
    },
    compilationConfig,
    tokenBudgets: encoder.tokenBudgets,
    prepareMs,
    startTimes: encoder.startTimes,
    graphChecks: checks,
    memory,
    matmul,
    warmup: options.warmup,
    workloads: measured,
  };
  io.stdout(`\n${describeStart(report)}`);
  const padding = options.padding && !interrupted ? await measureCosts(encoder) : undefined;
  if (padding !== undefined) io.stdout(`\n${renderPadding(padding)}`);
  // The engine's ordinals must not choose another backend than the one that was measured.
  const backend = device.info.backend === "cpu" ? "cpu" : "cuda";
  const sameDevice = { ...options, backend } as const;
  const load = await benchEngine(model, compilationConfig, workloads, measured, sameDevice, isStopped, io);
  if (options.json !== undefined) {
    const everything: BenchReport = {
      ...report,
      ...(padding === undefined ? {} : { padding }),
      ...load,
      interrupted,
    };
    await writeOutput(options.json, `${JSON.stringify(everything, null, 2)}\n`, io);
  }
  if (interrupted) io.exitCode = INTERRUPTED;
}

/** Prints each row as soon as it is measured. */
async function benchWorkloads(
  encoder: VisionEncoder,
  workloads: readonly Workload[],
  { repetitions, only, warmup }: BenchOptions,
  { matmul, card }: { readonly matmul: MeasuredMatmul | null; readonly card: CardSampler | undefined },
  isStopped: () => boolean,
  io: CliIo,
): Promise<readonly BenchedWorkload[]> {
  const { model } = encoder;
  const deadline = performance.now() + TIME_LIMIT_MS;
  const printRow = workloadTable(
    workloads.map(({ name }) => name),
    io.stdout,
  );
  const measured: BenchedWorkload[] = [];
  for (const [index, workload] of workloads.entries()) {
    if (isStopped()) break;
    const items = workloadItems(workload, model);
    const leftMs = deadline - performance.now();
    const previous = measured.at(-1);
    if (repetitions === undefined && only === undefined && previous !== undefined) {
      // At the previous workload's rate: on a CPU it changes little.
      const expectedMs = (previous.endToEndMs * workOf(encoder, items).flops) / (previous.gflop * 1e9);
      if (expectedMs > leftMs) {
        const { name } = workload;
        const seconds = (expectedMs / 1000).toFixed(0);
        printNote(io, `${name}: skipped: a call takes about ${seconds} s; --only ${name} runs it`);
        continue;
      }
    }
    using progress = startProgress(io, workload.name);
    const result = await measureWorkload(encoder, workload, items, {
      repetitions: repetitions ?? MAX_REPETITIONS,
      warmup,
      // Time left by small workloads goes to the larger ones after them.
      ...(repetitions === undefined ? { limitMs: leftMs / (workloads.length - index) } : {}),
      isStopped,
      onCall: progress.update,
      card,
    });
    progress[Symbol.dispose]();
    const matmulShare = matmul === null ? null : result.tflops / matmul.tflops;
    measured.push({ ...result, budget: workloadBudget(workload, model), matmulShare });
    printRow(measured.at(-1) as BenchedWorkload);
  }
  return measured;
}

/** Runs both builds with the arguments of this command. */
async function benchAgainst(
  directory: string,
  { rounds = DEFAULT_ROUNDS, json }: BenchOptions,
  args: readonly string[],
  io: CliIo,
): Promise<void> {
  await checkOutput(json);
  const candidate = { node: process.execPath, entry: process.argv[1] as string };
  const builds = { baseline: findBuild(directory), candidate };
  // Ends the process that runs, and then this one, which removes the reports first.
  using _ = io.onInterrupt(() => {});
  using progress = startProgress(io, `${rounds} rounds against ${directory}`);
  const measured = runRounds(builds, argumentsForBoth(args), rounds, progress.update);
  progress.done();
  io.stdout(`${renderAgainst(measured)}\n`);
  if (json !== undefined) await writeOutput(json, `${JSON.stringify({ rounds: measured }, null, 2)}\n`, io);
}

/** `--callers` and `--packing`: engines under continuous load. */
async function benchEngine(
  model: LoadedModel,
  compilationConfig: CompilationConfig,
  workloads: readonly Workload[],
  measured: readonly BenchedWorkload[],
  options: BenchOptions,
  isStopped: () => boolean,
  io: CliIo,
): Promise<{ readonly loads?: readonly LoadedWorkload[]; readonly packings?: readonly LoadedPacking[] }> {
  const { callers = DEFAULT_CALLERS, packing = [], maxBatchTokens } = options;
  const repetitions = options.repetitions ?? MAX_REPETITIONS;
  const callsOf = ({ deviceMs }: BenchedWorkload) => {
    const rounds = Math.ceil(LOAD_MS / (deviceMs * callers));
    return Math.max(repetitions, callers * Math.min(Math.max(rounds, LOAD_ROUNDS.min), LOAD_ROUNDS.max));
  };
  // Workloads that were skipped or not reached before an interrupt are not loaded either.
  const loaded = measured.map(({ name }) => workloads.find((workload) => workload.name === name) as Workload);
  const items = loaded.map((workload) => workloadItems(workload, model));
  const ordinals = options.engineDevices ?? [options.device];
  const devices = ordinals.map((device) => () => openDevice({ ...options, device }));
  const openEngine = (rule: PackingRule) =>
    EncoderEngine.create({
      model,
      devices,
      compilationConfig,
      packing: rule,
      // Items repeat, and must be encoded each time.
      outputCacheBytes: 0,
      limits: { maxQueuedTokens: Number.POSITIVE_INFINITY, maxQueuedItems: Number.POSITIVE_INFINITY },
      ...(maxBatchTokens === undefined ? {} : { maxBatchTokens }),
    });
  const loads: LoadedWorkload[] = [];
  if (options.callers !== undefined && !isStopped()) {
    await using engine = await openEngine("cost");
    for (const [index, workload] of measured.entries()) {
      if (isStopped()) break;
      const { name } = workload;
      using progress = startProgress(io, `${name} from ${callers} callers`);
      const itemsOf = () => items[index] as (typeof items)[number];
      const calls = callsOf(workload);
      const load = await measureLoad(engine, itemsOf, {
        callers,
        calls,
        onCall: progress.update,
        isStopped,
      });
      if (load === null) break;
      loads.push({ name, ...load });
      progress.done();
    }
    if (loads.length > 0) io.stdout(`\n${renderLoads(loads)}`);
  }
  const packings: LoadedPacking[] = [];
  for (const rule of packing) {
    if (isStopped()) break;
    await using engine = await openEngine(rule);
    using progress = startProgress(io, `packing ${rule}`);
    // Every workload equally often, in the same order for each rule.
    const itemsOf = (call: number) => items[call % items.length] as (typeof items)[number];
    const calls = Math.max(repetitions, callers) * items.length;
    const load = await measureStream(engine, itemsOf, {
      callers,
      calls,
      onCall: progress.update,
      isStopped,
    });
    if (load === null) break;
    packings.push({ packing: rule, ...load });
    progress.done();
  }
  if (packings.length > 0) io.stdout(`\n${renderPackings(packings)}`);
  return { ...(loads.length === 0 ? {} : { loads }), ...(packings.length === 0 ? {} : { packings }) };
}

/** The memory of the largest budget without graphs, measured before there are any. */
async function measureEagerRun(
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
      // The next encoder will not fit either, and reports which budgets would.
      if (VitgraphError.is(error) && error.code === "VG_DEVICE_OUT_OF_MEMORY") return null;
      throw error;
    },
  );
}

async function readWorkloads(path: string | undefined, io: CliIo): Promise<readonly Workload[]> {
  if (path === undefined) return BUILT_IN_WORKLOADS;
  return parseWorkloads(await readTextInput(path, io, "check the path given to --workload"), path);
}

function selectWorkloads(
  command: Command,
  workloads: readonly Workload[],
  only: readonly string[] | undefined,
): readonly Workload[] {
  if (only === undefined) return workloads;
  const names = workloads.map(({ name }) => name);
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined)
    command.error(`error: there is no workload ${JSON.stringify(unknown)}: choose from ${names.join(", ")}`);
  return workloads.filter(({ name }) => only.includes(name));
}

/** True if the weights are random. */
function isDummy({ arch, loadFormat }: BenchOptions): boolean {
  return arch !== undefined || loadFormat === "dummy";
}

async function loadMeasuredModel(
  { model, arch, loadFormat = "auto" }: BenchOptions,
  io: CliIo,
): Promise<LoadedModel> {
  if (arch !== undefined) return loadDummyModel(arch);
  await downloadModel(model as string, io, loadFormat === "dummy" ? "settings" : "tower");
  return loadModel(model as string, { loadFormat });
}

/** The given configuration, with measuring defaults for absent keys: fusion, graphs, one budget per workload. */
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
  const budgets = workloads.map((workload) => workloadBudget(workload, model));
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
