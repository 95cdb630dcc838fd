/** The tables of docs/performance.md and of the README that runs of compare.mjs fill, as Markdown. */
import type { BenchedWorkload } from "vitgraph";
import {
  type PeerName,
  type PerformanceReport,
  peerTime,
  type Row,
  type Run,
  squareRows,
  tableRows,
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
const SUMMARY_ROWS = ["1x224", "1x448", "1x1024", "16mix", "8x1280x960+3x1024"];

function describeRun(report: PerformanceReport): string {
  const { torch, cuda, transformers } = report.machine;
  const runs = [...new Set([...report.rows.map(({ run }) => run), report.start])];
  const rowsOf = (run: Run) => report.rows.filter((row) => row.run === run);
  return [
    `PyTorch ${torch}, CUDA ${cuda}, transformers ${transformers}. ` +
      (runs.length === 1 ? "One run:" : "Several runs; a row and its peers are of one run, on one card:"),
    "",
    ...runs.map((run) => `- ${describeSource(run, runs.length === 1 ? [] : rowsOf(run))}`),
    "",
    "```sh",
    ...new Set(runs.map(({ command }) => command)),
    "```",
  ].join("\n");
}

function describeSource({ commit, date, seconds, vitgraph, peer }: Run, rows: readonly Row[]): string {
  const products = [
    ...(peer === null ? [] : [`${peer.matmul.tflops.toFixed(0)} TFLOP/s through PyTorch`]),
    ...(vitgraph.matmul === null ? [] : [`${vitgraph.matmul.tflops.toFixed(0)} through vitgraph`]),
  ];
  const gpu = peer?.machine.gpu ?? vitgraph.machine.device.name;
  return [
    `commit ${commit ?? "unknown"}, ${date.slice(0, 10)}, one ${gpu}, ${(seconds / 60).toFixed(1)} minutes`,
    ...(products.length === 0 ? [] : [`; a product of 8192³ ran at ${products.join(", ")}`]),
    ...(rows.length === 0 ? [] : [`: ${rows.map(({ workload }) => workloadTitle(workload)).join(", ")}`]),
  ].join("");
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
    tableRows(report).map((row) => [
      workloadTitle(row.workload),
      counted(row.workload.patches),
      `${counted(row.workload.tokens)}, ${counted(row.workload.budget)}`,
      peerCell(row, "transformers-eager"),
      peerCell(row, "padded-graph-fa2"),
      peerCell(row, "exact-graph-cudnn"),
      significant(row.workload.deviceMs),
      ratioCell(row, "padded-graph-fa2"),
      ratioCell(row, "exact-graph-cudnn"),
      significant(row.workload.endToEndMs),
    ]),
  );
}

function cardTable(report: PerformanceReport): string {
  return markdownTable(
    [
      "workload",
      "useful TFLOP/s",
      "of the 8192³ product",
      "SM clock, MHz",
      "power, W",
      "padded graph: SM clock, MHz",
      "power, W",
    ],
    tableRows(report).map((row) => {
      const { workload, run } = row;
      const { tflops, card } = workload;
      const product = (run.peer ?? run.vitgraph).matmul?.tflops;
      const peerCard = peerTime(row, "padded-graph-fa2")?.card ?? null;
      return [
        workloadTitle(workload),
        significant(tflops),
        product === undefined ? "-" : `${((100 * tflops) / product).toFixed(0)} %`,
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
    squareRows(report).map((row) => [
      workloadTitle(row.workload).replace("1 × ", ""),
      counted(row.workload.patches),
      counted(row.workload.budget),
      peerCell(row, "transformers-eager"),
      peerCell(row, "padded-graph-fa2"),
      significant(row.workload.deviceMs),
      ratioCell(row, "padded-graph-fa2"),
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
    tableRows(report).map((row) => [
      workloadTitle(row.workload),
      significant(row.workload.deviceMs),
      row.workload.inFlight === null ? "-" : significant(row.workload.inFlight.callMs),
      row.workload.inFlight === null ? "-" : significant(row.workload.inFlight.deviceMs),
    ]),
  );
}

function paddingTable({ start }: PerformanceReport): string {
  const { padding = [], tokenBudgets } = start.vitgraph;
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

function describeStart({ start }: PerformanceReport): string {
  const { startTimes, tokenBudgets, graphChecks, memory } = start.vitgraph;
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
  const { gpu } = report.machine;
  const rows = tableRows(report)
    .filter(({ workload }) => SUMMARY_ROWS.includes(workload.name))
    .filter((row) => peerTime(row, "padded-graph-fa2")?.ms !== undefined);
  const table = markdownTable(
    [
      `tower of Qwen3-VL-8B, bf16, one ${gpu.replace(/^NVIDIA (H\d+).*/, "$1")}`,
      "torch.compile + FlashAttention-2 + CUDA graph",
      "vitgraph",
      "speed-up",
    ],
    rows.map((row) => [
      workloadTitle(row.workload),
      `${peerCell(row, "padded-graph-fa2")} ms`,
      `${significant(row.workload.deviceMs)} ms`,
      ratioCell(row, "padded-graph-fa2"),
    ]),
  );
  const commits = [...new Set(rows.map(({ run }) => run.commit ?? "unknown"))];
  return `${table}\n\n(Commit ${commits.join(" and ")}; each row of one run, on one card.)`;
}

/** "1 × 224²", "8 × 1280×960 + 3 × 1024²", "16 mixed, 224² … 1024×768". */
export function workloadTitle({ sizes, items }: BenchedWorkload): string {
  const titles = sizes.map(([height, width]) => (height === width ? `${height}²` : `${height}×${width}`));
  const distinct = [...new Set(titles)];
  if (distinct.length > 2) return `${items} mixed, ${distinct[0]} … ${distinct.at(-1)}`;
  return distinct.map((title) => `${titles.filter((each) => each === title).length} × ${title}`).join(" + ");
}

function peerCell(row: Row, name: PeerName): string {
  const ms = peerTime(row, name)?.ms;
  return ms === undefined ? "-" : significant(ms);
}

function ratioCell(row: Row, name: PeerName): string {
  const ms = peerTime(row, name)?.ms;
  return ms === undefined ? "-" : (ms / row.workload.deviceMs).toFixed(2);
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
