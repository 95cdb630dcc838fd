/**
 * Asks a vitgraph server about an image with OpenAI's client. Start the server, and then:
 *
 *     vitgraph serve --model CHECKPOINT_DIR --llm FILE.gguf --served-llm-name chat
 *     pnpm openai-client photo.jpg "What is this?"
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import OpenAI from "openai";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/v1" },
    model: { type: "string", default: "chat" },
  },
});
const [path, question] = positionals;
if (path === undefined || question === undefined) {
  console.error('usage: openai-client [--url URL] [--model NAME] IMAGE "QUESTION"');
  process.exit(2);
}

const client = new OpenAI({ baseURL: values.url, apiKey: process.env.VITGRAPH_API_KEY ?? "none" });
const image = `data:image/${path.split(".").pop()};base64,${await readFile(path, "base64")}`;
const stream = await client.chat.completions.create({
  model: values.model,
  messages: [
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: image } },
        { type: "text", text: question },
      ],
    },
  ],
  temperature: 0,
  max_tokens: 200,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const { choices, usage } of stream) {
  process.stdout.write(choices[0]?.delta.content ?? "");
  if (usage) console.log(`\n${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
}
