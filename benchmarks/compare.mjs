// Times vitgraph and PyTorch on the same machine, one after the other, and prints the ratios as a Markdown table.
//
//     node compare.mjs --arch qwen3-vl-8b [options] [-- options of `vitgraph bench`]
//
// In a bundle, `runtime/node benchmarks/compare.mjs …` does the same: this file needs Node alone. What is measured is
// said in peer/peer.py and by `vitgraph bench --help`.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage: node compare.mjs (--arch NAME | --model DIR) [options] [-- options of vitgraph bench]

  --arch NAME          the tower of a published model, with random weights
  --model DIR          a checkpoint; the peer takes its shapes, with random weights
  --workload FILE      workloads of your own, as vitgraph bench takes them
  --only NAME          one workload alone; can be repeated
  --squares            also single square images of many sizes, without the exact graph: for the plot of docs/performance.md
  --peer NAME          one peer alone; can be repeated (transformers-eager, padded-graph-fa2, exact-graph-cudnn), or none
  --repetitions N      timed runs of each (default: 20)
  --time-limit SECONDS no peer starts after it: each takes some 15 s to compile for each workload
  --python PATH        a Python with torch and transformers (default: python3)
  --json FILE          write both reports, with the commit
`;

/** The peers' names in peer.py, and what the table calls them. */
const PEER_TITLES = {
  "transformers-eager": "transformers eager",
  "padded-graph-fa2": "padded graph (FA2)",
  "exact-graph-cudnn": "exact graph, cuDNN",
};

/** A graph for each mix of sizes: no server can use it, so it is left out of the squares. */
const EXACT_GRAPH = "exact-graph-cudnn";

/** Sides in pixels, about √2 apart. The built-in workloads have 224, 448, 1024 and 2048. */
const SQUARES = [128, 160, 320, 640, 832, 1280, 1600, 2560];

const here = fileURLToPath(new URL(".", import.meta.url));

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      arch: { type: "string" },
      model: { type: "string" },
      workload: { type: "string" },
      only: { type: "string", multiple: true, default: [] },
      squares: { type: "boolean", default: false },
      peer: { type: "string", multiple: true, default: Object.keys(PEER_TITLES) },
      repetitions: { type: "string", default: "20" },
      "time-limit": { type: "string" },
      python: { type: "string", default: "python3" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if ((values.arch === undefined) === (values.model === undefined)) fail("give --arch NAME or --model DIR");
  const peers = peersOf(values);
  if (peers.length > 0) checkPython(values.python);
  if (values.json !== undefined) checkWritable(values.json);
  const started = performance.now();
  const directory = mkdtempSync(join(tmpdir(), "vitgraph-compare-"));
  try {
    const vitgraph = timeVitgraph(values, positionals, directory);
    const peer = peers.length === 0 ? null : timePeer(values, peers, vitgraph, directory);
    process.stdout.write(describeRun(vitgraph, peer) + renderTable(peers, vitgraph, peer));
    if (values.json !== undefined) {
      const seconds = (performance.now() - started) / 1000;
      const report = { commit: commit(), date: new Date().toISOString(), command: command(), seconds };
      writeFileSync(values.json, printReport({ ...report, vitgraph, peer }));
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The names for peer.py. */
function peersOf({ peer }) {
  if (peer.includes("none")) {
    if (peer.length > 1) fail("--peer none excludes the other peers: give one or the other");
    return [];
  }
  const unknown = peer.find((name) => !(name in PEER_TITLES));
  const known = [...Object.keys(PEER_TITLES), "none"].join(", ");
  if (unknown !== undefined) fail(`there is no peer ${JSON.stringify(unknown)}: choose from ${known}`);
  return peer;
}

/** Before minutes of timing, not after. */
function checkPython(python) {
  const { status, error } = spawnSync(python, ["-c", "import torch, transformers"], { stdio: "ignore" });
  if (status === 0) return;
  const reason =
    error === undefined ? "cannot import torch and transformers" : `cannot be run (${error.message})`;
  fail(`${python} ${reason}: name a Python that can with --python`);
}

function checkWritable(file) {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
  } catch (error) {
    fail(`cannot write ${file} (${error.message}): give --json a file in a directory that exists`);
  }
}

/** Of the build that is measured: a bundle has it in its package.json. Null where there is neither that nor git. */
function commit() {
  const manifest = JSON.parse(readFileSync(join(here, "../package.json"), "utf8"));
  if (manifest.commit !== undefined) return manifest.commit;
  const { status, stdout } = spawnSync("git", ["-C", here, "rev-parse", "--short", "HEAD"], {
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : null;
}

/** Indented, but a list of numbers or a repetition stands on one line; six digits of each number. */
function printReport(report) {
  const short = (_, value) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = JSON.stringify(report, short, 1);
  return `${text.replace(/[[{][^[\]{}]*[\]}]/g, (innermost) => innermost.replace(/\s*\n\s*/g, " "))}\n`;
}

function timeVitgraph({ arch, model, workload, only, squares, repetitions }, passedOn, directory) {
  const report = join(directory, "vitgraph.json");
  const workloadFile = squares ? withSquares(workload, directory) : workload;
  const subject = model === undefined ? ["--load-format", "dummy", "--arch", arch] : ["--model", model];
  run(process.execPath, [
    vitgraphEntry(),
    "bench",
    ...subject,
    ...(workloadFile === undefined ? [] : ["--workload", workloadFile]),
    ...only.flatMap((name) => ["--only", name]),
    ...["--repetitions", repetitions, "--json", report],
    ...passedOn,
  ]);
  return JSON.parse(readFileSync(report, "utf8"));
}

/** The file of the workloads, or of the built-in ones, with the squares behind them. */
function withSquares(workload, directory) {
  const text =
    workload === undefined
      ? spawnSync(process.execPath, [vitgraphEntry(), "bench", "--print-workloads"], { encoding: "utf8" })
          .stdout
      : readFileSync(workload, "utf8");
  const squares = SQUARES.map((side) => [squareName(side), { sizes: [[side, side]] }]);
  const file = join(directory, "with-squares.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(text), ...Object.fromEntries(squares) }));
  return file;
}

/** As the built-in workloads call them. */
function squareName(side) {
  return `1x${side}`;
}

/** Of the checkout, or of the bundle that this file is part of. */
function vitgraphEntry() {
  const entries = ["../bin/vitgraph.mjs", "../packages/cli/bin/vitgraph.mjs"].map((path) => join(here, path));
  const entry = entries.find(existsSync);
  if (entry === undefined) fail(`there is no ${entries.join(" and no ")}: run this file where it belongs`);
  return entry;
}

/** The same sizes, budgets and shapes: both are taken from vitgraph's report. */
function timePeer({ squares, repetitions, python, "time-limit": timeLimit }, peers, vitgraph, directory) {
  const [workloads, visionConfig, report] = ["workloads", "vision-config", "peer"].map((name) =>
    join(directory, `${name}.json`),
  );
  const squareNames = squares ? SQUARES.map(squareName) : [];
  const entries = vitgraph.workloads.map(({ name, sizes, frames, budget }) => [
    name,
    {
      sizes,
      budget,
      ...(frames === null ? {} : { frames }),
      ...(squareNames.includes(name) ? { peers: peers.filter((peer) => peer !== EXACT_GRAPH) } : {}),
    },
  ]);
  writeFileSync(workloads, JSON.stringify(Object.fromEntries(entries)));
  writeFileSync(visionConfig, JSON.stringify(vitgraph.model.visionConfig));
  run(python, [
    join(here, "peer/peer.py"),
    ...["--workload", workloads, "--vision-config", visionConfig, "--json", report],
    ...["--repetitions", repetitions, "--peers", ...peers],
    ...(timeLimit === undefined ? [] : ["--time-limit", timeLimit]),
  ]);
  return JSON.parse(readFileSync(report, "utf8"));
}

/** Its standard output is progress here: it goes to stderr, so that stdout is the table alone. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", process.stderr, "inherit"] });
  if (error !== undefined) fail(`cannot run ${command} (${error.message}): check that it is installed`);
  if (status !== 0) fail(`${command} ${args[0]} ended with exit code ${status}: see its message above`);
}

function describeRun({ machine, model, matmul }, peer) {
  const product = peer?.matmul ?? matmul;
  return [
    `${model.name} on ${machine.device.name}${peer === null ? "." : `; ${describePeers(peer)}`}`,
    `Device times in ms (medians).${product === null ? "" : ` ${describeProduct(product, peer)}`}`,
    "",
    "```sh",
    command(),
    "```",
    "",
    "",
  ].join("\n");
}

function describePeers({ machine: { torch, cuda, transformers } }) {
  return `torch ${torch}, CUDA ${cuda}, transformers ${transformers}.`;
}

function describeProduct({ side, tflops }, peer) {
  return `A product of ${side}³ ran at ${tflops.toFixed(0)} TFLOP/s${peer === null ? "" : " through torch"}.`;
}

/** The command line of this run, without the folders of absolute paths: they are this machine's. */
function command() {
  const file = relative(process.cwd(), process.argv[1]);
  const args = process.argv
    .slice(2)
    .map((argument) => (isAbsolute(argument) ? basename(argument) : argument));
  return [process.argv0, file, ...args].map(quote).join(" ");
}

function quote(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

function renderTable(peers, vitgraph, peer) {
  const product = peer?.matmul ?? vitgraph.matmul;
  const head = [
    "workload",
    "budget",
    "patches",
    "GFLOP",
    ...peers.map((name) => PEER_TITLES[name]),
    "vitgraph",
    ...peers.map((name) => `× ${PEER_TITLES[name]}`),
    "TFLOP/s",
    ...(product === null ? [] : [`of ${product.side}³`]),
    "SM MHz",
    "W",
    "vitgraph, end to end",
  ];
  const rows = vitgraph.workloads.map((workload) => {
    // A peer that failed, was skipped, or does not take part has no time.
    const times = peers.map((name) => peer.workloads[workload.name].peers[name]?.ms);
    const { card } = workload;
    return [
      workload.name,
      workload.batches.map(({ budget }) => budget ?? "eager").join(" + "),
      workload.patches,
      workload.gflop.toFixed(0),
      ...times.map((ms) => (ms === undefined ? "-" : significant(ms))),
      significant(workload.deviceMs),
      ...times.map((ms) => (ms === undefined ? "-" : (ms / workload.deviceMs).toFixed(2))),
      significant(workload.tflops),
      ...(product === null ? [] : [`${((100 * workload.tflops) / product.tflops).toFixed(0)} %`]),
      card === null ? "-" : card.smClockMhz.toFixed(0),
      card === null ? "-" : card.powerWatts.toFixed(0),
      significant(workload.endToEndMs),
    ];
  });
  const line = (cells) => `| ${cells.join(" | ")} |\n`;
  return (
    line(head) + line(head.map((_, column) => (column === 0 ? "---" : "---:"))) + rows.map(line).join("")
  );
}

/** Three digits; whole numbers are not cut. */
function significant(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** What the user can do something about: told without a stack. */
class CompareError extends Error {}

function fail(message) {
  throw new CompareError(message);
}

try {
  main();
} catch (error) {
  const isUsage = error.code?.startsWith("ERR_PARSE_ARGS");
  if (!isUsage && !(error instanceof CompareError)) throw error;
  console.error(`compare: ${error.message}${isUsage ? " (run with --help for the options)" : ""}`);
  process.exitCode = 1;
}
