/** `vitgraph chat` with the whole stack. */

import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { main } from "vitgraph";
import { createFakeIo } from "vitgraph/testing";
import { CHECKPOINT, fixtureGguf, imagePath } from "./chat-fixture.js";

async function chat(...args: string[]) {
  const io = createFakeIo();
  const code = await main(["chat", "--llm", await fixtureGguf(), "--max-tokens", "8", ...args], io);
  return { code, out: io.out, err: io.err };
}

test("answers about an image, and says how long it took", async () => {
  const image = imagePath("image0_224x224.png");
  const ask = (path: string) => chat("--model", CHECKPOINT, "--backend", "cpu", path, "What is this?");
  const { code, out, err } = await ask(image);
  expect(code).toBe(0);
  expect(out).toMatch(/.\n$/s);
  expect(err.replaceAll(/\d+\.\d+/g, "N")).toMatch(
    /^loading .*\.gguf and .*qwen3-vl-chat-tiny N s\nencoding 1 file N s\nprompt \d+ tokens \(64 of images\), first token after N s, 8 tokens at N tokens\/s, encoder N s\n$/,
  );
  expect((await ask(imagePath("image3_57x301.png"))).out).not.toBe(out);
});

test("answers about an image at a URL as about its file, and Ctrl-C ends an answer with 130", async () => {
  const image = imagePath("image0_224x224.png");
  const server = createServer((_request, response) => void createReadStream(image).pipe(response));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.png`;
  const ask = (path: string) => chat("--model", CHECKPOINT, "--backend", "cpu", path, "What is this?");
  expect((await ask(url)).out).toBe((await ask(image)).out);
  server.close();

  const io = createFakeIo();
  const { stdout } = io;
  io.stdout = (text) => {
    stdout(text);
    io.interrupt();
  };
  const args = ["chat", "--llm", await fixtureGguf(), "--max-tokens", "500", "hello"];
  expect(await main(args, io)).toBe(130);
  expect(io.err).toMatch(/\ninterrupted\n$/);
  expect(io.err).not.toContain("error");
});

test("answers text without a vision tower", async () => {
  const { code, err } = await chat("--model", "not-loaded", "hello");
  expect(code).toBe(0);
  expect(err).toContain("reading the question");
  expect(err).not.toContain("encoder");
});

test("a file that is missing is named before anything is loaded", async () => {
  const { code, err } = await chat("--model", CHECKPOINT, "--backend", "cpu", "nowhere.png", "what?");
  expect(code).toBe(1);
  expect(err).toMatch(/^error: cannot read nowhere\.png \(ENOENT.*\): check the path/);
});
