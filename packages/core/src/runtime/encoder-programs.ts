/**
 * The programs of one model on one device: those of the token budgets, and eager ones, compiled when a batch needs
 * them.
 *
 * A captured budget has a program for each of its row classes (`rowClasses`), and a batch replays the smallest that
 * holds it: tiles and split-K factors are chosen for a number of rows, and a graph captured for far more rows than the
 * batch has leaves multiprocessors idle.
 *
 * All of them read the same weights. The budgets' programs share one scratch and one io arena, sized for the largest;
 * eager programs that fit use these too, and larger ones share a second pair that grows. Submissions of a device run one
 * after the other, so sharing is safe.
 *
 * A program uses the grid cache if its patches fit there; a larger one computes the grid's values itself. The results are
 * the same.
 */
import { type Arena, type Device, DTYPE_BYTES, type Executable, type Program } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import type { CompiledGraph } from "../compiler/compile.js";
import { RESULT_BUFFER } from "../compiler/lower.js";
import { capacityFor, type VisionModel } from "../models/vision-model.js";
import type { GridCache } from "./grid-cache.js";
import type { Frame } from "./grid-rows.js";
import type { StagedBatch, StagedInput } from "./stage-batch.js";

export interface BatchResult {
  /** One for each item of the batch, in their order. */
  readonly items: readonly ItemRows[];
  readonly columns: number;
  readonly durationMs: number;
  /** Frames of the batch that the grid cache had to fill first. */
  readonly missedFrames: readonly Frame[];
}

export interface ItemRows {
  /** [tokens, columns] in the device's activation dtype, in its own memory. */
  readonly bytes: Uint8Array;
  /** Index of the first element that is NaN or infinite, or -1. */
  readonly firstNonFinite: number;
}

export interface PreparedBudgets {
  readonly captured: readonly number[];
  /** Autotuning of the matrix products. */
  readonly measureMs: number;
}

/** Eager programs have capacities of powers of two, so that a few of them serve every size. */
const SMALLEST_EAGER_TOKENS = 64;
/** Eager programs that are kept: compiling one takes milliseconds, its instructions take kilobytes. */
const EAGER_PROGRAMS_KEPT = 8;

export class EncoderPrograms implements Disposable {
  readonly #device: Device;
  readonly #graph: CompiledGraph;
  readonly #weights: Arena;
  readonly #model: Pick<VisionModel, "dims">;
  readonly #gridCache: GridCache | undefined;
  /** By budget, its programs by their capacity in tokens, ascending: the last is the budget's own. */
  readonly #budgets = new Map<number, readonly LoadedProgram[]>();
  readonly #budgetArenas: SharedArenas;
  readonly #eagerArenas: SharedArenas;
  readonly #eager = new Map<number, LoadedProgram>();

  /**
   * @param gridCache disposed by the caller
   */
  constructor(
    device: Device,
    graph: CompiledGraph,
    weights: Arena,
    model: Pick<VisionModel, "dims">,
    gridCache: GridCache | undefined,
  ) {
    this.#device = device;
    this.#graph = graph;
    this.#weights = weights;
    this.#model = model;
    this.#gridCache = gridCache;
    this.#budgetArenas = new SharedArenas(device);
    this.#eagerArenas = new SharedArenas(device, () => this.#dropEager(this.#eager.size));
  }

  /**
   * Loads the budgets' programs and captures them if the device has graphs, the largest first, since it determines the
   * size of the shared arenas.
   * @throws VG_DEVICE_OUT_OF_MEMORY naming the budgets that would fit
   */
  async prepare(tokenBudgets: readonly number[]): Promise<PreparedBudgets> {
    const captured: number[] = [];
    let measureMs = 0;
    const ascending = [...tokenBudgets].sort((a, b) => a - b);
    for (const [index, budget] of [...ascending.entries()].reverse()) {
      const programs = [this.#loadBudget(budget, budget, tokenBudgets)];
      this.#budgets.set(budget, programs);
      const times = await programs[0]!.executable.capture();
      if (times === null) continue;
      captured.push(budget);
      measureMs += times.measureMs;
      for (const tokens of rowClasses(budget, ascending[index - 1] ?? 0)) {
        const program = this.#loadBudget(tokens, budget, tokenBudgets);
        // Before the budget's own.
        programs.splice(-1, 0, program);
        const { measureMs: ms = 0 } = (await program.executable.capture()) ?? {};
        measureMs += ms;
      }
    }
    return { captured, measureMs };
  }

  /** Capacities in tokens of a prepared budget's programs, ascending. */
  classesOf(budget: number): readonly number[] {
    return this.#programsOf(budget).map(({ tokens }) => tokens);
  }

  /** Disposes a budget's programs. The budget must not be run afterwards. */
  drop(budget: number): void {
    for (const { executable } of this.#programsOf(budget)) executable[Symbol.dispose]();
    this.#budgets.delete(budget);
  }

  /** Runs a batch under a budget that was prepared, or eagerly (`null`). */
  async run(batch: StagedBatch, budget: number | null): Promise<BatchResult> {
    const { executable, resultBuffer, inputBuffers, gridCache } =
      budget === null ? this.#eagerFor(batch) : this.#programFor(batch, budget);
    const { columns, dtype } = executable.program.buffers[resultBuffer]!;
    const counts = executable.program.dims.map(({ name }) => batch.work.dims[name] as number);
    const rowBytes = columns * DTYPE_BYTES[dtype];
    let offsetBytes = 0;
    const outputs = batch.itemTokens.map((tokens) => {
      const output = { buffer: resultBuffer, offsetBytes, sizeBytes: tokens * rowBytes };
      offsetBytes += output.sizeBytes;
      return output;
    });
    const submit = (...tables: readonly StagedInput[]) => {
      // A graph may have dropped an input that nothing reads.
      const inputs = [...batch.inputs, ...tables].flatMap(({ name, ...transfer }) => {
        const buffer = inputBuffers.get(name);
        return buffer === undefined ? [] : [{ ...transfer, buffer }];
      });
      return executable.submit({ counts, inputs, outputs });
    };
    const { result: run, missing } =
      gridCache === undefined
        ? { result: await submit(...batch.patchTables()), missing: [] }
        : await gridCache.submit(batch.grids, submit);
    const items = run.outputs.map((bytes, index) => ({ bytes, firstNonFinite: run.firstNonFinite[index]! }));
    return { items, columns, durationMs: run.durationMs, missedFrames: missing };
  }

  /** Sets all memory that a run may write to NaN, so that stale and unwritten rows show. */
  async poison(): Promise<void> {
    for (const arenas of [this.#budgetArenas, this.#eagerArenas]) {
      for (const arena of arenas.all()) await this.#device.fill(arena, 0xff);
    }
    await this.#gridCache?.poison();
  }

  [Symbol.dispose](): void {
    for (const { executable } of [...this.#budgets.values(), ...this.#eager.values()].flat())
      executable[Symbol.dispose]();
    this.#budgets.clear();
    this.#eager.clear();
    this.#budgetArenas[Symbol.dispose]();
    this.#eagerArenas[Symbol.dispose]();
  }

  #programsOf(budget: number): readonly LoadedProgram[] {
    const programs = this.#budgets.get(budget);
    if (programs === undefined)
      throw new VitgraphError("VG_INTERNAL", `token budget ${budget} was not prepared`);
    return programs;
  }

  #programFor(batch: StagedBatch, budget: number): LoadedProgram {
    const programs = this.#programsOf(budget);
    return programs.find(({ tokens }) => batch.tokens <= tokens) ?? (programs.at(-1) as LoadedProgram);
  }

  #eagerFor(batch: StagedBatch): LoadedProgram {
    const largestBudget = Math.max(0, ...this.#budgets.keys());
    const needed = batch.tokens;
    const tokens = eagerCapacity(needed, largestBudget);
    const arenas = needed <= largestBudget ? this.#budgetArenas : this.#eagerArenas;
    const loaded = this.#eager.get(tokens) ?? this.#load(tokens, arenas);
    this.#eager.delete(tokens);
    this.#eager.set(tokens, loaded);
    this.#dropEager(this.#eager.size - EAGER_PROGRAMS_KEPT);
    return loaded;
  }

  /** Drops the least recently used. A run in flight keeps its program until it ends. */
  #dropEager(count: number): void {
    for (const [tokens, { executable }] of [...this.#eager].slice(0, Math.max(0, count))) {
      executable[Symbol.dispose]();
      this.#eager.delete(tokens);
    }
  }

  /** @param tokens of the budget, or of one of its row classes */
  #loadBudget(tokens: number, budget: number, tokenBudgets: readonly number[]): LoadedProgram {
    try {
      return this.#load(tokens, this.#budgetArenas);
    } catch (error) {
      if (!VitgraphError.is(error) || error.code !== "VG_DEVICE_OUT_OF_MEMORY") throw error;
      // Frees the arenas of the failed load before the other budgets are tried.
      if (this.#budgets.size === 0) this.#budgetArenas[Symbol.dispose]();
      const fitting = tokenBudgets.filter((other) => this.#fits(other)).sort((a, b) => a - b);
      throw new VitgraphError(error.code, `token budget ${budget} does not fit the device: ${error.fact}`, {
        remedy:
          fitting.length === 0
            ? "none of the budgets fits: leave more of the device's memory to vitgraph"
            : `of the budgets ${fitting.join(", ")} fit; set encoder_cudagraph_token_budgets or maxBatchTokens`,
        details: { budget, fitting },
        cause: error,
      });
    }
  }

  /** Whether this budget's program can be loaded now, with all memory that it needs. */
  #fits(tokens: number): boolean {
    using arenas = new SharedArenas(this.#device);
    try {
      this.#load(tokens, arenas).executable[Symbol.dispose]();
      return true;
    } catch {
      return false;
    }
  }

  #load(tokens: number, arenas: SharedArenas): LoadedProgram {
    const { program, graph, gridCache } = this.#compile(tokens);
    const executable = this.#device.load(program, {
      weights: this.#weights,
      ...arenas.fit(program),
      ...(gridCache === undefined ? {} : { cache: gridCache.arena }),
    });
    // A value's buffer has its id.
    const inputs = graph.nodes.flatMap(({ op, name, id }) => (op === "input" ? [[name, id] as const] : []));
    return {
      tokens,
      executable,
      resultBuffer: program.buffers.findIndex(({ name }) => name === RESULT_BUFFER),
      inputBuffers: new Map(inputs),
      gridCache,
    };
  }

  #compile(tokens: number) {
    const capacity = capacityFor(this.#model, tokens);
    const gridCache = this.#gridCache?.serves(capacity) ? this.#gridCache : undefined;
    const graph = gridCache?.graph ?? this.#graph;
    return { program: graph.program(capacity).program, graph: graph.fused, gridCache };
  }
}

/** Capacity of the eager program for this many tokens. It uses the budgets' arenas if it fits the largest budget. */
export function eagerCapacity(tokens: number, largestBudget: number): number {
  const rounded = Math.max(SMALLEST_EAGER_TOKENS, 2 ** Math.ceil(Math.log2(tokens)));
  return tokens <= largestBudget ? Math.min(rounded, largestBudget) : rounded;
}

/** Row classes of a budget in each halving of it. */
const CLASSES_PER_OCTAVE = 4;
/** Tokens between two classes at the least: their patches are one row of tiles. */
const LEAST_CLASS_STEP = 32;

/**
 * Capacities in tokens, ascending, between a budget and the next smaller one: four in each halving, 5/8, 6/8 and 7/8 of
 * the budget and so on down. Smaller batches belong to the smaller budget.
 */
export function rowClasses(budget: number, smallerBudget: number): readonly number[] {
  const classes: number[] = [];
  let last = budget;
  for (let octave = budget; octave / 2 >= LEAST_CLASS_STEP; octave /= 2) {
    for (let part = CLASSES_PER_OCTAVE - 1; part >= 0; part--) {
      const tokens = Math.ceil((octave / 2) * (1 + part / CLASSES_PER_OCTAVE));
      if (tokens <= smallerBudget) return classes.reverse();
      if (last - tokens < LEAST_CLASS_STEP) continue;
      classes.push(tokens);
      last = tokens;
    }
  }
  return classes.reverse();
}

interface LoadedProgram {
  /** Its capacity. */
  readonly tokens: number;
  readonly executable: Executable;
  readonly resultBuffer: number;
  readonly inputBuffers: ReadonlyMap<string, number>;
  /** Undefined for a program without it. */
  readonly gridCache: GridCache | undefined;
}

/** The scratch and io arenas shared by several programs, sized for the largest. */
class SharedArenas implements Disposable {
  readonly #device: Device;
  readonly #beforeGrowth: () => void;
  #arenas: { readonly io: Arena; readonly scratch: Arena } | undefined;

  /** @param beforeGrowth disposes programs over the arenas: they hold the memory, and larger arenas may not fit beside it */
  constructor(device: Device, beforeGrowth: () => void = () => {}) {
    this.#device = device;
    this.#beforeGrowth = beforeGrowth;
  }

  fit(program: Program): Readonly<Record<"io" | "scratch", Arena>> {
    const { io, scratch } = program.arenaBytes;
    if (
      this.#arenas === undefined ||
      this.#arenas.io.sizeBytes < io ||
      this.#arenas.scratch.sizeBytes < scratch
    ) {
      this[Symbol.dispose]();
      this.#beforeGrowth();
      const ioArena = this.#device.allocate(io);
      try {
        this.#arenas = { io: ioArena, scratch: this.#device.allocate(scratch) };
      } catch (error) {
        ioArena[Symbol.dispose]();
        throw error;
      }
    }
    return this.#arenas;
  }

  all(): readonly Arena[] {
    return this.#arenas === undefined ? [] : [this.#arenas.io, this.#arenas.scratch];
  }

  [Symbol.dispose](): void {
    this.#arenas?.io[Symbol.dispose]();
    this.#arenas?.scratch[Symbol.dispose]();
    this.#arenas = undefined;
  }
}
