/**
 * The figures of docs/performance.md and of the plot, out of reports of `compare.mjs`: one of `compare.mjs --squares … --
 * --padding`, or several that have workloads each, because a run's time was over or they ran side by side on several cards.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchedWorkload, BenchReport } from "vitgraph";

export type PeerName = "transformers-eager" | "padded-graph-fa2" | "exact-graph-cudnn";

/** Without `ms` if the peer failed or its time was over. */
export interface PeerTime {
  readonly ms?: number;
  readonly error?: string;
  readonly card?: { readonly sm_clock_mhz: number; readonly power_watts: number } | null;
}

interface PeerReport {
  readonly machine: Readonly<Record<"gpu" | "torch" | "cuda" | "transformers", string>>;
  readonly matmul: { readonly side: number; readonly tflops: number };
  readonly workloads: Readonly<
    Record<string, { readonly peers: Readonly<Partial<Record<PeerName, PeerTime>>> }>
  >;
}

/** What `compare.mjs --json` writes. */
export interface Run {
  /** Null where it was not known. */
  readonly commit: string | null;
  /** ISO 8601. */
  readonly date: string;
  readonly command: string;
  /** Of the whole run. */
  readonly seconds: number;
  readonly vitgraph: BenchReport;
  /** Null for a run without peers. */
  readonly peer: PeerReport | null;
}

/** A workload with its peers: all of one run, on one card. */
export interface Row {
  readonly workload: BenchedWorkload;
  readonly run: Run;
}

export interface PerformanceReport {
  readonly rows: readonly Row[];
  /** The last run with padding, memory and times of the start. */
  readonly start: Run;
  /** Of PyTorch's machine: the last run with peers. */
  readonly machine: PeerReport["machine"];
}

/** The rows of the tables. All other workloads of a report are squares for the plot. */
const TABLE_WORKLOADS = ["1x224", "1x448", "1x1024", "8x320x352", "16mix", "1x2048", "8x1280x960+3x1024"];

/**
 * The runs in a folder, a file each. Files are named by date and card, so that the last name is the newest.
 * @throws an Error naming the first figure that the page needs and the reports lack
 */
export function readPerformanceReport(directory: string): PerformanceReport {
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"));
  return joinRuns(files.sort().map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as Run));
}

/**
 * Of each workload, the run in which most of its peers were timed; of several, the last.
 * @throws an Error naming the first figure that the page needs and the runs lack
 */
export function joinRuns(runs: readonly Run[]): PerformanceReport {
  const lacks = (what: string) =>
    new Error(`the reports have no ${what}: run compare.mjs as docs/performance.md says`);
  const rows = new Map<string, Row>();
  for (const run of runs) {
    for (const workload of run.vitgraph.workloads) {
      const before = rows.get(workload.name);
      const row = { workload, run };
      if (before === undefined || timedPeers(row) >= timedPeers(before)) rows.set(workload.name, row);
    }
  }
  const missing = TABLE_WORKLOADS.find((name) => !rows.has(name));
  if (missing !== undefined) throw lacks(`workload ${missing}`);
  const start = runs.findLast(({ vitgraph }) => vitgraph.padding !== undefined);
  if (start === undefined) throw lacks("times of padding");
  if (start.vitgraph.memory === null) throw lacks("memory, which only a GPU has");
  const peer = runs.findLast((run) => run.peer !== null)?.peer;
  if (!peer) throw lacks("times of peers");
  return { rows: [...rows.values()], start, machine: peer.machine };
}

function timedPeers(row: Row): number {
  const peers = row.run.peer?.workloads[row.workload.name]?.peers ?? {};
  return Object.values(peers).filter(({ ms }) => ms !== undefined).length;
}

export function tableRows({ rows }: PerformanceReport): readonly Row[] {
  return TABLE_WORKLOADS.flatMap((name) => rows.filter(({ workload }) => workload.name === name));
}

/** Calls of one square image, the smallest first. */
export function squareRows({ rows }: PerformanceReport): readonly Row[] {
  return rows
    .filter(({ workload: { sizes, items, frames } }) => {
      const [first] = sizes;
      return items === 1 && frames === null && first?.[0] === first?.[1];
    })
    .toSorted((a, b) => a.workload.patches - b.workload.patches);
}

export function peerTime({ workload, run }: Row, peerName: PeerName): PeerTime | undefined {
  return run.peer?.workloads[workload.name]?.peers[peerName];
}
