import { expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

// What needs llama.cpp is in test/hosts.

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

test("a language model is required, and options are checked", async () => {
  expect((await chat("what?")).stderr).toContain("required option '--llm <file.gguf>' not specified");
  expect((await chat("--llm", "m", "--temperature", "-1", "what?")).stderr).toContain(
    "expected a number from 0",
  );
});
