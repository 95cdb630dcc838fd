/**
 * Asks Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Qwen3.5 or Gemma 3 the same question about each image, all at the same time: llama.cpp
 * runs the language model, vitgraph the vision tower.
 *
 *     pnpm llama-cpp --llm FILE.gguf --model CHECKPOINT_DIR photo.jpg other.png "What is this?"
 *
 * Without --llm the checkpoint's language model is converted once, to a file next to the checkpoint.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { convertToGguf, createLlamaEngine } from "@vitgraph/llama-cpp";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { llm: { type: "string" }, model: { type: "string" } },
});
const paths = positionals.slice(0, -1);
const question = positionals.at(-1);
if (values.model === undefined || question === undefined || paths.length === 0) {
  console.error('usage: llama-cpp [--llm FILE.gguf] --model DIR IMAGE… "QUESTION"');
  process.exit(2);
}
const gguf = values.llm ?? `${values.model.replace(/\/$/, "")}-q8_0.gguf`;
if (!existsSync(gguf)) await convertToGguf(values.model, gguf, { outtype: "q8_0" });

await using engine = await createLlamaEngine({
  model: gguf,
  visionModel: values.model,
  compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
  parallel: Math.min(paths.length, 8),
});
await Promise.all(
  paths.map(async (path) => {
    const { text, usage, timings } = await engine.chat({
      messages: [
        {
          role: "user",
          content: [
            { type: "image", image: path },
            { type: "text", text: question },
          ],
        },
      ],
      temperature: 0,
      maxTokens: 200,
    }).result;
    console.log(`${path}: ${text}`);
    console.log(
      `  ${usage.imageTokens} image tokens, first token after ${timings.firstTokenMs.toFixed(0)} ms`,
    );
  }),
);
