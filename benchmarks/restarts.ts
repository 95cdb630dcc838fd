/**
 * A hundred engines, one after the other in one process: each encodes a few images and is closed. Prints how memory went,
 * and exits with 1 where a device was left with a handle.
 *
 *     pnpm bench:restarts [--backend cpu|cuda] [--model DIR] [--engines 100]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDevice, type Device, EncoderEngine } from "@vitgraph/core";
import { slopeOf } from "./slope.js";

const fixture = (path: string) => fileURLToPath(new URL(`../test/fixtures/${path}`, import.meta.url));
const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "cpu" },
    model: { type: "string", default: fixture("qwen3-vl-tiny") },
    images: { type: "string", default: fixture("images") },
    engines: { type: "string", default: "100" },
  },
});
const engines = Number(values.engines);
const image = await readFile(join(values.images, "image0_224x224.png"));
const MIB = 2 ** 20;
/** Where the line starts: caches and pools of the process are as large as they get. */
const WARM_UP_SHARE = 0.2;

let handles = 0;
const resident: number[] = [];
for (let index = 0; index < engines; index++) {
  handles += await live();
  resident.push(process.memoryUsage.rss() / MIB);
  if ((index + 1) % Math.ceil(engines / 5) === 0) {
    console.log(`${index + 1} engines: ${(resident.at(-1) as number).toFixed(0)} MiB resident`);
  }
}
const settled = resident.slice(Math.floor(engines * WARM_UP_SHARE));
console.log(
  `${slopeOf(settled.map((y, x) => ({ x, y }))).toFixed(3)} MiB an engine, ${handles} handles left behind`,
);
if (handles > 0) process.exitCode = 1;

/** An engine's life. What it left behind on its device. */
async function live(): Promise<number> {
  let device: Device | undefined;
  const engine = await EncoderEngine.create({
    model: values.model,
    devices: [
      () => {
        device = createDevice({ backend: values.backend as "cpu" | "cuda" });
        return device;
      },
    ],
    compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
    maxBatchTokens: 1024,
  });
  const outcomes = await engine.encode([{ image }, { image, uuid: "again" }]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  await engine.close();
  return device?.liveHandles() ?? 0;
}
