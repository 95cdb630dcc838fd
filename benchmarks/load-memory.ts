/**
 * Memory and time while a checkpoint loads, for the CPU and as for a GPU: weights in bf16, norms folded into products, in
 * host memory. Memory is the growth of the process's peak resident size, compared with the bytes of the vision tower.
 * Each load runs in a fresh process. The checkpoint is in the page cache.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createDevice, type Device, loadModel, VisionEncoder } from "@vitgraph/core";
import { LARGE_TOWER, writeSyntheticCheckpoint } from "./synthetic-checkpoint.js";

const TARGETS = ["CPU", "GPU"] as const;
type Target = (typeof TARGETS)[number];

interface Load {
  readonly beforeBytes: number;
  readonly peakBytes: number;
  readonly loadMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
  readonly longestBlockMs: number;
}

const [checkpoint, target] = process.argv.slice(2);
if (checkpoint === undefined) await measure();
else console.log(JSON.stringify(await load(checkpoint, target as Target)));

async function measure(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-bench-"));
  try {
    const towerBytes = await writeSyntheticCheckpoint(directory, LARGE_TOWER);
    console.log(`tower ${mebibytes(towerBytes)}`);
    for (const target of TARGETS) report(target, loadInProcess(directory, target), towerBytes);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function report(target: Target, load: Load, towerBytes: number): void {
  const { beforeBytes, peakBytes, loadMs, cpuMs, longestBlockMs } = load;
  console.log(
    `${target}: ${(loadMs / 1000).toFixed(2)} s, ${(cpuMs / 1000).toFixed(2)} s of all threads, event loop blocked for at most ` +
      `${longestBlockMs.toFixed(0)} ms; process before ${mebibytes(beforeBytes)}, peak ${mebibytes(peakBytes)}: ` +
      `${((peakBytes - beforeBytes) / towerBytes).toFixed(3)} × the tower's weights`,
  );
}

function loadInProcess(directory: string, target: Target): Load {
  const self = process.argv[1] as string;
  const args = [...process.execArgv, self, directory, target];
  const child = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as Load;
}

async function load(directory: string, target: Target): Promise<Load> {
  using cpu = createDevice({ backend: "cpu" });
  const beforeBytes = process.memoryUsage.rss();
  await using model = await loadModel(directory);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = process.cpuUsage();
  using encoder = await VisionEncoder.create({
    model,
    device: target === "CPU" ? cpu : likeGpu(cpu),
    // Nothing runs on the device that only looks like a GPU.
    compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: target === "CPU" },
    warmUpGrids: "none",
  });
  const { user, system } = process.cpuUsage(before);
  delay.disable();
  return {
    beforeBytes,
    // maxRSS is in kibibytes.
    peakBytes: process.resourceUsage().maxRSS * 1024,
    loadMs: encoder.startTimes.loadMs,
    cpuMs: (user + system) / 1000,
    longestBlockMs: delay.max / 1e6,
  };
}

/** Takes weights as a GPU does, into the CPU device's memory. */
function likeGpu(cpu: Device): Device {
  return {
    info: { ...cpu.info, backend: "cuda" },
    activationDType: "bf16",
    weightDType: "bf16",
    kernels: cpu.kernels,
    allocate: (sizeBytes) => cpu.allocate(sizeBytes),
    memory: () => cpu.memory(),
    exportMemory: () => null,
    upload: (arena, offset, bytes) => cpu.upload(arena, offset, bytes),
    fill: (arena, byte) => cpu.fill(arena, byte),
    load: (program) => ({
      program,
      submit: () => Promise.reject(new Error("the device runs nothing")),
      capture: async () => null,
      [Symbol.dispose]() {},
    }),
    liveHandles: () => cpu.liveHandles(),
    [Symbol.dispose]() {},
  };
}
