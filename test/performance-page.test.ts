/**
 * The plot and the tables of docs/performance.md (benchmarks/performance-*.ts): drawn from made-up figures where their form is
 * tested, and compared with the committed reports so that no figure of the page is written by hand.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { fillTables, PAGES, PLOT } from "../benchmarks/performance-page.js";
import { drawPerformance } from "../benchmarks/performance-plot.js";
import { joinRuns, type Run, readPerformanceReport } from "../benchmarks/performance-report.js";
import { PERFORMANCE_TABLES } from "../benchmarks/performance-tables.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const RESULTS = join(ROOT, "benchmarks/results");

const MIXED = [...Array(15).fill([224, 224]), [448, 448], [1024, 768]];
const WORKLOADS: readonly [name: string, sizes: readonly (readonly number[])[], ms: number][] = [
  ["1x224", [[224, 224]], 1],
  ["1x448", [[448, 448]], 2],
  ["1x1024", [[1024, 1024]], 10],
  ["8x320x352", Array(8).fill([320, 352]), 6],
  ["16mix", MIXED, 25],
  ["1x2048", [[2048, 2048]], 80],
  ["8x1280x960+3x1024", [...Array(8).fill([1280, 960]), ...Array(3).fill([1024, 1024])], 120],
  ["1x128", [[128, 128]], 0.8],
];

/** The padded graph takes twice vitgraph's time, the exact one 1.5 times; the square of 128² has no exact graph. */
function madeUpRun() {
  const workloads = WORKLOADS.map(([name, sizes, ms]) => {
    const patches = sizes.reduce((sum, [height = 0, width = 0]) => sum + (height * width) / 256, 0);
    const card = { smClockMhz: 1700, powerWatts: 650, temperatureCelsius: 50 };
    const inFlight = { callMs: ms + 0.5, deviceMs: ms + 0.25 };
    const common = {
      name,
      sizes,
      frames: null,
      items: sizes.length,
      patches,
      tokens: patches / 4,
      card,
      inFlight,
    };
    return { ...common, budget: 64, deviceMs: ms, endToEndMs: ms + 1, tflops: 400 };
  });
  const timed = (name: string, ms: number) => ({
    "padded-graph-fa2": { ms: 2 * ms, card: { sm_clock_mhz: 1600, power_watts: 640 } },
    ...(name === "1x128" ? {} : { "exact-graph-cudnn": { ms: 1.5 * ms } }),
    "transformers-eager": { error: "skipped: the time limit is over" },
  });
  const report = {
    commit: "0123abc",
    date: "2026-11-27T12:00:00.000Z",
    command: "runtime/node benchmarks/compare.mjs",
    seconds: 450,
    vitgraph: {
      model: { name: "qwen3-vl-8b" },
      tokenBudgets: [64, 128],
      startTimes: { loadMs: 470, measureMs: 17_000, captureMs: 710, checkMs: 9300, warmUpMs: 12 },
      graphChecks: [{ relativeL2: 0.01 }, { relativeL2: 0.019 }],
      memory: { residentBytes: 2 ** 30, eagerBytes: 2 ** 31, capturedBytes: 2 ** 31 + 2 ** 21 },
      matmul: { side: 8192, durationMs: 1.4, tflops: 780 },
      padding: [
        { budget: null, tokens: 64, durationMs: 1.7 },
        { budget: 64, tokens: 64, durationMs: 1.5 },
        { budget: 128, tokens: 64, durationMs: 1.67 },
        { budget: 128, tokens: 128, durationMs: 1.87 },
      ],
      workloads,
    },
    peer: {
      machine: { gpu: "NVIDIA H100 80GB HBM3", torch: "2.11.0", cuda: "13.0", transformers: "5.17.0" },
      matmul: { side: 8192, tflops: 800 },
      workloads: Object.fromEntries(WORKLOADS.map(([name, , ms]) => [name, { peers: timed(name, ms) }])),
    },
  };
  return report as unknown as Run & { readonly peer: NonNullable<Run["peer"]> };
}

const madeUpReport = () => joinRuns([madeUpRun()]);

describe("the tables", () => {
  const rowsOf = (name: keyof typeof PERFORMANCE_TABLES) =>
    PERFORMANCE_TABLES[name](madeUpReport())
      .split("\n")
      .filter((line) => line.startsWith("| "))
      .slice(1)
      .map((line) => line.slice(2, -2).split(" | "));

  test("have the seven workloads, each peer's time and its ratio, and a dash where a peer has no time", () => {
    expect(rowsOf("speed")).toEqual([
      ["1 × 224²", "196", "49, 64", "-", "2.00", "1.50", "1.00", "2.00", "1.50", "2.00"],
      ["1 × 448²", "784", "196, 64", "-", "4.00", "3.00", "2.00", "2.00", "1.50", "3.00"],
      ["1 × 1024²", "4096", "1024, 64", "-", "20.0", "15.0", "10.0", "2.00", "1.50", "11.0"],
      ["8 × 320×352", "3520", "880, 64", "-", "12.0", "9.00", "6.00", "2.00", "1.50", "7.00"],
      ["17 mixed, 224² … 1024×768", "6796", "1699, 64", "-", "50.0", "37.5", "25.0", "2.00", "1.50", "26.0"],
      ["1 × 2048²", "16 384", "4096, 64", "-", "160", "120", "80.0", "2.00", "1.50", "81.0"],
      ["8 × 1280×960 + 3 × 1024²", "50 688", "12 672, 64", "-", "240", "180", "120", "2.00", "1.50", "121"],
    ]);
  });

  test("have the share of the product that PyTorch ran, with clock and power of both", () => {
    expect(rowsOf("card")[0]).toEqual(["1 × 224²", "400", "50 %", "1700", "650", "1600", "640"]);
  });

  test("have all squares by size, those of the seven among them", () => {
    expect(rowsOf("squares").map(([side]) => side)).toEqual(["128²", "224²", "448²", "1024²", "2048²"]);
  });

  test("have padding by budget and content", () => {
    expect(rowsOf("padding")).toEqual([
      ["64", "1.70", "1.50", "1.67", ""],
      ["128", "", "1.87", "", ""],
    ]);
  });

  test("say what starting takes and what memory graphs add", () => {
    const start = PERFORMANCE_TABLES.start(madeUpReport());
    expect(start).toContain("| capturing the graphs | 0.71 s |");
    expect(start).toContain("| self-check | 9.3 s; worst row 1.90e-2 |");
    expect(start).toContain("| memory: and all graphs captured | 2050 MiB: 1.001 × the eager run |");
  });
});

describe("the plot", () => {
  const plot = drawPerformance(madeUpReport());
  const pointsOf = (name: string) =>
    (new RegExp(`<polyline class="${name}" points="([^"]+)"`).exec(plot)?.[1] ?? "")
      .split(" ")
      .filter((pair) => pair !== "")
      .map((pair) => pair.split(",").map(Number) as [number, number]);

  test("has a point for each square that was timed, and none of a peer that has no time", () => {
    expect(pointsOf("vitgraph")).toHaveLength(5);
    expect(pointsOf("padded")).toHaveLength(5);
    expect(pointsOf("exact")).toHaveLength(4);
    expect(plot).not.toContain("transformers");
  });

  test("is logarithmic both ways: a factor is a distance, wherever it is", () => {
    const [own, padded] = [pointsOf("vitgraph"), pointsOf("padded")];
    const gaps = own.map(([, y], index) => y - (padded[index]?.[1] ?? 0));
    for (const gap of gaps) expect(gap).toBeCloseTo(gaps[0] as number, 0);
    expect(gaps[0]).toBeGreaterThan(20);
    const widths = own.map(([x]) => x);
    // 4 times the patches from 224² to 448², and from 1024² to 2048².
    expect(widths[2]! - widths[1]!).toBeCloseTo(widths[4]! - widths[3]!, 0);
  });

  test("names each line at the right side, the slowest on top", () => {
    const names = [...plot.matchAll(/<text x="[\d.]+" y="([\d.]+)" class="name \w+">([^<]+)</g)];
    expect(names.map(([, , name]) => name)).toEqual(["padded graph, FA2", "exact graph, cuDNN", "vitgraph"]);
    const heights = names.map(([, y]) => Number(y));
    expect(heights[1]! - heights[0]!).toBeGreaterThanOrEqual(17);
    expect(heights[2]! - heights[1]!).toBeGreaterThanOrEqual(17);
  });
});

describe("a page", () => {
  test("has its marked tables replaced, and nothing else", () => {
    const page = "a\n<!-- measured: plot -->\n\nold\n\n<!-- /measured -->\nb\n";
    const filled = fillTables(page, madeUpReport());
    expect(filled).toMatch(
      /^a\n<!-- measured: plot -->\n\n!\[.+\]\(performance.svg\)\n\n<!-- \/measured -->\nb\n$/,
    );
    expect(fillTables(filled, madeUpReport())).toBe(filled);
  });

  test.each([
    [
      "a table that is not known",
      "<!-- measured: sped -->\n<!-- /measured -->",
      'there is no table "sped": choose from run, ',
    ],
    ["a marker without an end", "<!-- measured: run -->\n", "a marker has no end"],
  ])("with %s is refused", (_, page, message) => {
    expect(() => fillTables(page, madeUpReport())).toThrow(message);
  });
});

test("reports without peers or padding are refused with what they lack", () => {
  const run = madeUpRun();
  expect(() => joinRuns([{ ...run, peer: null }])).toThrow("the reports have no times of peers");
  const { padding: _, ...without } = run.vitgraph;
  expect(() => joinRuns([{ ...run, vitgraph: without }])).toThrow("have no times of padding");
  const workloads = run.vitgraph.workloads.filter(({ name }) => name !== "16mix");
  expect(() => joinRuns([{ ...run, vitgraph: { ...run.vitgraph, workloads } }])).toThrow(
    "have no workload 16mix",
  );
});

test("of several runs a row is the one with most of its peers, or the last; the start is the last that has it", () => {
  const [first, second] = [madeUpRun(), madeUpRun()];
  const { padding: _, ...vitgraph } = second.vitgraph;
  const { "1x224": known, "1x448": half } = second.peer.workloads;
  const { "exact-graph-cudnn": __, ...fewer } = half?.peers ?? {};
  const workloads = { "1x224": known!, "1x448": { peers: fewer } };
  const later: Run = { ...second, commit: "4567def", vitgraph, peer: { ...second.peer, workloads } };
  const report = joinRuns([first, later]);
  const commits = Object.fromEntries(report.rows.map(({ workload, run }) => [workload.name, run.commit]));
  expect(commits).toMatchObject({ "1x224": "4567def", "1x448": "0123abc", "1x2048": "0123abc" });
  expect(report.start.commit).toBe("0123abc");
  expect(PERFORMANCE_TABLES.run(report)).toContain(
    "- commit 4567def, 2026-11-27, one NVIDIA H100 80GB HBM3, 7.5 minutes; a product of 8192³ ran at 800 TFLOP/s through PyTorch, 780 through vitgraph: 1 × 224²\n",
  );
});

const reports = existsSync(RESULTS) ? readdirSync(RESULTS).filter((name) => name.endsWith(".json")) : [];
if (reports.length === 0)
  console.warn("SKIPPED: benchmarks/results has no report, so the page's tables are unchecked");

describe.skipIf(reports.length === 0)("the committed reports", () => {
  const report = () => readPerformanceReport(RESULTS);

  test.each(PAGES)("fill the tables of %s", (page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    expect(text).toBe(fillTables(text, report()));
  });

  test(`are drawn in ${PLOT}`, () => {
    expect(readFileSync(join(ROOT, PLOT), "utf8")).toBe(drawPerformance(report()));
  });
});
