import { parseServeArguments } from "@vitgraph/config";
import { parseYamlDocument } from "@vitgraph/config/yaml";
import { describe, expect, test } from "vitest";
import { mmProcessorKwargs, modelArguments, reportUnused } from "./serve-options.js";
import { createFakeIo } from "./testing.js";

function parse(args: readonly string[], file = "") {
  return parseServeArguments(args, { readFile: () => file, parseYaml: parseYamlDocument });
}

describe("the image processor's settings", () => {
  test("of the three forms merge: the dotted ones win, then the argument", () => {
    const serving = parse(
      ["--config", "serve.yaml", "--mm-processor-kwargs.max_pixels=1", "--mm_processor_kwargs.a", "2"],
      "mm_processor_kwargs: {max_pixels: 3, min_pixels: 3, b: 3}",
    );
    expect(mmProcessorKwargs(serving, { max_pixels: 4, min_pixels: 4 })).toEqual({
      max_pixels: 1,
      min_pixels: 4,
      a: 2,
      b: 3,
    });
  });

  test("of a file that are no map are refused", () => {
    expect(() => mmProcessorKwargs(parse(["--config", "serve.yaml"], "mm-processor-kwargs: 3"))).toThrow(
      "mm-processor-kwargs of the config file is not a map of settings",
    );
  });
});

describe("the model of a --config file", () => {
  const modelOf = (file: string, ...args: string[]) =>
    modelArguments(parse(["--config", "serve.yaml", ...args], file));

  test("is the command's", () => {
    expect(modelOf("model: org/name\nport: 80")).toEqual(["--model=org/name"]);
    expect(modelOf("port: 80")).toEqual([]);
  });

  test("gives way to that of the command line, as in vLLM", () => {
    expect(modelOf("model: org/name", "--model", "other")).toEqual([]);
    expect(modelOf("model: org/name", "--model=other")).toEqual([]);
    expect(modelOf("model: org/name", "--arch", "qwen3-vl-2b")).toEqual([]);
  });

  test("that is no name is refused", () => {
    expect(() => modelOf("model: [a]")).toThrow(
      "model of the config file is not a name: write model: DIR, or the model's id on the hub",
    );
  });
});

describe("options that the command does not have", () => {
  const file = "model: m\nport: 80\nmm-processor-kwargs: {max_pixels: 1}\n";
  test("are named in a note where a file has them", () => {
    const io = createFakeIo();
    reportUnused(parse(["--config", "serve.yaml"], file), [], ["model", "mm-processor-kwargs"], io);
    reportUnused(parse(["--config", "serve.yaml"], file), [], [], io);
    expect(io.err).toBe(
      "note: options of the config file without effect here: port\n" +
        "note: options of the config file without effect here: model, port, mm-processor-kwargs\n",
    );
  });

  test("are refused where they are dotted", () => {
    const args = ["-cc.mode=3", "--hf-overrides.a.b=1"];
    expect(() => reportUnused(parse(args), args, [], createFakeIo())).toThrow(
      expect.objectContaining({
        code: "VG_CONFIG_INVALID",
        message: "unknown option --hf-overrides.a.b: remove it",
      }),
    );
  });

  test("such as the image processor's where no image is processed", () => {
    const args = ["--mm-processor-kwargs.max_pixels=1"];
    reportUnused(parse(args), args, ["mm-processor-kwargs"], createFakeIo());
    expect(() => reportUnused(parse(args), args, [], createFakeIo())).toThrow("unknown option --mm-proc");
  });
});
