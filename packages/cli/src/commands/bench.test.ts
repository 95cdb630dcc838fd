import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BenchReport } from "../bench/report.js";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

let directory: string;
let workload: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
  workload = join(directory, "workload.json");
  // A miniature's blocks have 4 × 4 pixels.
  const workloads = {
    pair: {
      sizes: [
        [8, 16],
        [4, 4],
      ],
    },
    clip: { sizes: [[8, 8]], frames: 4, budget: 80 },
  };
  await writeFile(workload, JSON.stringify(workloads));
});
afterAll(() => rm(directory, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = createFakeIo();
  const code = await main(["bench", ...args], io);
  const short = (text: string) => text.replaceAll(directory, "DIR");
  return { code, out: short(io.out), err: short(io.err) };
}

const quick = ["--backend", "cpu", "--threads", "1", "--repetitions", "2", "--warmup", "0"];

test("prints a row a workload, with a budget for each; progress goes to stderr", async () => {
  const { code, out, err } = await run("--model", directory, "--workload", workload, ...quick);
  expect(err).toMatch(/^loading DIR on .*s\n$/);
  expect(code).toBe(0);
  const [table = "", start] = out.split("\n\n");
  expect(start).toMatch(/^start: load .* s, measure .* s, capture .* s \(\d budgets\), self-check .* s\n$/);
  const [head, , ...rows] = table.split("\n").map((line) => line.split(/\s{2,}/));
  expect(head).toEqual([
    "workload", "items", "patches", "tokens", "batches", "padding", "calls", "device ms", "end to end ms", "3 in flight, ms", "device busy",
    "TFLOP/s", "of matmul", "SM MHz", "W",
  ]); // biome-ignore format: a row
  expect(rows.map((row) => row.slice(0, 7))).toEqual([
    ["pair", "2", "36", "9", "64", "85.9 %", "2"],
    ["clip", "1", "32", "8", "64", "87.5 %", "2"],
  ]);
  expect(rows.map((row) => row[12])).toEqual(["-", "-"]);
});

test("--json writes everything that was measured", async () => {
  const json = join(directory, "report.json");
  const { code } = await run("--model", directory, "--workload", workload, "--json", json, ...quick);
  expect(code).toBe(0);
  const report = JSON.parse(await readFile(json, "utf8")) as BenchReport;
  expect(report).toMatchObject({
    machine: { device: { backend: "cpu", facts: expect.anything() }, node: process.version },
    model: {
      name: directory,
      weights: "checkpoint",
      visionConfig: { hidden_size: 16, temporal_patch_size: 2 },
    },
    compilationConfig: {
      compile_mm_encoder: true,
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [64, 80],
    },
    tokenBudgets: [64, 80],
    startTimes: { loadMs: expect.any(Number), measureMs: 0, captureMs: expect.any(Number) },
    interrupted: false,
    memory: null,
    matmul: null,
    warmup: 0,
    workloads: [
      {
        name: "pair",
        sizes: [
          [8, 16],
          [4, 4],
        ],
        frames: null,
        budget: 64,
        matmulShare: null,
      },
      { name: "clip", frames: 4, budget: 80, batches: [{ items: 1, tokens: 8, budget: 64 }] },
    ],
  });
  for (const { repetitions, deviceMs, endToEndMs, tflops, gflop } of report.workloads) {
    expect(repetitions).toHaveLength(2);
    expect(deviceMs).toBeCloseTo((repetitions[0]!.deviceMs + repetitions[1]!.deviceMs) / 2, 9);
    expect(endToEndMs).toBeGreaterThanOrEqual(Math.min(...repetitions.map((call) => call.endToEndMs)));
    expect(tflops).toBeCloseTo(gflop / deviceMs, 9);
  }
});

test("the engine's devices are of the backend that was measured, also where that is chosen automatically", async () => {
  const { code, err } = await run(
    "--model", directory, "--workload", workload, "--only", "pair", "--repetitions", "1", "--callers", "1", "--engine-devices", "0",
  ); // biome-ignore format: a row
  expect(err).not.toContain("error:");
  expect(code).toBe(0);
});

test("--callers and --packing load an engine, of several devices if asked, and print what it took by the wall and on the device", async () => {
  const json = join(directory, "load.json");
  const { code, out, err } = await run(
    "--model", directory, "--workload", workload, ...quick, "--callers", "3", "--engine-devices", "0", "1",
    "--packing", "cost", "greedy", "--json", json,
  ); // biome-ignore format: a row
  expect(code).toBe(0);
  expect(err).toMatch(
    /^loading .*\npair from 3 callers .*s\nclip from 3 callers .*s\npacking cost .*s\npacking greedy .*s\n$/,
  );
  const tables = out.split("\n\n").slice(2);
  const [loads = [], packings = []] = tables.map((table) =>
    table
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/\s{2,}/)),
  );
  expect(loads[0]).toEqual([
    "workload", "devices", "callers", "calls", "items a batch", "padding", "device ms a call", "wall ms a call", "wall / device",
  ]); // biome-ignore format: a row
  expect(loads.slice(2).map((row) => row.slice(0, 3))).toEqual([
    ["pair", "2", "3"],
    ["clip", "2", "3"],
  ]);
  expect(packings.slice(2).map((row) => row.slice(0, 4))).toEqual([
    ["cost", "2", "3", "6"],
    ["greedy", "2", "3", "6"],
  ]);
  const report = JSON.parse(await readFile(json, "utf8"));
  expect(report.loads).toMatchObject([{ name: "pair" }, { name: "clip" }]);
  // From 4 to 32 of each caller, by how long they are.
  for (const { calls } of report.loads)
    expect([calls % 3, calls >= 12, calls <= 96]).toEqual([0, true, true]);
  for (const { wallMs, deviceMs, batches, items } of [...report.loads, ...report.packings]) {
    expect(deviceMs).toBeGreaterThan(0);
    expect(wallMs).toBeGreaterThan(0);
    expect(items).toBeGreaterThanOrEqual(batches);
  }
});

test("--padding times each budget full, half full and a quarter full, and the same tokens eagerly", async () => {
  const json = join(directory, "padding.json");
  const budgets = ["-cc.encoder_cudagraph_token_budgets+=64", "-cc.encoder_cudagraph_token_budgets+=128"];
  const { code, out } = await run("--model", directory, "--workload", workload, ...quick, ...budgets, "--padding", "--json", json); // biome-ignore format: a row
  expect(code).toBe(0);
  const [head, , ...rows] = (out.split("\n\n")[2] as string)
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s{2,}/));
  expect(head).toEqual(["tokens", "eager ms", "in a full budget", "half full", "a quarter full"]);
  const time = expect.stringMatching(/^[\d.]+$/);
  expect(rows).toEqual([
    ["64", time, time, time, "-"],
    ["128", time, time, "-", "-"],
  ]);
  const { padding } = JSON.parse(await readFile(json, "utf8"));
  expect(padding).toContainEqual({ budget: 128, tokens: 64, durationMs: expect.any(Number) });
  expect(padding).toContainEqual({ budget: null, tokens: 128, durationMs: expect.any(Number) });
});

describe("the compilation config has the last word", () => {
  const budgetsOf = async (...args: string[]) => {
    const { code, out } = await run(
      "--model",
      directory,
      "--workload",
      workload,
      "--only",
      "clip",
      ...args,
      ...quick,
    );
    expect(code).toBe(0);
    return out.split("\n")[2]?.split(/\s{2,}/)[4];
  };

  test.each([
    ["a workload's own budget is the default", [], "80"],
    ["its budgets are taken", ["-cc.encoder_cudagraph_token_budgets+=12"], "12"],
    ["graphs can be off", ["-cc.cudagraph_mm_encoder=false"], "eager"],
    ["as by --enforce-eager", ["--enforce-eager"], "eager"],
    ["budgets are inferred up to --max-batch-tokens", ["--max-batch-tokens", "4096"], "64"],
  ])("%s", async (_, args, budget) => {
    expect(await budgetsOf(...args)).toBe(budget);
  });
});

test("the model of a --config file is measured, with the file's compilation config", async () => {
  const file = join(directory, "serve.yaml");
  await writeFile(file, `model: ${directory}\ncompilation-config: {cudagraph_mm_encoder: false}\n`);
  const { code, out, err } = await run("--config", file, "--workload", workload, "--only", "clip", ...quick);
  expect(code).toBe(0);
  expect(err).toMatch(/^loading DIR on .*s\n$/);
  expect(out.split("\n")[2]?.split(/\s{2,}/)[4]).toBe("eager");
  expect((await run("--config", file, "--print-workloads")).code).toBe(0);
});

test("--load-format dummy needs the configuration alone, and gives the same shape of report", async () => {
  const config = join(directory, "config-only");
  await writeMiniatureCheckpoint(config);
  await rm(join(config, "model.safetensors"));
  const { code, out } = await run(
    "--model",
    config,
    "--load-format",
    "dummy",
    "--workload",
    workload,
    ...quick,
  );
  expect(code).toBe(0);
  expect(out).toContain("pair");
});

test("--print-workloads prints a file that --workload takes", async () => {
  const { code, out } = await run("--print-workloads");
  expect(code).toBe(0);
  expect(Object.keys(JSON.parse(out))).toEqual([
    "1x224", "1x448", "1x1024", "8x320x352", "16mix", "1x2048", "8x1280x960+3x1024",
  ]); // biome-ignore format: a row
});

/** An io whose user presses Ctrl-C once a text has been printed. */
function interruptedAfter(text: string) {
  const io = createFakeIo();
  const { stdout } = io;
  io.stdout = (printed) => {
    stdout(printed);
    if (printed.includes(text)) io.interrupt();
  };
  return io;
}

test("Ctrl-C keeps the rows so far, in the table and in the report", async () => {
  const json = join(directory, "interrupted.json");
  const io = interruptedAfter("pair ");
  const args = ["--model", directory, "--workload", workload, "--json", json, "--callers", "2", ...quick];
  expect(await main(["bench", ...args], io)).toBe(130);
  expect(io.out).toMatch(/^pair .*\n\nstart: /m);
  expect(io.out).not.toMatch(/^clip/m);
  const report = JSON.parse(await readFile(json, "utf8"));
  expect(report).toMatchObject({ interrupted: true, workloads: [{ name: "pair" }] });
  expect(report).not.toHaveProperty("loads");
});

test("without --repetitions, it makes at most twenty calls of each workload", async () => {
  const { out } = await run(
    "--model",
    directory,
    "--workload",
    workload,
    "--backend",
    "cpu",
    "--only",
    "clip",
  );
  expect(Number(out.split("\n")[2]?.split(/\s{2,}/)[6])).toBeLessThanOrEqual(20);
});

describe("is refused as an error of the command line:", () => {
  const pair = ["--model", "DIR", "--repetitions", "1"];
  test.each<[string, string[], string | RegExp]>([
    ["no model", [], "error: bench needs a model: give --model DIR or --arch NAME\n"],
    [
      "weights of a name",
      ["--arch", "qwen3-vl-8b", "--load-format", "auto"],
      "error: --arch qwen3-vl-8b has no weights to load: remove --load-format auto\n",
    ],
    [
      "a workload that is not there",
      ["--arch", "qwen3-vl-8b", "--only", "1x225"],
      'error: there is no workload "1x225": choose from 1x224, 1x448, 1x1024, 8x320x352, 16mix, 1x2048, ' +
        "8x1280x960+3x1024\n",
    ],
    [
      "a checkpoint and a name",
      [...pair, "--arch", "qwen3-vl-8b"],
      /'--arch <name>' cannot be used with option '--model/,
    ],
    [
      "a workload file that is not used",
      ["--print-workloads", "--workload", "w.json"],
      /cannot be used with option/,
    ],
    [
      "devices of no engine",
      [...pair, "--engine-devices", "0", "1"],
      "error: --engine-devices has no effect without --callers or --packing: add one\n",
    ],
    [
      "rounds of no comparison",
      [...pair, "--rounds", "2"],
      /^error: --rounds has no effect without --against: add it\n/,
    ],
    [
      "a comparison under load",
      [...pair, "--against", "old", "--callers", "2"],
      /cannot be used with option '--callers/,
    ],
    ["a report of another format", [...pair, "--json", "report.csv"], /the file is written as \.json/],
    [
      "a misspelt architecture",
      ["--arch", "qwen3-vl-8bb"],
      "error: option '--arch <name>' argument 'qwen3-vl-8bb' is invalid. Did you mean qwen3-vl-8b?\n",
    ],
    [
      "an architecture that is not known",
      ["--arch", "qwen9"],
      /Allowed choices are qwen2-vl-2b, .*, qwen3-vl-8b, .*, gemma-3-27b/,
    ],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await run(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    if (typeof message === "string") expect(err).toBe(`${message}(run with --help for the options)\n`);
    else expect(err).toMatch(message);
  });
});

describe("is answered with the remedy:", () => {
  test("a report without a directory, before anything is loaded", async () => {
    const { code, err } = await run("--model", directory, "--json", join(directory, "gone", "report.json"));
    expect(code).toBe(1);
    expect(err).toBe(
      "error: cannot write DIR/gone/report.json (there is no directory DIR/gone): make it first [VG_FILE_UNWRITABLE]\n",
    );
  });

  test("a workload file that cannot be read", async () => {
    const { code, err } = await run("--model", directory, "--workload", join(directory, "gone.json"));
    expect(code).toBe(1);
    expect(err).toMatch(
      /^error: cannot read DIR\/gone\.json .*: check the path given to --workload \[VG_FILE_UNREADABLE\]/,
    );
  });

  test("sizes that the model's blocks do not divide, before anything is loaded", async () => {
    const odd = join(directory, "odd.json");
    await writeFile(odd, '{"odd": {"sizes": [[8, 10]]}}');
    const { code, err } = await run("--model", directory, "--workload", odd);
    expect(code).toBe(1);
    expect(err).toBe(
      'error: size [8, 10] of workload "odd" is not made of blocks of 4 × 4 pixels: give multiples of 4: [8, 12] ' +
        "[VG_ARGUMENT_INVALID]\n",
    );
  });

  test("a GPU that is not there: the CPU does not stand in for it", async () => {
    const { code, out, err } = await run("--model", directory, "--workload", workload, "--device", "99");
    expect({ code, out }).toEqual({ code: 1, out: "" });
    // Why depends on the machine.
    expect(err).toMatch(/\[VG_BACKEND_UNAVAILABLE\]\n$/);
  });
});
