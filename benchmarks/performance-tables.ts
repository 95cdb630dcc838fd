/** The tables of docs/performance.md and of the README that one run of compare.mjs fills, as Markdown. */
import type { BenchedWorkload } from "vitgraph";
import {
  type PeerName,
  type PerformanceReport,
  peerTime,
  squareWorkloads,
  tableWorkloads,
} from "./performance-report.js";

/** By the names of the markers around them: `<!-- measured: speed -->`. */
export const PERFORMANCE_TABLES = {
  run: describeRun,
  plot: () => plot("performance.svg"),
  "plot of the README": () => plot("docs/performance.svg"),
  speed: speedTable,
  card: cardTable,
  squares: squareTable,
  "in flight": inFlightTable,
  padding: paddingTable,
  start: describeStart,
  summary: summaryTable,
} as const satisfies Readonly<Record<string, (report: PerformanceReport) => string>>;

/** Of the README. */
const SUMMARY_ROWS = ["1x224", "1x448", "1x1024", "16mix", "1x2048"];

function describeRun(report: PerformanceReport): string {
  const { machine, matmul } = report.peer;
  const { commit, date, seconds, command } = report;
  return [
    `Commit ${commit ?? "unknown"}, ${date.slice(0, 10)}, one ${machine.gpu}; PyTorch ${machine.torch}, CUDA ${machine.cuda},`,
    `transformers ${machine.transformers}. A product of ${matmul.side}³ ran at ${matmul.tflops.toFixed(0)} TFLOP/s through PyTorch${ownProduct(report)}.`,
    `The run took ${(seconds / 60).toFixed(1)} minutes.`,
    "",
    "```sh",
    command,
    "```",
  ].join("\n");
}

function ownProduct({ vitgraph: { matmul } }: PerformanceReport): string {
  return matmul === null ? "" : `, and at ${matmul.tflops.toFixed(0)} through vitgraph's fastest way`;
}

function plot(file: string): string {
  return `![Time against patches for one square image: vitgraph, the padded graph, the exact graph and transformers](${file})`;
}

function speedTable(report: PerformanceReport): string {
  return markdownTable(
    [
      "workload",
      "patches",
      "tokens, budget",
      "transformers, ms",
      "padded graph, ms",
      "exact graph, ms",
      "vitgraph, ms",
      "padded graph / vitgraph",
      "exact graph / vitgraph",
      "end to end, ms",
    ],
    tableWorkloads(report).map((workload) => [
      workloadTitle(workload),
      counted(workload.patches),
      `${counted(workload.tokens)}, ${counted(workload.budget)}`,
      peerCell(report, workload, "transformers-eager"),
      peerCell(report, workload, "padded-graph-fa2"),
      peerCell(report, workload, "exact-graph-cudnn"),
      significant(workload.deviceMs),
      ratioCell(report, workload, "padded-graph-fa2"),
      ratioCell(report, workload, "exact-graph-cudnn"),
      significant(workload.endToEndMs),
    ]),
  );
}

function cardTable(report: PerformanceReport): string {
  const { tflops: product } = report.peer.matmul;
  return markdownTable(
    [
      "workload",
      "useful TFLOP/s",
      `of the ${report.peer.matmul.side}³ product`,
      "SM clock, MHz",
      "power, W",
      "padded graph: SM clock, MHz",
      "power, W",
    ],
    tableWorkloads(report).map((workload) => {
      const { tflops, card } = workload;
      const peerCard = peerTime(report, workload, "padded-graph-fa2")?.card ?? null;
      return [
        workloadTitle(workload),
        significant(tflops),
        `${((100 * tflops) / product).toFixed(0)} %`,
        whole(card?.smClockMhz),
        whole(card?.powerWatts),
        whole(peerCard?.sm_clock_mhz),
        whole(peerCard?.power_watts),
      ];
    }),
  );
}

function squareTable(report: PerformanceReport): string {
  return markdownTable(
    [
      "image",
      "patches",
      "budget",
      "transformers, ms",
      "padded graph, ms",
      "vitgraph, ms",
      "padded graph / vitgraph",
    ],
    squareWorkloads(report).map((workload) => [
      workloadTitle(workload).replace("1 × ", ""),
      counted(workload.patches),
      counted(workload.budget),
      peerCell(report, workload, "transformers-eager"),
      peerCell(report, workload, "padded-graph-fa2"),
      significant(workload.deviceMs),
      ratioCell(report, workload, "padded-graph-fa2"),
    ]),
  );
}

function inFlightTable(report: PerformanceReport): string {
  return markdownTable(
    [
      "workload",
      "device, one call at a time, ms",
      "a call of three in flight, ms",
      "of it on the device, ms",
    ],
    tableWorkloads(report).map((workload) => [
      workloadTitle(workload),
      significant(workload.deviceMs),
      workload.inFlight === null ? "-" : significant(workload.inFlight.callMs),
      workload.inFlight === null ? "-" : significant(workload.inFlight.deviceMs),
    ]),
  );
}

function paddingTable({ vitgraph: { padding = [], tokenBudgets } }: PerformanceReport): string {
  const cell = (tokens: number, budget: number | null) => {
    const sample = padding.find((each) => each.tokens === tokens && each.budget === budget);
    return sample === undefined ? "" : significant(sample.durationMs);
  };
  return markdownTable(
    ["tokens", "eager, ms", "in a full budget, ms", "in twice that, ms", "in four times that, ms"],
    tokenBudgets.map((tokens) => [
      counted(tokens),
      cell(tokens, null),
      ...[1, 2, 4].map((factor) => cell(tokens, tokens * factor)),
    ]),
  );
}

function describeStart({ vitgraph }: PerformanceReport): string {
  const { startTimes, tokenBudgets, graphChecks, memory } = vitgraph;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 1000 ? 2 : 1)} s`;
  const worst = Math.max(...graphChecks.map(({ relativeL2 }) => relativeL2)).toExponential(2);
  const mebibytes = (bytes = Number.NaN) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  return markdownTable(
    ["start", `with ${tokenBudgets.length} budgets, ${tokenBudgets[0]} to ${tokenBudgets.at(-1)} tokens`],
    [
      ["reading the weights (random) and compiling", seconds(startTimes.loadMs)],
      ["measuring the products' ways; remembered on disk", seconds(startTimes.measureMs)],
      ["capturing the graphs", seconds(startTimes.captureMs)],
      ["self-check", `${seconds(startTimes.checkMs)}; worst row ${worst}`],
      ["grid cache", seconds(startTimes.warmUpMs)],
      ["memory: weights and grid cache", mebibytes(memory?.residentBytes)],
      ["memory: and an eager run of the largest budget", mebibytes(memory?.eagerBytes)],
      [
        "memory: and all graphs captured",
        memory === null
          ? "-"
          : `${mebibytes(memory.capturedBytes)}: ${(memory.capturedBytes / memory.eagerBytes).toFixed(3)} × the eager run`,
      ],
    ],
  );
}

function summaryTable(report: PerformanceReport): string {
  const { gpu } = report.peer.machine;
  const table = markdownTable(
    [
      `tower of Qwen3-VL-8B, bf16, one ${gpu.replace(/^NVIDIA (H\d+).*/, "$1")}`,
      "torch.compile + FlashAttention-2 + CUDA graph",
      "vitgraph",
      "speed-up",
    ],
    tableWorkloads(report)
      .filter((workload) => SUMMARY_ROWS.includes(workload.name))
      .filter((workload) => peerTime(report, workload, "padded-graph-fa2")?.ms !== undefined)
      .map((workload) => [
        workloadTitle(workload),
        `${peerCell(report, workload, "padded-graph-fa2")} ms`,
        `${significant(workload.deviceMs)} ms`,
        ratioCell(report, workload, "padded-graph-fa2"),
      ]),
  );
  return `${table}\n\n(Commit ${report.commit ?? "unknown"}, both in one run.)`;
}

/** "1 × 224²", "8 × 1280×960 + 3 × 1024²", "16 mixed, 224² … 1024×768". */
export function workloadTitle({ sizes, items }: BenchedWorkload): string {
  const titles = sizes.map(([height, width]) => (height === width ? `${height}²` : `${height}×${width}`));
  const distinct = [...new Set(titles)];
  if (distinct.length > 2) return `${items} mixed, ${distinct[0]} … ${distinct.at(-1)}`;
  return distinct.map((title) => `${titles.filter((each) => each === title).length} × ${title}`).join(" + ");
}

function peerCell(report: PerformanceReport, workload: BenchedWorkload, name: PeerName): string {
  const ms = peerTime(report, workload, name)?.ms;
  return ms === undefined ? "-" : significant(ms);
}

function ratioCell(report: PerformanceReport, workload: BenchedWorkload, name: PeerName): string {
  const ms = peerTime(report, workload, name)?.ms;
  return ms === undefined ? "-" : (ms / workload.deviceMs).toFixed(2);
}

function whole(value = Number.NaN): string {
  return Number.isNaN(value) ? "-" : value.toFixed(0);
}

/** "4096", "15 772". */
function counted(value: number): string {
  return value < 10_000 ? String(value) : String(value).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Three digits; whole numbers are not cut. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** The first column to the left, the others to the right. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, column) => (column === 0 ? "---" : "---:")).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}
