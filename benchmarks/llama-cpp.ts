/**
 * Both halves of a multimodal model in this process: llama.cpp's language model and vitgraph's encoder. Prints the time to the
 * first token by image size, and then memory, event-loop lag and throughput over many requests with mixed images, a tenth of
 * them cancelled. Exits with 1 where an answer differs from what the same request gave alone.
 *
 *     pnpm bench:llama-cpp [--llm FILE.gguf --model DIR] [--backend cpu|cuda|auto] [--requests 2000] [--callers 16] [--parallel 8]
 *
 * Without a model the chat fixture is taken: a tiny one, whose times are those of the way around it.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { convertToGguf, createLlamaEngine, type LlamaEngine, type Message } from "@vitgraph/llama-cpp";
import sharp from "sharp";
import { slopeOf } from "./slope.js";

const { values } = parseArgs({
  options: {
    llm: { type: "string" },
    model: { type: "string" },
    backend: { type: "string", default: "cpu" },
    requests: { type: "string", default: "2000" },
    callers: { type: "string", default: "16" },
    parallel: { type: "string", default: "8" },
  },
});
const SIDES = [224, 448, 896, 1344];
const REPETITIONS = 5;
const LAG_RESOLUTION_MS = 5;
/** Warm-up: caches and buffers still grow. */
const WARM_UP_SHARE = 0.25;
const CANCELLED = 0.1;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const visionModel =
  values.model ?? fileURLToPath(new URL("../test/fixtures/qwen3-vl-chat-tiny", import.meta.url));
const model = values.llm ?? join(tmpdir(), "vitgraph-bench-chat-tiny.gguf");
if (values.llm === undefined) await convertToGguf(visionModel, model, { outtype: "f32" });

function createEngine(parallel: number, outputCacheBytes: number): Promise<LlamaEngine> {
  return createLlamaEngine({
    model,
    visionModel,
    parallel,
    contextSize: 4096,
    compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
    // The tiny model's layers are too small for more.
    ...(values.llm === undefined ? { threads: 1 } : {}),
    encoder: { backend: values.backend as "cpu", logger: quiet, outputCacheBytes },
  });
}

/** Noise, so that no two images are the same. */
function noise(side: number): Promise<Buffer> {
  const raw = Buffer.from(Uint8Array.from({ length: 3 * side * side }, () => Math.random() * 256));
  return sharp(raw, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

function ask(image: Uint8Array, text = "What is this?"): readonly Message[] {
  const content = [{ type: "image", image } as const, { type: "text", text } as const];
  return [{ role: "user", content }];
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;

async function timeToFirstToken(): Promise<void> {
  await using engine = await createEngine(1, 0);
  await engine.chat({ messages: ask(await noise(64)), maxTokens: 1 }).result;
  console.log("image       image tokens  encoder ms  first token ms  the rest ms");
  for (const side of SIDES) {
    const results = [];
    for (let repetition = 0; repetition < REPETITIONS; repetition++) {
      results.push(await engine.chat({ messages: ask(await noise(side)), maxTokens: 1 }).result);
    }
    const encode = median(results.map(({ timings }) => timings.encodeMs));
    const first = median(results.map(({ timings }) => timings.firstTokenMs));
    const columns = [
      results[0]?.usage.imageTokens,
      ...[encode, first, first - encode].map((ms) => ms.toFixed(1)),
    ];
    const widths = [12, 12, 16, 13];
    console.log(
      `${side}×${side}`.padEnd(10) +
        columns.map((text, at) => String(text).padStart(widths[at] as number)).join(""),
    );
  }
}

async function soak(): Promise<boolean> {
  const parallel = Number(values.parallel);
  await using engine = await createEngine(parallel, 16 << 20);
  const images = await Promise.all([64, 224, 320, 448].map(noise));
  const kinds = images.flatMap((image) => ["What is this?", "Why?"].map((text) => ask(image, text)));
  const options = { temperature: 0, maxTokens: 16 } as const;
  const alone: string[] = [];
  for (const messages of kinds)
    alone.push((await engine.chat({ messages, ...options }).result).tokens.join());

  const requests = Number(values.requests);
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  const memory: { x: number; y: number }[] = [];
  let started = 0;
  let done = 0;
  let wrong = 0;
  let tokens = 0;
  let since = 0;
  const caller = async () => {
    while (started < requests) {
      const kind = started++ % kinds.length;
      const controller = new AbortController();
      const { result } = engine.chat({
        messages: kinds[kind] as readonly Message[],
        ...options,
        signal: controller.signal,
      });
      if (Math.random() < CANCELLED) setTimeout(() => controller.abort(), Math.random() * 50);
      const [outcome] = await Promise.allSettled([result]);
      done++;
      if (done === Math.floor(requests * WARM_UP_SHARE)) {
        lag.enable();
        since = performance.now();
        tokens = 0;
      }
      if (done >= requests * WARM_UP_SHARE && done % 100 === 0) {
        globalThis.gc?.();
        memory.push({ x: done, y: process.memoryUsage.rss() });
      }
      if (outcome?.status === "rejected") {
        if (!controller.signal.aborted) throw outcome.reason;
        continue;
      }
      tokens += outcome?.value.tokens.length ?? 0;
      if (outcome?.value.tokens.join() !== alone[kind]) wrong++;
    }
  };
  await Promise.all(Array.from({ length: Number(values.callers) }, caller));
  lag.disable();
  const seconds = (performance.now() - since) / 1000;
  const lagMs = (share: number) => Math.max(0, lag.percentile(share) / 1e6 - LAG_RESOLUTION_MS).toFixed(1);
  const rss = memory.map(({ y }) => y / 2 ** 20);
  console.log(
    `\n${requests} requests of ${kinds.length} kinds, ${values.callers} callers, ${parallel} sequences, ${100 * CANCELLED} % cancelled`,
  );
  console.log(
    `${(tokens / seconds).toFixed(0)} tokens/s; event-loop lag p50 ${lagMs(50)}, p99 ${lagMs(99)}, max ${lagMs(100)} ms`,
  );
  console.log(
    `memory ${rss[0]?.toFixed(0)} to ${rss.at(-1)?.toFixed(0)} MiB, slope ${((slopeOf(memory) * 1000) / 2 ** 20).toFixed(2)} MiB in 1000 requests`,
  );
  console.log(
    `${wrong} answers differ from the same request alone; left in the engine: ${JSON.stringify(engine.stats())}`,
  );
  return wrong === 0;
}

await timeToFirstToken();
if (!(await soak())) process.exitCode = 1;
