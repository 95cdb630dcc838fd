/**
 * Memory while a checkpoint loads: the process's peak resident size, less what it had before, against the bytes of the
 * vision tower. The load runs in a process of its own, so that nothing else counts.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevice, loadModel, VisionEncoder } from "@vitgraph/core";
import { LARGE_TOWER, writeSyntheticCheckpoint } from "./synthetic-checkpoint.js";

const [checkpoint] = process.argv.slice(2);
if (checkpoint === undefined) await measure();
else await load(checkpoint);

async function measure(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-bench-"));
  try {
    const towerBytes = await writeSyntheticCheckpoint(directory, LARGE_TOWER);
    const self = process.argv[1] as string;
    const child = spawnSync(process.execPath, [...process.execArgv, self, directory], { encoding: "utf8" });
    if (child.status !== 0) throw new Error(child.stderr);
    const { beforeBytes, peakBytes } = JSON.parse(child.stdout) as { beforeBytes: number; peakBytes: number };
    const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
    const ratio = (peakBytes - beforeBytes) / towerBytes;
    console.log(
      `tower ${mebibytes(towerBytes)}, process before ${mebibytes(beforeBytes)}, peak ${mebibytes(peakBytes)}: ` +
        `loading took ${ratio.toFixed(3)} × the tower's weights`,
    );
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function load(directory: string): Promise<void> {
  using device = createDevice({ backend: "cpu" });
  const beforeBytes = process.memoryUsage.rss();
  await using model = await loadModel(directory);
  using _encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
  });
  // maxRSS is in kibibytes.
  console.log(JSON.stringify({ beforeBytes, peakBytes: process.resourceUsage().maxRSS * 1024 }));
}
