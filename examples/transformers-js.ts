/**
 * Asks Qwen2-VL, Qwen2.5-VL or Qwen3.5 about images: transformers.js runs the language model, vitgraph the vision tower.
 *
 *     npm run transformers-js -- --onnx ONNX_DIR --model CHECKPOINT_DIR photo.jpg other.png "What differs?"
 *
 * ONNX_DIR has config.json, the tokenizer's files, and onnx/ with embed_tokens and decoder_model_merged; CHECKPOINT_DIR is
 * the checkpoint that it was exported from, with its safetensors.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { AutoModelForCausalLM, AutoTokenizer, env, TextStreamer } from "@huggingface/transformers";
import { EncoderEngine } from "@vitgraph/core";
import { attachEncoder } from "@vitgraph/transformers";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    onnx: { type: "string" },
    model: { type: "string" },
    dtype: { type: "string", default: "fp32" },
  },
});
const paths = positionals.slice(0, -1);
const question = positionals.at(-1);
if (values.onnx === undefined || values.model === undefined || question === undefined || paths.length === 0) {
  console.error('usage: transformers-js --onnx DIR --model DIR IMAGE… "QUESTION"');
  process.exit(2);
}

// transformers.js would fail on a missing directory without naming it.
if (!existsSync(join(values.onnx, "config.json"))) {
  console.error(`${values.onnx} has no config.json: give the directory of the ONNX files with --onnx`);
  process.exit(1);
}

// Loads from a directory instead of the hub.
env.allowRemoteModels = false;
env.localModelPath = dirname(resolve(values.onnx));
const name = basename(resolve(values.onnx));

const tokenizer = await AutoTokenizer.from_pretrained(name);
// Loads the token embedding and the decoder; `Qwen2VLForConditionalGeneration` would load the vision session too.
const model = await AutoModelForCausalLM.from_pretrained(name, {
  // The text's embeddings must be float32, like the images' rows.
  dtype: { embed_tokens: "fp32", decoder_model_merged: values.dtype as "fp32" },
  device: "cpu",
});
await using engine = await EncoderEngine.create({ model: values.model });
// biome-ignore lint/suspicious/noExplicitAny: transformers.js has no types for encode_image, which vitgraph replaces
using attachment = attachEncoder(model as any, engine);

const content = [...paths.map(() => ({ type: "image" })), { type: "text", text: question }];
// biome-ignore lint/suspicious/noExplicitAny: messages with parts are what the template takes, and not in its type
const messages: any = [{ role: "user", content }];
const prompt = tokenizer.apply_chat_template(messages, {
  tokenize: false,
  add_generation_prompt: true,
}) as string;
const images = await Promise.all(paths.map(async (path) => ({ image: await readFile(path) })));
await model.generate({
  ...(await attachment.prepare(tokenizer, prompt, images)),
  max_new_tokens: 200,
  streamer: new TextStreamer(tokenizer, { skip_prompt: true, skip_special_tokens: true }),
});
