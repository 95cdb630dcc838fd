/** Checkpoints of every family that the converter knows, loaded by llama.cpp itself: transformers' tokens and logits. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compareWithReference } from "@vitgraph/core";
import { convertToGguf, OUTTYPE_NAMES, type Outtype } from "@vitgraph/llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTextModel, type TextModel } from "./text-model.js";

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const CHAT = fixture("qwen3-vl-chat-tiny");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-hosts-gguf-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function converted(directory: string, outtype: Outtype): Promise<TextModel> {
  const path = join(folder, "model.gguf");
  await convertToGguf(directory, path, { outtype });
  return openTextModel(path);
}

async function readCases<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, "utf8")) as T;
}
type Tokens = readonly { readonly text: string; readonly ids: readonly number[] }[];

const FAMILIES = ["qwen2-vl", "qwen2-5-vl", "qwen3-vl-moe", "qwen3-5", "gemma3"] as const;

/** A copy of the fixture; Qwen's share a tokenizer, whose pre-tokenizer is newer in Qwen3.5. */
async function checkpoint(family: (typeof FAMILIES)[number]): Promise<string> {
  const directory = join(folder, family);
  await cp(fixture(`language-models/${family}`), directory, { recursive: true });
  if (family === "gemma3") return directory;
  await cp(join(CHAT, "tokenizer_config.json"), join(directory, "tokenizer_config.json"));
  const tokenizer = await readFile(join(CHAT, "tokenizer.json"), "utf8");
  const newer = tokenizer
    .replace("?\\\\p{L}+|", "?[\\\\p{L}\\\\p{M}]+|")
    .replace("[^\\\\s\\\\p{L}\\\\p{N}]+", "[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+");
  await writeFile(join(directory, "tokenizer.json"), family === "qwen3-5" ? newer : tokenizer);
  return directory;
}

/**
 * Relative L2 of the logits. llama.cpp keeps keys and values in float16 by default, also for F32, and multiplies in bfloat16
 * or in int8 where the weights are that; the experts' router can turn a rounding into another choice of expert.
 */
const TOLERANCES: Readonly<Record<Outtype, number>> = { f32: 5e-3, f16: 1e-2, bf16: 2e-2, q8_0: 0.15 };

const CASES = [
  ...FAMILIES.map((family) => [family, "f32"] as const),
  ...OUTTYPE_NAMES.filter((outtype) => outtype !== "f32").map((outtype) => ["qwen2-vl", outtype] as const),
];

test.each(CASES)("the logits of transformers: %s as %s", async (family, outtype) => {
  const directory = await checkpoint(family);
  const { ids, logits } = await readCases<{ ids: number[]; logits: number[] }>(
    join(directory, "logits.json"),
  );
  using model = await converted(directory, outtype);
  expect(compareWithReference(model.logits(ids), logits).relativeL2).toBeLessThan(TOLERANCES[outtype]);
});

describe("the tokens of transformers", () => {
  test("Qwen", async () => {
    using model = await converted(CHAT, "f16");
    // llama.cpp does not normalise text, which Qwen's tokenizer does first.
    for (const { text, ids } of await readCases<Tokens>(join(CHAT, "tokens.json")))
      expect(model.tokenize(text.normalize("NFC")), text).toEqual(ids);
  });

  test("Gemma", async () => {
    using model = await converted(fixture("language-models/gemma3"), "f16");
    for (const { text, ids } of await readCases<Tokens>(fixture("language-models/gemma3/tokens.json")))
      expect(model.tokenize(text), text).toEqual(ids);
  });

  test("Gemma: tokens that added_tokens.json alone has", async () => {
    const directory = await checkpoint("gemma3");
    await writeFile(join(directory, "added_tokens.json"), JSON.stringify({ "<image_soft_token>": 310 }));
    using model = await converted(directory, "f16");
    expect(model.tokenize("<image_soft_token>")).toEqual([2, 310]);
  });
});
