/** Checks of the command line before a command runs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { main } from "./cli.js";
import { createFakeIo } from "./testing.js";

async function run(...args: string[]) {
  const io = createFakeIo();
  const code = await main(args, io);
  return { code, err: io.err.split("\n", 1)[0] };
}

test.each([
  [
    ["encode", "a.png", "--model", ""],
    "error: the value of option '--model <dir-or-id>' is empty: give one, or leave the option out",
  ],
  [["encode", "", "--model", "m"], "error: an argument is empty: give a value, or leave it out"],
  [["config", "check", ""], "error: an argument is empty: give a value, or leave it out"],
  [["gguf", ""], "error: an argument is empty: give a value, or leave it out"],
  [
    ["encode", "a.png", "--model", "m", "--backend", "cpu", "--device", "1"],
    "error: --device has no effect with --backend cpu: leave it out",
  ],
  [
    ["print", "graph", "--model", "m", "--backend", "cuda", "--threads", "1"],
    "error: --threads has no effect with --backend cuda: leave it out",
  ],
  [["serve", "org/model"], "error: serve takes no argument org/model: give the model with --model"],
  [["serve", "a", "b", "--model", "m"], "error: serve takes no argument a: give the model with --model"],
  [["print", "graph", "m"], "error: print takes no argument m: give the model with --model"],
  [["print", "graph", "x", "--model", "m"], "error: print takes no argument x: give the model with --model"],
  [
    ["config", "explain", "serve.yaml"],
    "error: serve.yaml is not an argument of vllm serve: write --config serve.yaml",
  ],
])("%j is a wrong command line", async (args, message) => {
  expect(await run(...args)).toEqual({ code: 2, err: message });
});

test("a --config file names the model, and --model on the command line goes first", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vitgraph-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const config = join(folder, "serve.yaml");
  writeFileSync(config, `model: ${join(folder, "of-the-file")}\n`);
  const ofFile = await run("print", "graph", "--config", config);
  expect(ofFile).toMatchObject({ code: 1, err: expect.stringContaining("of-the-file/config.json") });
  const given = await run("print", "graph", "--config", config, "--model", join(folder, "given"));
  expect(given).toMatchObject({
    code: 1,
    err: "note: options of the config file without effect here: model",
  });
});

test.each([
  [
    ["help", "bnch"],
    ["error: unknown command 'bnch'", "(Did you mean bench?)"],
  ],
  [
    ["help", "config", "chekc"],
    ["error: unknown command 'chekc'", "(Did you mean check?)"],
  ],
  [
    ["config", "help", "nothing"],
    ["error: unknown command 'nothing'", "(run with --help for the options)"],
  ],
  [
    ["help", "encode", "x"],
    ["error: unknown command 'x'", "(run with --help for the options)"],
  ],
])("%j names the unknown command", async (args, lines) => {
  const io = createFakeIo();
  expect(await main(args, io)).toBe(2);
  expect(io.err.split("\n").slice(0, 2)).toEqual(lines);
  expect(io.out).toBe("");
});

test.each([
  [["help"], "Usage: vitgraph [options] [command]"],
  [["help", "encode"], "Usage: vitgraph encode [options] <file...>"],
  [["help", "config", "check"], "Usage: vitgraph config check [options] <file...>"],
  [["config", "help", "check"], "Usage: vitgraph config check [options] <file...>"],
])("%j prints the command's help", async (args, usage) => {
  const io = createFakeIo();
  expect(await main(args, io)).toBe(0);
  expect(io.out.split("\n", 1)[0]).toBe(usage);
});

test("no help shows an empty list as a default", async () => {
  const commandsIn = (help: string) =>
    [...help.slice(help.indexOf("\nCommands:")).matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name as string);
  const helpOf = async (...names: string[]) => {
    const io = createFakeIo();
    await main(["help", ...names], io);
    return io.out;
  };
  const commands = commandsIn(await helpOf()).map((name) => [name]);
  const all = [...commands, ...commandsIn(await helpOf("config")).map((name) => ["config", name])];
  expect(all).toContainEqual(["config", "check"]);
  for (const names of all) expect(await helpOf(...names)).not.toContain("(default: [])");
});

test("config explain takes a command line of vLLM with an empty value", async () => {
  expect((await run("config", "explain", "--served-model-name", "")).code).toBe(0);
});

test.each([
  ['{"video": {"fps": -2}}', "error: fps is -2: give a positive number of frames per second"],
  ['{"video": {"num_frames": 0}}', "error: num_frames is 0: give a positive whole number"],
  [
    '{"video": {"fps": 1, "num_frames": 2}}',
    "error: both fps (1) and num_frames (2) are given: give one of them",
  ],
])("--media-io-kwargs %s is refused before a model is loaded", async (kwargs, message) => {
  const { code, err } = await run("encode", "a.png", "--model", "none", "--media-io-kwargs", kwargs);
  expect({ code, err }).toEqual({ code: 1, err: `${message} [VG_ARGUMENT_INVALID]` });
});
