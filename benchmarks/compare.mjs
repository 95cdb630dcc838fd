// Times vitgraph and PyTorch on the same machine, one after the other, and prints the ratios as a Markdown table.
//
//     node compare.mjs --arch qwen3-vl-8b [options] [-- options of `vitgraph bench`]
//
// In a bundle, `runtime/node benchmarks/compare.mjs …` does the same: this file needs Node alone. What is measured is
// said in peer/peer.py and by `vitgraph bench --help`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage: node compare.mjs (--arch NAME | --model DIR) [options] [-- options of vitgraph bench]

  --arch NAME          the tower of a published model, with random weights
  --model DIR          a checkpoint; the peer takes its shapes, with random weights
  --workload FILE      workloads of your own, as vitgraph bench takes them
  --only NAME          one workload alone; can be repeated
  --peer NAME          one peer alone; can be repeated (transformers-eager, padded-graph-fa2, exact-graph-cudnn)
  --repetitions N      timed runs of each (default: 20)
  --python PATH        a Python with torch and transformers (default: python3)
  --json FILE          write both reports
`;

/** The peers' names in peer.py, and what the table calls them. */
const PEER_TITLES = {
  "transformers-eager": "transformers eager",
  "padded-graph-fa2": "padded graph (FA2)",
  "exact-graph-cudnn": "exact graph, cuDNN",
};

const here = fileURLToPath(new URL(".", import.meta.url));

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      arch: { type: "string" },
      model: { type: "string" },
      workload: { type: "string" },
      only: { type: "string", multiple: true, default: [] },
      peer: { type: "string", multiple: true, default: Object.keys(PEER_TITLES) },
      repetitions: { type: "string", default: "20" },
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
  checkPython(values.python);
  const directory = mkdtempSync(join(tmpdir(), "vitgraph-compare-"));
  try {
    const vitgraph = timeVitgraph(values, positionals, directory);
    const peer = timePeer(values, vitgraph, directory);
    process.stdout.write(describeRun(vitgraph, peer) + renderTable(values.peer, vitgraph, peer));
    if (values.json !== undefined) {
      writeFileSync(values.json, `${JSON.stringify({ vitgraph, peer }, null, 1)}\n`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Before minutes of timing, not after. */
function checkPython(python) {
  const { status, error } = spawnSync(python, ["-c", "import torch, transformers"], { stdio: "ignore" });
  if (status === 0) return;
  const reason =
    error === undefined ? "cannot import torch and transformers" : `cannot be run (${error.message})`;
  fail(`${python} ${reason}: name a Python that can with --python`);
}

function timeVitgraph({ arch, model, workload, only, repetitions }, passedOn, directory) {
  const report = join(directory, "vitgraph.json");
  const subject = model === undefined ? ["--load-format", "dummy", "--arch", arch] : ["--model", model];
  run(process.execPath, [
    vitgraphEntry(),
    "bench",
    ...subject,
    ...(workload === undefined ? [] : ["--workload", workload]),
    ...only.flatMap((name) => ["--only", name]),
    ...["--repetitions", repetitions, "--json", report],
    ...passedOn,
  ]);
  return JSON.parse(readFileSync(report, "utf8"));
}

/** Of the checkout, or of the bundle that this file is part of. */
function vitgraphEntry() {
  const entries = ["../bin/vitgraph.mjs", "../packages/cli/bin/vitgraph.mjs"].map((path) => join(here, path));
  const entry = entries.find(existsSync);
  if (entry === undefined) fail(`there is no ${entries.join(" and no ")}: run this file where it belongs`);
  return entry;
}

/** The same sizes, budgets and shapes: both are taken from vitgraph's report. */
function timePeer({ peer, repetitions, python }, vitgraph, directory) {
  const [workloads, visionConfig, report] = ["workloads", "vision-config", "peer"].map((name) =>
    join(directory, `${name}.json`),
  );
  const entries = vitgraph.workloads.map(({ name, sizes, frames, budget }) => [
    name,
    { sizes, budget, ...(frames === null ? {} : { frames }) },
  ]);
  writeFileSync(workloads, JSON.stringify(Object.fromEntries(entries)));
  writeFileSync(visionConfig, JSON.stringify(vitgraph.model.visionConfig));
  run(python, [
    join(here, "peer/peer.py"),
    ...["--workload", workloads, "--vision-config", visionConfig, "--json", report],
    ...["--repetitions", repetitions, "--peers", ...peer],
  ]);
  return JSON.parse(readFileSync(report, "utf8"));
}

/** Its standard output is progress here: it goes to stderr, so that stdout is the table alone. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", process.stderr, "inherit"] });
  if (error !== undefined) fail(`cannot run ${command} (${error.message}): check that it is installed`);
  if (status !== 0) fail(`${command} ${args[0]} ended with exit code ${status}: see its message above`);
}

function describeRun({ machine, model }, { machine: torch, matmul }) {
  const command = [process.argv0, relative(process.cwd(), process.argv[1]), ...process.argv.slice(2)]
    .map(quote)
    .join(" ");
  return [
    `${model.name} on ${machine.device.name}; torch ${torch.torch}, CUDA ${torch.cuda}, transformers ${torch.transformers}.`,
    `Device times in ms (medians). A product of ${matmul.side}³ ran at ${matmul.tflops.toFixed(0)} TFLOP/s through torch.`,
    "",
    "```sh",
    command,
    "```",
    "",
    "",
  ].join("\n");
}

function quote(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

function renderTable(peers, vitgraph, peer) {
  const head = [
    "workload",
    "budget",
    "patches",
    "GFLOP",
    ...peers.map((name) => PEER_TITLES[name] ?? name),
    "vitgraph",
    ...peers.map((name) => `× ${PEER_TITLES[name] ?? name}`),
    "TFLOP/s",
    `of ${peer.matmul.side}³`,
    "vitgraph, end to end",
  ];
  const rows = vitgraph.workloads.map((workload) => {
    const { peers: timed } = peer.workloads[workload.name];
    return [
      workload.name,
      workload.batches.map(({ budget }) => budget ?? "eager").join(" + "),
      workload.patches,
      workload.gflop.toFixed(0),
      ...peers.map((name) => ("ms" in timed[name] ? significant(timed[name].ms) : "failed")),
      significant(workload.deviceMs),
      ...peers.map((name) => ("ms" in timed[name] ? (timed[name].ms / workload.deviceMs).toFixed(2) : "-")),
      significant(workload.tflops),
      `${((100 * workload.tflops) / peer.matmul.tflops).toFixed(0)} %`,
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
