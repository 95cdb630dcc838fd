import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

const CHAT = fileURLToPath(new URL("../../../../test/fixtures/qwen3-vl-chat-tiny", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-gguf-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function gguf(...args: string[]) {
  const io = createFakeIo();
  const code = await main(["gguf", ...args], io);
  const clean = (text: string) => text.replaceAll(folder, "TMP").replaceAll(CHAT, "CHAT");
  return { code, stdout: clean(io.out), stderr: clean(io.err) };
}

test("writes the language model and prints its architecture, tensors and bytes", async () => {
  const path = join(folder, "out.gguf");
  const { code, stdout, stderr } = await gguf(CHAT, "--outtype", "q8_0", "--output", path);
  expect({ code, stderr: stderr.replace(/[\d.]+ s\n$/, "1 s\n") }).toEqual({
    code: 0,
    stderr: "writing TMP/out.gguf 1 s\n",
  });
  expect(stdout).toBe(`TMP/out.gguf: qwen3vl, 47 tensors, ${statSync(path).size} bytes\n`);
  expect(readFileSync(path).toString("latin1", 0, 4)).toBe("GGUF");
});

test("an error leaves no file", async () => {
  const { code, stderr } = await gguf(folder, "--output", join(folder, "none.gguf"));
  expect(code).toBe(1);
  expect(stderr).toContain("error: cannot read TMP/config.json");
  expect(readdirSync(folder).filter((name) => name.includes("none"))).toEqual([]);
});

test("Ctrl-C ends it with 130 and leaves no file", async () => {
  const io = createFakeIo({ terminalColumns: 80 });
  const { stderr } = io;
  io.stderr = (text) => {
    stderr(text);
    if (text.includes("writing")) io.interrupt();
  };
  const code = await main(["gguf", CHAT, "--output", join(folder, "cut.gguf")], io);
  expect(code).toBe(130);
  expect(io.err).toMatch(/\ninterrupted\n$/);
  expect(io.err).not.toContain("error");
  expect(readdirSync(folder).filter((name) => name.includes("cut"))).toEqual([]);
});

test("an output without a place is found before the checkpoint is read", async () => {
  const { code, stderr } = await gguf(folder, "--output", join(folder, "missing", "out.gguf"));
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr:
      "error: cannot write TMP/missing/out.gguf (there is no directory TMP/missing): make it first [VG_FILE_UNWRITABLE]\n",
  });
});

test("an unknown type is a wrong command line", async () => {
  const { code, stderr } = await gguf(CHAT, "--outtype", "q4_k");
  expect(code).toBe(2);
  expect(stderr).toContain("Allowed choices are f32, f16, bf16, q8_0");
});
