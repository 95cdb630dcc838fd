/**
 * `bench --against DIR`: alternates two builds on one machine, so that both run at the same clocks and temperatures.
 *
 * Each round runs the baseline and the candidate as separate processes with the same arguments. A ratio is one round's
 * baseline over its candidate; its spread over the rounds shows the noise.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VitgraphError } from "@vitgraph/errors";
import { INTERRUPTED } from "../cli-io.js";
import { renderTable } from "../table.js";
import { median } from "./measure.js";
import type { BenchReport } from "./report.js";

/** A runnable build: a bundle, or a built checkout. */
export interface BenchBuild {
  readonly node: string;
  readonly entry: string;
}

export interface AgainstRound {
  readonly baseline: BenchReport;
  readonly candidate: BenchReport;
}

/** @throws VG_ARGUMENT_INVALID if the directory has no build */
export function findBuild(directory: string): BenchBuild {
  // Older checkouts have their command line in packages/server.
  const entry = ["bin/vitgraph.mjs", "packages/cli/bin/vitgraph.mjs", "packages/server/bin/vitgraph.mjs"]
    .map((path) => join(directory, path))
    .find(existsSync);
  if (entry === undefined) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${directory} has no build of vitgraph`, {
      remedy: "name an unpacked bundle, or a checkout after `npm run build`",
      details: { directory },
    });
  }
  const bundled = join(directory, "runtime/node");
  return { node: existsSync(bundled) ? bundled : process.execPath, entry };
}

/** Options that are not passed to the processes of `--against`, each with a value. */
const OWN_OPTIONS = ["--against", "--rounds", "--json"];

/** The arguments of `bench` without those of the comparison. */
export function argumentsForBoth(args: readonly string[]): readonly string[] {
  return args.filter((argument, at) => {
    const isValue = OWN_OPTIONS.includes(args[at - 1] ?? "");
    return !isValue && !OWN_OPTIONS.some((name) => argument === name || argument.startsWith(`${name}=`));
  });
}

/**
 * @param args of `bench`, from {@link argumentsForBoth}
 * @param onRun called before each process
 * @throws VG_INTERNAL with a process's stderr, if one fails; VG_ARGUMENT_INVALID for a build that cannot be started;
 *   VG_ABORTED if a process was interrupted
 */
export function runRounds(
  { baseline, candidate }: { readonly baseline: BenchBuild; readonly candidate: BenchBuild },
  args: readonly string[],
  rounds: number,
  onRun: (done: number, total: number) => void,
): readonly AgainstRound[] {
  const directory = mkdtempSync(join(tmpdir(), "vitgraph-against-"));
  let done = 0;
  const run = ({ node, entry }: BenchBuild): BenchReport => {
    onRun(done++, 2 * rounds);
    const report = join(directory, "report.json");
    const { status, signal, stderr, error } = spawnSync(node, [entry, "bench", ...args, "--json", report], {
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"],
      // Node would kill a process that writes more than a megabyte.
      maxBuffer: Number.POSITIVE_INFINITY,
    });
    if (error !== undefined) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `${node} cannot be started (${error.message})`, {
        remedy: "name a bundle for this machine, or a checkout after `npm run build`",
        cause: error,
      });
    }
    // A terminal's Ctrl-C reaches both processes.
    if (status === INTERRUPTED || signal === "SIGINT" || signal === "SIGTERM")
      throw new VitgraphError("VG_ABORTED", "the comparison was interrupted");
    if (status !== 0) {
      const end = signal === null ? `with exit code ${status}` : `by ${signal}`;
      throw new VitgraphError("VG_INTERNAL", `${entry} bench ended ${end}`, {
        remedy: `run it alone to see why; its stderr ends: ${stderr.trim().slice(-500)}`,
      });
    }
    return JSON.parse(readFileSync(report, "utf8")) as BenchReport;
  };
  try {
    return Array.from({ length: rounds }, (_, round) => {
      // The second run finds a warmer GPU, so the order alternates too.
      const baselineFirst = round % 2 === 0;
      const first = run(baselineFirst ? baseline : candidate);
      const second = run(baselineFirst ? candidate : baseline);
      return baselineFirst ? { baseline: first, candidate: second } : { baseline: second, candidate: first };
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Device times in milliseconds, medians over the rounds; the ratio is above 1 if the candidate is faster. */
export function renderAgainst(rounds: readonly AgainstRound[]): string {
  const right = { align: "right" } as const;
  const names = rounds[0]?.candidate.workloads.map(({ name }) => name) ?? [];
  return renderTable(
    [
      { title: "workload" },
      { title: "baseline ms", ...right },
      { title: "candidate ms", ...right },
      { title: "ratio", ...right },
      { title: "lowest", ...right },
      { title: "highest", ...right },
      { title: "baseline MHz", ...right },
      { title: "candidate MHz", ...right },
    ],
    names.map((name) => {
      const of = (report: BenchReport) => report.workloads.find((workload) => workload.name === name);
      const times = (side: keyof AgainstRound) =>
        rounds.map((round) => of(round[side])?.deviceMs ?? Number.NaN);
      const clock = (side: keyof AgainstRound) =>
        median(rounds.map((round) => of(round[side])?.card?.smClockMhz ?? Number.NaN));
      const [baseline, candidate] = [times("baseline"), times("candidate")];
      const ratios = baseline.map((ms, round) => ms / (candidate[round] as number));
      return [
        name,
        median(baseline).toPrecision(4),
        median(candidate).toPrecision(4),
        median(ratios).toFixed(3),
        Math.min(...ratios).toFixed(3),
        Math.max(...ratios).toFixed(3),
        printClock(clock("baseline")),
        printClock(clock("candidate")),
      ];
    }),
  );
}

function printClock(megahertz: number): string {
  return Number.isNaN(megahertz) ? "-" : megahertz.toFixed(0);
}
