/** Each family that @vitgraph/llama-cpp chats with, both halves tiny: images reach the answer, alone and in company. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convertToGguf, createLlamaEngine, type GenerationResult, type Message } from "@vitgraph/llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHECKPOINT, silent } from "./chat-fixture.js";

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
/** Of a language model and of a vision tower whose embeddings are as wide. */
const FAMILIES = [
  { family: "qwen2-vl", videos: true },
  { family: "qwen2-5-vl", videos: true },
  { family: "qwen3-5", videos: true },
  { family: "gemma3", videos: false },
] as const;
const GEMMA_TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{% for p in m.content %}{% if p.type == 'image' %}<start_of_image>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endfor %}";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-hosts-families-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function createEngine(family: string) {
  const directory = join(folder, family);
  await cp(fixture(`language-models/${family}`), directory, { recursive: true });
  if (family === "gemma3") {
    const path = join(directory, "tokenizer_config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    const control = (content: string) => ({ content, special: true });
    Object.assign(config.added_tokens_decoder, {
      301: control("<start_of_image>"),
      302: control("<end_of_image>"),
    });
    await writeFile(path, JSON.stringify({ ...config, chat_template: GEMMA_TEMPLATE }));
  } else {
    for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
      await cp(join(CHECKPOINT, file), join(directory, file));
    }
  }
  const model = join(folder, `${family}.gguf`);
  await convertToGguf(directory, model, { outtype: "f32" });
  return createLlamaEngine({
    model,
    visionModel: fixture(`models/${family}-tiny`),
    contextSize: 1024,
    parallel: 4,
    threads: 1,
    // As in chat-fixture.ts.
    cacheType: "f32",
    encoder: { backend: "cpu", logger: silent },
  });
}

const IMAGES = ["image0_97x61_RGB.png", "image2_330x100_RGB.png"].map((name) =>
  fixture(`models/images/${name}`),
);
const ask = (image: string): readonly Message[] => [
  {
    role: "user",
    content: [
      { type: "text", text: "Look:" },
      { type: "image", image },
      { type: "text", text: "What?" },
    ],
  },
];

describe.each(FAMILIES)("$family", ({ family, videos }) => {
  let engine: Awaited<ReturnType<typeof createEngine>>;
  beforeAll(async () => {
    engine = await createEngine(family);
  });
  afterAll(() => engine.close());
  const answer = (messages: readonly Message[]): Promise<GenerationResult> =>
    engine.chat({ messages, temperature: 0, maxTokens: 8 }).result;

  test("an image reaches the answer, and company does not change it", async () => {
    const alone = [];
    for (const image of IMAGES) alone.push(await answer(ask(image)));
    const [first, second] = alone as [GenerationResult, GenerationResult];
    expect(first.usage.imageTokens).toBeGreaterThan(0);
    expect(first.tokens).not.toEqual(second.tokens);
    const together = await Promise.all(
      [0, 1, 0, 1, 0, 1].map((index) => answer(ask(IMAGES[index] as string))),
    );
    for (const [index, { tokens }] of together.entries()) expect(tokens).toEqual(alone[index % 2]?.tokens);
  });

  test(videos ? "a video has its frames" : "a video is refused", async () => {
    const video = fixture("videos/animated.gif");
    const asking = answer([
      {
        role: "user",
        content: [
          { type: "video", video },
          { type: "text", text: "What?" },
        ],
      },
    ]);
    if (!videos) return expect(asking).rejects.toThrow("the model takes no videos");
    expect((await asking).usage.imageTokens).toBeGreaterThan(0);
  });
});

test("images of another family than the language model's are refused", async () => {
  const model = join(folder, "gemma3.gguf");
  const visionModel = fixture("models/qwen2-vl-tiny");
  const engine = createLlamaEngine({ model, visionModel, encoder: { backend: "cpu", logger: silent } });
  await expect(engine).rejects.toThrow(
    /gemma3\.gguf has one position a token, and the family of .* multimodal positions/,
  );
});
