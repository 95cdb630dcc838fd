/**
 * Simulates 1 to 64 encode instances behind vLLM's proxy, under each routing rule, and prints a table in Markdown.
 * No GPU is used: the device's times were measured on one (see instance-simulation.ts).
 *
 *     pnpm bench:instances [--load 0.8] [--seed 1] [--requests 500] [--instances 1,2,4]
 */
import { parseArgs } from "node:util";
import {
  makeTrace,
  meanShareMs,
  quantile,
  qwen3Vl8bOnH100,
  ROUTINGS,
  simulate,
} from "./instance-simulation.js";

const { values } = parseArgs({
  options: {
    /** Offered work by the devices' time in full batches. */
    load: { type: "string", default: "0.8" },
    seed: { type: "string", default: "1" },
    /** Of each instance, and of 16 instances where there are fewer. */
    requests: { type: "string", default: "500" },
    instances: { type: "string", default: "1,2,4,8,16,32,64" },
  },
});
const seed = Number(values.seed);
const load = Number(values.load);
const IMAGES_PER_REQUEST = 2;
const ARRIVALS = { steady: 1, "bursts of 16": 16 };

const sample = makeTrace({
  seed,
  requests: 10_000,
  requestsPerSecond: 1,
  burstSize: 1,
  imagesPerRequest: IMAGES_PER_REQUEST,
});
const imageMs = meanShareMs(sample, qwen3Vl8bOnH100);
console.log(
  `load ${load}, seed ${seed}; an image takes ${imageMs.toFixed(1)} ms in a full batch, on average; ` +
    `${IMAGES_PER_REQUEST} images a request\n`,
);
console.log("| arrivals | instances | routing | images/s | busy | images a batch | p50, ms | p99, ms |");
console.log("|---|---|---|---|---|---|---|---|");
for (const [name, burstSize] of Object.entries(ARRIVALS)) {
  for (const instances of values.instances.split(",").map(Number)) {
    const requests = makeTrace({
      seed,
      requests: Number(values.requests) * Math.max(16, instances),
      requestsPerSecond: (1000 * load * instances) / (imageMs * IMAGES_PER_REQUEST),
      burstSize,
      imagesPerRequest: IMAGES_PER_REQUEST,
    });
    for (const routing of ROUTINGS) {
      const result = await simulate({ instances, routing, cost: qwen3Vl8bOnH100, requests });
      const cells = [
        name,
        instances,
        routing,
        result.imagesPerSecond.toFixed(0),
        `${(100 * result.busy).toFixed(0)} %`,
        (result.imageLatenciesMs.length / result.batches).toFixed(1),
        quantile(result.latenciesMs, 0.5).toFixed(0),
        quantile(result.latenciesMs, 0.99).toFixed(0),
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
}
