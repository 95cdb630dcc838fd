/** `vitgraph serve --llm` with the whole stack, asked by the example of OpenAI's client. */
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { main } from "vitgraph";
import { createFakeIo } from "vitgraph/testing";
import { CHECKPOINT, fixtureGguf, imagePath } from "./chat-fixture.js";

const args = (...more: string[]) => [
  ...["serve", "--model", CHECKPOINT, "--served-model-name", "tower", "--backend", "cpu", "--port", "0"],
  ...more,
];

test("chat and embeddings are served by one encoder until a signal drains them", async () => {
  const io = createFakeIo();
  const chat = ["--llm", await fixtureGguf(), "--context-size", "512", "--parallel", "2"];
  const ended = main(args(...chat), io);
  await expect.poll(() => io.out, { timeout: 20_000 }).toContain("listening on");
  const url = /listening on (\S+)/.exec(io.out)?.[1] ?? "";

  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: object[] };
  expect(models.data).toMatchObject([{ id: "tower" }, { id: "chat-tiny", max_model_len: 512 }]);

  const image = imagePath("image0_224x224.png");
  const options = ["--url", `${url}/v1`, "--model", "chat-tiny"];
  vi.spyOn(process, "argv", "get").mockReturnValue(["node", "e.ts", ...options, image, "What is this?"]);
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  // A variable, so that its types stay those of the package that it is in.
  const example = fileURLToPath(new URL("../../examples/openai-client.ts", import.meta.url));
  await import(example);
  write.mockRestore();
  expect(log.mock.calls).toEqual([["\n79 + 200 tokens"]]);

  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/^vitgraph_items_total\{outcome="fulfilled",source="device"\} 1$/m);
  io.interrupt();
  expect(await ended).toBe(0);
  await expect(fetch(`${url}/health`)).rejects.toThrow();
});

test("a language model that is missing, or of another checkpoint, ends the command", async () => {
  const io = createFakeIo();
  expect(await main(args("--llm", "nowhere.gguf"), io)).toBe(1);
  expect(io.err).toContain('error: llama.cpp cannot load "nowhere.gguf"');
  const other = CHECKPOINT.replace("qwen3-vl-chat-tiny", "models/qwen2-vl-tiny");
  const halves = ["serve", "--model", other, "--backend", "cpu", "--port", "0", "--llm", await fixtureGguf()];
  expect(await main(halves, io)).toBe(1);
  expect(io.err).toMatch(/give both halves of one checkpoint/);
});
