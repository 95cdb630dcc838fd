import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgainstRound, argumentsForBoth, findBuild, renderAgainst, runRounds } from "./against.js";
import { cardOf, meanState } from "./card-sampler.js";
import type { BenchReport } from "./report.js";

const report = (ms: number, smClockMhz: number | null) =>
  ({
    workloads: [
      {
        name: "1x224",
        deviceMs: ms,
        card: smClockMhz === null ? null : { smClockMhz, powerWatts: 500, temperatureCelsius: 50 },
      },
    ],
  }) as unknown as BenchReport;

test("both builds get the arguments of bench, without those that say how to compare", () => {
  const args = [
    "--arch",
    "qwen3-vl-8b",
    "--against",
    "old",
    "--rounds=5",
    "--json",
    "out.json",
    "--only",
    "1x224",
  ];
  expect(argumentsForBoth(args)).toEqual(["--arch", "qwen3-vl-8b", "--only", "1x224"]);
});

test("ratios are of one round each, and above 1 where the candidate is faster", () => {
  const rounds: AgainstRound[] = [
    { baseline: report(2, 1900), candidate: report(1, 1800) },
    { baseline: report(3, 1700), candidate: report(2, 1700) },
    { baseline: report(4, 1800), candidate: report(4, 1900) },
  ];
  const [, , row] = renderAgainst(rounds).trimEnd().split("\n");
  expect(row?.trim().split(/\s+/)).toEqual([
    "1x224",
    "3.000",
    "2.000",
    "1.500",
    "1.000",
    "2.000",
    "1800",
    "1800",
  ]);
});

test("without a card there is no clock", () => {
  const table = renderAgainst([{ baseline: report(2, null), candidate: report(1, null) }]);
  expect(table.trimEnd().split("\n").at(-1)?.trim().split(/\s+/).slice(-2)).toEqual(["-", "-"]);
});

test("a directory without a build is refused", () => {
  expect(() => findBuild("/nonexistent")).toThrow(
    "/nonexistent has no build of vitgraph: name an unpacked bundle, or a checkout after `npm run build`",
  );
});

test("the card's state is the mean of the samples, and null without any", () => {
  const sample = { smClockMhz: 1000, powerWatts: 100, temperatureCelsius: 40 };
  expect(meanState([sample, { smClockMhz: 2000, powerWatts: 300, temperatureCelsius: 50 }])).toEqual({
    smClockMhz: 1500,
    powerWatts: 200,
    temperatureCelsius: 45,
  });
  expect(meanState([])).toBeNull();
});

test.each([
  [0, undefined, "0"],
  [1, undefined, "1"],
  [0, "3", "3"],
  [1, "2, GPU-5a", "GPU-5a"],
  [0, "", "0"],
])("CUDA's card %i of CUDA_VISIBLE_DEVICES %j is nvidia-smi's %s", (ordinal, visible, card) => {
  expect(cardOf(ordinal, visible)).toBe(card);
});

test("a process that was interrupted ends the comparison, and is no failure", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const entry = join(directory, "entry.mjs");
  const build = { node: process.execPath, entry };
  for (const end of [
    "process.exit(130)",
    "process.kill(process.pid, 'SIGINT'); setTimeout(() => {}, 10_000)",
  ]) {
    await writeFile(entry, end);
    expect(() => runRounds({ baseline: build, candidate: build }, [], 1, () => {})).toThrow(
      expect.objectContaining({ code: "VG_ABORTED" }),
    );
  }
  await rm(directory, { recursive: true });
});

test("a build that cannot be started, or is ended by a signal, says so", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const entry = join(directory, "entry.mjs");
  await writeFile(entry, "process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 10_000);");
  const run = (node: string) => () => {
    const build = { node, entry };
    return runRounds({ baseline: build, candidate: build }, [], 1, () => {});
  };
  expect(run(entry)).toThrow(`${entry} cannot be started (spawnSync ${entry} EACCES): name a bundle`);
  expect(run(process.execPath)).toThrow(`${entry} bench ended by SIGKILL`);
  await rm(directory, { recursive: true });
});
