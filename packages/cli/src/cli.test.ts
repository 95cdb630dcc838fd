/** What the command line does before any command runs. */
import { expect, test } from "vitest";
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
  [
    ["config", "explain", "serve.yaml"],
    "error: serve.yaml is no argument of vllm serve: write --config serve.yaml",
  ],
])("%j is a wrong command line", async (args, message) => {
  expect(await run(...args)).toEqual({ code: 2, err: message });
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
