import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

// Tests that need llama.cpp are in test/hosts.

const fixture = fileURLToPath(new URL("../../../../test/fixtures/qwen3-vl-chat-tiny", import.meta.url));

async function chat(...args: string[]) {
  const io = createFakeIo();
  const code = await main(["chat", ...args], io);
  return { code, stderr: io.err };
}

test("files without a vision tower are a wrong command line", async () => {
  const { code, stderr } = await chat("--llm", "m.gguf", "a.png", "what?");
  expect(code).toBe(2);
  expect(stderr).toContain("error: files need a vision tower: add --model DIR");
});

test("a file in the question's place, and a language model that is missing, are named", async () => {
  const file = fileURLToPath(import.meta.url);
  const noQuestion = await chat("--llm", "m.gguf", "--model", "m", file);
  expect(noQuestion.code).toBe(2);
  expect(noQuestion.stderr).toContain(`error: the question is missing: ${file} is a file`);
  const noModel = await chat("--llm", "missing.gguf", "what?");
  expect(noModel.code).toBe(1);
  expect(noModel.stderr).toMatch(
    /^error: cannot read missing\.gguf \(ENOENT.*\): give a GGUF file with --llm/,
  );
});

test("a URL is read before the language model is loaded, and is no question", async () => {
  const file = fileURLToPath(import.meta.url);
  const ask = (...args: string[]) => chat("--llm", file, "--model", fixture, ...args);
  const noQuestion = await ask("https://images.test/a.png");
  expect(noQuestion.code).toBe(2);
  expect(noQuestion.stderr).toContain("https://images.test/a.png is a URL, and the question comes last");
  const gone = await ask("http://127.0.0.1:9/a.png", "https://a.test also shows it: what is it?");
  expect(gone.code).toBe(1);
  expect(gone.stderr).toMatch(
    /^error: cannot read http:\/\/127\.0\.0\.1:9\/a\.png \(.+\): check the URL, or download the file/,
  );
});

test("a missing picture is named before the language model is loaded", async () => {
  const file = fileURLToPath(import.meta.url);
  const { code, stderr } = await chat("--llm", file, "--model", fixture, "missing.png", "what?");
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^error: cannot read missing\.png \(ENOENT.*\): check the path \[VG_FILE_UNREADABLE\]/,
  );
});

test("the vision tower may be the model of a --config file", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const config = join(directory, "serve.yaml");
  await writeFile(config, `model: ${fixture}\n`);
  const file = fileURLToPath(import.meta.url);
  const { stderr } = await chat("--llm", file, "--config", config, "missing.png", "what?");
  await rm(directory, { recursive: true });
  expect(stderr).toContain("error: cannot read missing.png");
});

test("a language model is required, and options are checked", async () => {
  expect((await chat("what?")).stderr).toContain("required option '--llm <file.gguf>' not specified");
  expect((await chat("--llm", "m", "--temperature", "-1", "what?")).stderr).toContain(
    "expected a number from 0",
  );
});
