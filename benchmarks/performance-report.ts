/**
 * One run of `compare.mjs --squares … -- --padding`, as its `--json` has it: the figures of docs/performance.md and of the plot.
 */
import { readFileSync } from "node:fs";
import type { BenchedWorkload, BenchReport } from "vitgraph";

export type PeerName = "transformers-eager" | "padded-graph-fa2" | "exact-graph-cudnn";

/** Without `ms` if the peer failed or its time was over. */
export interface PeerTime {
  readonly ms?: number;
  readonly error?: string;
  readonly card?: { readonly sm_clock_mhz: number; readonly power_watts: number } | null;
}

export interface PerformanceReport {
  /** Null where it was not known. */
  readonly commit: string | null;
  /** ISO 8601. */
  readonly date: string;
  readonly command: string;
  /** Of the whole run. */
  readonly seconds: number;
  readonly vitgraph: BenchReport;
  readonly peer: {
    readonly machine: Readonly<Record<"gpu" | "torch" | "cuda" | "transformers", string>>;
    readonly matmul: { readonly side: number; readonly tflops: number };
    readonly workloads: Readonly<
      Record<string, { readonly peers: Readonly<Partial<Record<PeerName, PeerTime>>> }>
    >;
  };
}

/** The rows of the tables. All other workloads of a report are squares for the plot. */
const TABLE_WORKLOADS = ["1x224", "1x448", "1x1024", "8x320x352", "16mix", "1x2048", "8x1280x960+3x1024"];

/** @throws an Error naming the first figure that the page needs and the report lacks */
export function readPerformanceReport(file: string): PerformanceReport {
  const report = JSON.parse(readFileSync(file, "utf8")) as PerformanceReport;
  const lacks = (what: string) =>
    new Error(`${file} has no ${what}: run compare.mjs as docs/performance.md says`);
  if (report.vitgraph === undefined) throw lacks("times of vitgraph");
  if (report.peer === null || report.peer === undefined) throw lacks("times of peers");
  if (report.vitgraph.padding === undefined) throw lacks("times of padding");
  if (report.vitgraph.memory === null) throw lacks("memory, which only a GPU has");
  const names = report.vitgraph.workloads.map(({ name }) => name);
  const missing = TABLE_WORKLOADS.find((name) => !names.includes(name));
  if (missing !== undefined) throw lacks(`workload ${missing}`);
  return report;
}

export function tableWorkloads({ vitgraph }: PerformanceReport): readonly BenchedWorkload[] {
  return TABLE_WORKLOADS.flatMap((name) => vitgraph.workloads.filter((workload) => workload.name === name));
}

/** Calls of one square image, the smallest first. */
export function squareWorkloads({ vitgraph }: PerformanceReport): readonly BenchedWorkload[] {
  return vitgraph.workloads
    .filter(
      ({ sizes: [first], items, frames }) => items === 1 && frames === null && first?.[0] === first?.[1],
    )
    .toSorted((a, b) => a.patches - b.patches);
}

export function peerTime(
  { peer }: PerformanceReport,
  { name }: BenchedWorkload,
  peerName: PeerName,
): PeerTime | undefined {
  return peer.workloads[name]?.peers[peerName];
}
