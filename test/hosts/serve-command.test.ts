/** `vitgraph serve --llm` with the whole stack, asked by the example of OpenAI's client. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { main } from "vitgraph";
import { createFakeIo } from "vitgraph/testing";
import { CHECKPOINT, fixtureGguf, imagePath } from "./chat-fixture.js";

const args = (model: string, ...more: string[]) => [
  ...["serve", "--model", model, "--served-model-name", "tower", "--backend", "cpu", "--port", "0"],
  ...more,
];

/** The fixture as `hf download` would have put it into a cache. */
let cache: string;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), "vitgraph-hub-"));
  const model = join(cache, "models--some-org--tiny");
  const commit = "0123456789abcdef0123456789abcdef01234567";
  for (const folder of ["refs", "snapshots"]) await mkdir(join(model, folder), { recursive: true });
  await writeFile(join(model, "refs/main"), commit);
  await symlink(CHECKPOINT, join(model, "snapshots", commit));
  vi.stubEnv("HF_HUB_CACHE", cache);
});
afterAll(() => rm(cache, { recursive: true }));

test("chat and embeddings are served by one encoder until a signal drains them", async () => {
  const io = createFakeIo();
  const chat = ["--llm", await fixtureGguf(), "--context-size", "512", "--parallel", "2"];
  const ended = main(args("some-org/tiny", ...chat), io);
  await expect.poll(() => io.out).toContain("listening on");
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
  expect(metrics).toMatch(/^vitgraph_chat_tokens_total\{kind="image"\} 64$/m);
  expect(metrics).toMatch(/^vitgraph_chat_requests\{state="running"\} 0$/m);
  io.interrupt();
  expect(await ended).toBe(0);
  await expect(fetch(`${url}/health`)).rejects.toThrow();
});

test("a file that is no language model, or one of another checkpoint, ends the command", async () => {
  const io = createFakeIo();
  // Longer than most: a path is never cut.
  const text = join(cache, `${"long-".repeat(40)}name.gguf`);
  await writeFile(text, "{}");
  expect(await main(args(CHECKPOINT, "--llm", text), io)).toBe(1);
  expect(io.err).toContain(`error: llama.cpp cannot load ${text} (`);
  const other = CHECKPOINT.replace("qwen3-vl-chat-tiny", "models/qwen2-vl-tiny");
  expect(await main(args(other, "--llm", await fixtureGguf()), io)).toBe(1);
  expect(io.err).toMatch(/give both halves of one checkpoint/);
});
