/** The fixture qwen3-vl-chat-tiny: its conversations as prompts, transformers' answers, and its GGUF, made on demand. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SafetensorsFile } from "@vitgraph/core";
import {
  convertToGguf,
  createLlamaEngine,
  type LlamaEngineOptions,
  type PromptPart,
} from "@vitgraph/llama-cpp";
import { afterAll } from "vitest";

const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
export const CHECKPOINT = join(fixtures, "qwen3-vl-chat-tiny");
export const imagePath = (name: string): string => join(fixtures, "images", name);
const IMAGE_TOKEN = 300;

export interface Conversation {
  readonly images: readonly string[];
  readonly input_ids: readonly number[];
  readonly greedy: readonly number[];
  /** Of each greedy token's logit over the second's. */
  readonly margin: readonly number[];
}

export const conversations: readonly Conversation[] = JSON.parse(
  await readFile(join(CHECKPOINT, "chat.json"), "utf8"),
);

/** Runs of image tokens become the images, in their order or in another one. */
export function promptOf(
  { input_ids, images }: Conversation,
  order: readonly string[] = images,
): readonly PromptPart[] {
  const parts: PromptPart[] = [];
  let tokens: number[] = [];
  let image = 0;
  for (const [index, token] of input_ids.entries()) {
    if (token !== IMAGE_TOKEN) {
      tokens.push(token);
      continue;
    }
    if (input_ids[index - 1] === IMAGE_TOKEN) continue;
    parts.push({ tokens }, { type: "image", image: imagePath(order[image++] as string) });
    tokens = [];
  }
  return [...parts, { tokens }];
}

export async function referenceLogits(conversation: number): Promise<Float32Array> {
  await using file = await SafetensorsFile.open(join(CHECKPOINT, "chat.safetensors"));
  const { bytes } = await file.read(`${conversation}.logits`);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

const directory = await mkdtemp(join(tmpdir(), "vitgraph-hosts-"));
// Of the test file that imports this one.
afterAll(() => rm(directory, { recursive: true }));

let converted: Promise<string> | undefined;
/** The GGUF's path: F32. */
export function fixtureGguf(): Promise<string> {
  converted ??= (async () => {
    const path = join(directory, "chat-tiny.gguf");
    await convertToGguf(CHECKPOINT, path, { outtype: "f32" });
    return path;
  })();
  return converted;
}

export async function fixtureEngine(options: Partial<LlamaEngineOptions> = {}) {
  return createLlamaEngine({
    model: await fixtureGguf(),
    visionModel: CHECKPOINT,
    contextSize: 1024,
    // llama.cpp's threads spin while they wait, which a busy machine has no cores for.
    threads: 1,
    // Which requests share a batch depends on time, and rounds a logit differently: by 2e-3 with the f16 cache, by 5e-6 with
    // f32. The smallest margins of greedy tokens here are 1e-3.
    cacheType: "f32",
    encoder: { backend: "cpu", logger: silent },
    ...options,
  });
}

export const silent = { debug() {}, info() {}, warn() {}, error() {} };
