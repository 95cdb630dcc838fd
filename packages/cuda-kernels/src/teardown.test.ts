/**
 * Environments that go away while runs are under way: terminated worker threads, processes that exit. Each script uses
 * the addon as JavaScript sees it, since a worker has no TypeScript.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { beforeAll, expect, test } from "vitest";
import { loadAddon, requireAddon } from "./native.js";
import { encodeProgram } from "./program.js";
import { linearCase } from "./testing/kernel-cases.js";
import { kernelCaseProgram } from "./testing/run-case.js";

const ARENA_BYTES = 64 * 2 ** 20;

/** Makes a device, fills 64 MiB of it, and queues runs of some milliseconds each. */
const QUEUE_RUNS = `
  const device = addon.createDevice({ threads: 2, simd: "auto", gemm: "auto" });
  const [weights, io, scratch] = [0, 1, 2].map(() => device.allocate(${ARENA_BYTES}));
  const filled = device.fill({ arena: io, byte: 0 });
  const executable = device.load({ words, weights, io, scratch });
  const runs = Array.from({ length: 50 }, () => executable.submit({ counts: new Uint32Array([512]), inputs: [], outputs: [] }));
`;

let addonPath: string;
let words: Uint32Array;

beforeAll(() => {
  const loaded = loadAddon("cpu");
  if (!loaded.found) throw new Error("the CPU addon is not built");
  addonPath = loaded.path;
  words = encodeProgram(kernelCaseProgram(linearCase({ m: 512, n: 512, k: 512 })));
  requireAddon("cpu");
});

function inProcess(script: string) {
  const setup = `const addon = require(${JSON.stringify(addonPath)}); const words = new Uint32Array([${words}]);`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["-e", setup + script], {
    encoding: "utf8",
  });
  return { status, signal, stdout, stderr };
}

const clean = { status: 0, signal: null, stderr: "" };

test("a terminated worker thread leaks neither memory nor threads, and crashes nothing", async () => {
  const terminateOne = async () => {
    const worker = new Worker(
      `const { parentPort, workerData: { addonPath, words } } = require("node:worker_threads");
       const addon = require(addonPath);
       ${QUEUE_RUNS}
       filled.then(() => parentPort.postMessage("running"));`,
      { eval: true, workerData: { addonPath, words } },
    );
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    await worker.terminate();
  };
  await terminateOne();
  const threads = threadCount();
  const before = process.memoryUsage().rss;
  const rounds = 20;
  for (let round = 0; round < rounds; round++) await terminateOne();
  // One arena that stayed would already be 64 MiB a round.
  expect(process.memoryUsage().rss - before).toBeLessThan((rounds / 4) * ARENA_BYTES);
  expect(threadCount()).toBeLessThanOrEqual(threads);
});

test("the addon may be unloaded with its last worker thread, and loaded again", () => {
  const worker = `
    const { parentPort } = require("node:worker_threads");
    const addon = require(${JSON.stringify(addonPath)});
    const words = new Uint32Array([${words}]);
    ${QUEUE_RUNS}
    runs[0].then(() => parentPort.postMessage("running"));`;
  const script = `
    const { Worker } = require("node:worker_threads");
    (async () => {
      for (let round = 0; round < 5; round++) {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
        await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
        await worker.terminate();
      }
      console.log("done");
    })();`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["-e", script], {
    encoding: "utf8",
  });
  expect({ status, signal, stdout, stderr }).toEqual({ ...clean, stdout: "done\n" });
});

test("several worker threads use the addon at once", async () => {
  const results = await Promise.all(
    Array.from({ length: 4 }, () => {
      const worker = new Worker(
        `const { parentPort, workerData: { addonPath, words } } = require("node:worker_threads");
         const addon = require(addonPath);
         ${QUEUE_RUNS}
         Promise.all(runs).then((times) => parentPort.postMessage(times.length));`,
        { eval: true, workerData: { addonPath, words } },
      );
      return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    }),
  );
  expect(results).toEqual([50, 50, 50, 50]);
});

test("the process stays until runs have settled, and not longer", () => {
  expect(inProcess(`${QUEUE_RUNS} Promise.all(runs).then(() => console.log("done"));`)).toEqual({
    ...clean,
    stdout: "done\n",
  });
});

test("an idle device that nobody disposed does not hold the process", () => {
  expect(
    inProcess(`addon.createDevice({ threads: 2, simd: "auto", gemm: "auto" }); console.log("idle");`),
  ).toEqual({
    ...clean,
    stdout: "idle\n",
  });
});

test("process.exit in the middle of a run ends the process quietly", () => {
  expect(inProcess(`${QUEUE_RUNS} runs[0].then(() => { console.log("exit"); process.exit(0); });`)).toEqual({
    ...clean,
    stdout: "exit\n",
  });
});

test("process.exit ends the process quietly while other threads run programs too", () => {
  const worker = `
    const addon = require(${JSON.stringify(addonPath)});
    const words = new Uint32Array([${words}]);
    ${QUEUE_RUNS}
    runs[0].then(() => require("node:worker_threads").parentPort.postMessage("running"));`;
  const script = `
    const { Worker } = require("node:worker_threads");
    const workers = Array.from({ length: 3 }, () => new Worker(${JSON.stringify(worker)}, { eval: true }));
    const running = workers.map((worker) => new Promise((resolve) => worker.once("message", resolve)));
    ${QUEUE_RUNS}
    Promise.all([runs[0], ...running]).then(() => { console.log("exit"); process.exit(0); });`;
  expect(inProcess(script)).toEqual({ ...clean, stdout: "exit\n" });
});

test("an exception in the middle of a run is the one that is reported", () => {
  const { status, signal, stderr } = inProcess(
    `${QUEUE_RUNS} runs[0].then(() => { throw new Error("the user's own"); });`,
  );
  expect({ status, signal }).toEqual({ status: 1, signal: null });
  expect(stderr).toContain("the user's own");
});

test("handles that are dropped are collected with their memory", () => {
  const script = `
    const device = addon.createDevice({ threads: 1, simd: "auto", gemm: "auto" });
    (async () => {
      for (let i = 0; i < 40; i++) {
        await device.fill({ arena: device.allocate(${ARENA_BYTES}), byte: 1 });
        globalThis.gc();
        await new Promise(setImmediate);
      }
      console.log(device.liveHandles() < 5 && process.memoryUsage().rss < 10 * ${ARENA_BYTES});
    })();`;
  const setup = `const addon = require(${JSON.stringify(addonPath)});`;
  const { stdout, status } = spawnSync(process.execPath, ["--expose-gc", "-e", setup + script], {
    encoding: "utf8",
  });
  expect({ stdout, status }).toEqual({ stdout: "true\n", status: 0 });
});

test("handles of the wrong kind are refused, however they are passed", () => {
  const addon = requireAddon("cpu");
  const device = addon.createDevice({ threads: 1, simd: "auto", gemm: "auto" });
  const arena = device.allocate(ARENA_BYTES);
  const executable = device.load({ words, weights: arena, io: arena, scratch: arena });
  const isNotAnArena = /^arena is not an arena of this device's backend$/;
  for (const wrong of [executable, device, {}, null, 7, Object.create(arena as object)]) {
    expect(() => device.fill({ arena: wrong as never, byte: 0 })).toThrow(isNotAnArena);
  }
  const { constructor: Arena } = arena as unknown as { constructor: new (...args: unknown[]) => unknown };
  expect(() => new Arena()).toThrow("Illegal constructor");
  expect(() => new Arena({})).toThrow("Illegal constructor");
  const { dispose } = Object.getPrototypeOf(arena) as { dispose: () => void };
  expect(() => dispose.call(executable)).toThrow("Illegal invocation");
  executable.dispose();
  arena.dispose();
  device.dispose();
});

/** Threads of this process, where the system tells; 0 elsewhere. */
function threadCount(): number {
  return process.platform === "linux" ? readdirSync("/proc/self/task").length : 0;
}
