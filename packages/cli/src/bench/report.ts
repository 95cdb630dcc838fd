/** The results of a bench: as data for `--json`, and as a table for people. */
import type { CompilationConfig } from "@vitgraph/config";
import type { DeviceInfo, GraphCheck, LatencySample, StartTimes } from "@vitgraph/core";
import { counted, percent, renderTable, streamTable } from "../table.js";
import { CALLS_IN_FLIGHT, type MeasuredBatch, type MeasuredWorkload } from "./measure.js";
import type { EagerMemory } from "./measure-memory.js";

/** What `vitgraph bench --json` writes. */
export interface BenchReport {
  readonly machine: {
    readonly device: DeviceInfo;
    readonly node: string;
    readonly platform: string;
  };
  readonly model: {
    readonly name: string;
    readonly weights: "checkpoint" | "dummy";
    /** config.json's `vision_config`, defaults filled in. */
    readonly visionConfig: Readonly<Record<string, unknown>>;
  };
  readonly compilationConfig: CompilationConfig;
  /** Budgets that have a program; empty without graphs. */
  readonly tokenBudgets: readonly number[];
  /** Opening the device, compiling, loading weights and capturing. */
  readonly prepareMs: number;
  /** The encoder's parts of it. */
  readonly startTimes: StartTimes;
  /** One for each captured budget: how far the worst row of a replay is from the eager run's. */
  readonly graphChecks: readonly GraphCheck[];
  /** Null without graphs, and on a CPU, where other processes use the same memory. */
  readonly memory: MeasuredMemory | null;
  /** The device's best rate, for comparison; null on a CPU. */
  readonly matmul: MeasuredMatmul | null;
  readonly warmup: number;
  /** In the order of the table, without skipped ones. */
  readonly workloads: readonly BenchedWorkload[];
  /** Results of `--padding`: batches of 64-token items, median device times. A budget of null is an eager run. */
  readonly padding?: readonly LatencySample[];
  /** True if the user stopped the bench early. */
  readonly interrupted: boolean;
}

/** Device memory in bytes, without what was in use before the encoder. */
export interface MeasuredMemory extends EagerMemory {
  /** With all graphs captured. */
  readonly capturedBytes: number;
}

export interface MeasuredMatmul {
  /** Rows and columns of the three square matrices. */
  readonly side: number;
  readonly durationMs: number;
  readonly tflops: number;
}

/** A measured workload, with its budget and its share of the peak rate of matrix products. */
export interface BenchedWorkload extends MeasuredWorkload {
  /** The workload's token budget: a peer with one graph per budget pads it to this size. */
  readonly budget: number;
  /** Share of the measured product's rate; null without one. */
  readonly matmulShare: number | null;
}

/** The lines under the table. */
export function describeStart({
  startTimes,
  tokenBudgets,
  graphChecks,
  memory,
  matmul,
}: Pick<BenchReport, "startTimes" | "tokenBudgets" | "graphChecks" | "memory" | "matmul">): string {
  const { loadMs, measureMs, captureMs, checkMs, warmUpMs } = startTimes;
  const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`;
  const lines = [
    `start: load ${seconds(loadMs)}, measure ${seconds(measureMs)}, capture ${seconds(captureMs)} (${counted(tokenBudgets.length, "budget")}), self-check ${seconds(checkMs)}${worstRow(graphChecks)}, grid cache ${seconds(warmUpMs)}`,
  ];
  if (memory !== null) lines.push(describeMemory(memory));
  if (matmul !== null) lines.push(`matmul: ${matmul.side}³ at ${matmul.tflops.toFixed(0)} TFLOP/s`);
  return `${lines.join("\n")}\n`;
}

function worstRow(checks: readonly GraphCheck[]): string {
  if (checks.length === 0) return "";
  return ` (worst row ${Math.max(...checks.map(({ relativeL2 }) => relativeL2)).toExponential(2)})`;
}

function describeMemory({ residentBytes, eagerBytes, capturedBytes }: MeasuredMemory): string {
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const ratio = (capturedBytes / eagerBytes).toFixed(3);
  return `memory: weights and grid cache ${mebibytes(residentBytes)}, largest eager run ${mebibytes(eagerBytes)}, with graphs ${mebibytes(capturedBytes)} (${ratio} × the eager run)`;
}

/** Prints the table's head, and returns the printer of a workload's row. */
export function workloadTable(
  names: readonly string[],
  write: (text: string) => void,
): (workload: BenchedWorkload) => void {
  const right = { align: "right" } as const;
  const printRow = streamTable(
    [
      { title: "workload", width: Math.max(...names.map((name) => name.length)) },
      { title: "items", ...right },
      { title: "patches", ...right },
      { title: "tokens", ...right },
      { title: "batches", width: "2 × 16384".length, ...right },
      { title: "padding", ...right },
      { title: "calls", ...right },
      { title: "device ms", ...right },
      { title: "end to end ms", ...right },
      { title: `${CALLS_IN_FLIGHT} in flight, ms`, ...right },
      { title: "device busy", ...right },
      { title: "TFLOP/s", ...right },
      { title: "of matmul", ...right },
      { title: "SM MHz", ...right },
      { title: "W", width: 3, ...right },
    ],
    write,
  );
  return (workload) =>
    printRow([
      workload.name,
      String(workload.items),
      String(workload.patches),
      String(workload.tokens),
      describeBatches(workload.batches),
      percent(workload.padding),
      String(workload.repetitions.length),
      significant(workload.deviceMs),
      significant(workload.endToEndMs),
      workload.inFlight === null ? "-" : significant(workload.inFlight.callMs),
      workload.inFlight === null ? "-" : percent(workload.inFlight.deviceMs / workload.inFlight.callMs),
      significant(workload.tflops),
      workload.matmulShare === null ? "-" : percent(workload.matmulShare),
      workload.card === null ? "-" : workload.card.smClockMhz.toFixed(0),
      workload.card === null ? "-" : workload.card.powerWatts.toFixed(0),
    ]);
}

/** A row per number of tokens: eager, and in each budget of which it is all, half or a quarter. */
export function renderPadding(samples: readonly LatencySample[]): string {
  const right = { align: "right" } as const;
  const budgets = samples.flatMap(({ budget }) => budget ?? []);
  const sizes = [...new Set(budgets)].sort((a, b) => a - b);
  const cell = (tokens: number, budget: number | null) => {
    const sample = samples.find((sample) => sample.tokens === tokens && sample.budget === budget);
    return sample === undefined ? "-" : significant(sample.durationMs);
  };
  return renderTable(
    [
      { title: "tokens", ...right },
      { title: "eager ms", ...right },
      { title: "in a full budget", ...right },
      { title: "half full", ...right },
      { title: "a quarter full", ...right },
    ],
    sizes.map((tokens) => [
      String(tokens),
      cell(tokens, null),
      ...[1, 2, 4].map((fill) => cell(tokens, tokens * fill)),
    ]),
  );
}

/** "4096", "eager", "2 × 1024 + 64". */
function describeBatches(batches: readonly MeasuredBatch[]): string {
  const counts = new Map<string, number>();
  for (const { budget } of batches) {
    const label = budget === null ? "eager" : String(budget);
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].map(([label, count]) => (count === 1 ? label : `${count} × ${label}`)).join(" + ");
}

/** Three digits: a median of a few runs is not more precise. Whole numbers are not cut. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
