import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encoderOptions } from "../encoder-options.js";
import { formatOrigin } from "../explain.js";
import { problemsOf } from "../problem.js";
import { parseYamlDocument } from "../yaml.js";
import { parseServeArguments } from "./arguments.js";

/** Parses arguments where the named files exist. */
function serve(argv: readonly string[], files: Readonly<Record<string, string>> = {}) {
  return parseServeArguments(argv, {
    readFile: (path) => files[path] ?? expect.unreachable(`${path} was read`),
    parseYaml: parseYamlDocument,
  });
}

/** The compilation config's keys that were set, with their values. */
function given(argv: readonly string[], files?: Readonly<Record<string, string>>): Record<string, unknown> {
  const { config, origin } = serve(argv, files).compilationConfig;
  return Object.fromEntries(
    Object.entries(config).filter(
      ([key]) => !["default", "optimization-level"].includes(origin(`/${key}`).kind),
    ),
  );
}

function problems(argv: readonly string[], files?: Readonly<Record<string, string>>) {
  try {
    serve(argv, files);
  } catch (error) {
    return problemsOf(error);
  }
  throw new Error("expected problems, and there are none");
}

function notes(argv: readonly string[], kind: string, files?: Readonly<Record<string, string>>): string[] {
  return serve(argv, files)
    .compilationConfig.notes.filter((note) => note.kind === kind)
    .map((note) => note.message);
}

describe("vLLM's own cases", () => {
  test("test_dict_args", () => {
    const argv =
      "--hf-overrides.key1 val1 --hf-overrides.key2.key3 val2 --hf-overrides.key2.key4 val3 " +
      "-cc.use_inductor_graph_partition=true -cc.backend custom -O1 --hf-overrides.key5=val4 " +
      "--hf_overrides.key_6 val5 --hf_overrides.key-7.key_8 val6 --hf_overrides.key9 100 " +
      "--hf_overrides.key10 100.0 --hf_overrides.key11 true --hf_overrides.key12.key13 null " +
      "--hf_overrides.key14.key15 -minus.and.dot -cc.custom_ops+ -quant_fp8 -cc.custom_ops+=+silu_mul,-rms_norm";
    const parsed = serve(argv.split(" "));
    expect(parsed.dotted).toEqual({
      "hf-overrides": {
        key1: "val1",
        key2: { key3: "val2", key4: "val3" },
        key5: "val4",
        key_6: "val5",
        "key-7": { key_8: "val6" },
        key9: 100,
        key10: 100.0,
        key11: true,
        key12: { key13: null },
        key14: { key15: "-minus.and.dot" },
      },
    });
    expect(parsed.optimizationLevel).toBe(1);
    expect(parsed.compilationConfig.config).toMatchObject({
      use_inductor_graph_partition: true,
      backend: "custom",
      custom_ops: ["-quant_fp8", "+silu_mul", "-rms_norm"],
    });
    expect(parsed.rest).toEqual([]);
  });

  test("test_duplicate_dict_args", () => {
    const argv = "--hf-overrides.key1 val1 --hf-overrides.key1 val2 -O1 -cc.mode 2 -O3".split(" ");
    const parsed = serve(argv);
    expect(parsed.dotted).toEqual({ "hf-overrides": { key1: "val2" } });
    expect(parsed.optimizationLevel).toBe(3);
    expect(parsed.compilationConfig.config.mode).toBe("DYNAMO_TRACE_ONCE");
    expect(notes(argv, "duplicate")).toEqual([
      'duplicate --optimization-level: "3" here replaces "1" of -O',
      'duplicate --hf-overrides.key1: "val2" here replaces "val1"',
    ]);
  });

  test("test_load_config_file_nested", () => {
    const parsed = serve(["--config", "serve.yaml"], {
      "serve.yaml": `
port: 12312
compilation-config:
  pass_config:
    fuse_allreduce_rms: true
speculative-config:
  model: nvidia/gpt-oss-120b-Eagle3-v2
  num_speculative_tokens: 3
`,
    });
    expect(parsed.compilationConfig.config.pass_config.fuse_allreduce_rms).toBe(true);
    expect(parsed.fileOptions).toEqual({
      port: 12312,
      "speculative-config": { model: "nvidia/gpt-oss-120b-Eagle3-v2", num_speculative_tokens: 3 },
    });
  });

  test("test_nested_config_end_to_end", () => {
    expect(
      given(["--config", "serve.yml"], {
        "serve.yml": "compilation-config:\n  mode: 3\n  pass_config:\n    fuse_allreduce_rms: true\n",
      }),
    ).toMatchObject({ mode: "VLLM_COMPILE", pass_config: { fuse_allreduce_rms: true } });
  });

  test.each([
    ["none", "NONE"],
    ["NONE", "NONE"],
    ["0", "NONE"],
    ["stock_torch_compile", "STOCK_TORCH_COMPILE"],
    ["1", "STOCK_TORCH_COMPILE"],
    ["dynamo_trace_once", "DYNAMO_TRACE_ONCE"],
    ["2", "DYNAMO_TRACE_ONCE"],
    ["vllm_compile", "VLLM_COMPILE"],
    ["3", "VLLM_COMPILE"],
  ])("test_compilation_mode_string_values: -cc.mode=%s", (text, mode) => {
    expect(given([`-cc.mode=${text}`])).toEqual({ mode });
  });

  test("test_compilation_config_mode_validator", () => {
    expect(problems(["-cc.mode=INVALID_MODE"])[0]?.message).toContain(
      "Invalid compilation mode: INVALID_MODE.",
    );
  });

  test.each(["[0,128]", "[-1,64]"])("budgets %s must be positive", (budgets) => {
    expect(problems([`-cc.encoder_cudagraph_token_budgets=${budgets}`])[0]?.message).toContain(
      "must be positive",
    );
  });
});

describe("forms", () => {
  const wanted = { cudagraph_mm_encoder: true, encoder_cudagraph_max_vision_items_per_batch: 8 };
  const json = JSON.stringify(wanted);

  test.each([
    [["--compilation-config", json]],
    [[`--compilation-config=${json}`]],
    [["--compilation_config", json]],
    [["-cc", json]],
    [[`-cc=${json}`]],
    [["-cc.cudagraph_mm_encoder=true", "-cc.encoder_cudagraph_max_vision_items_per_batch=8"]],
    [["-cc.cudagraph_mm_encoder", "true", "-cc.encoder_cudagraph_max_vision_items_per_batch", "8"]],
    [
      [
        "--compilation-config.cudagraph_mm_encoder=on",
        "--compilation_config.encoder_cudagraph_max_vision_items_per_batch=8",
      ],
    ],
    [["-cc", '{"cudagraph_mm_encoder": true}', "-cc", '{"encoder_cudagraph_max_vision_items_per_batch": 8}']],
    [["-cc", '{"cudagraph_mm_encoder": true}', "-cc.encoder_cudagraph_max_vision_items_per_batch=8"]],
    [["-cc.encoder_cudagraph_max_vision_items_per_batch=8", "-cc", '{"cudagraph_mm_encoder": true}']],
  ])("%j", (argv) => {
    expect(given(argv)).toEqual(wanted);
  });

  test.each([
    ["16k", 16_000],
    ["16K", 16_384],
    ["1.5k", 1500],
    ["16384", 16_384],
  ])("a dotted number may be %s", (text, value) => {
    expect(given([`-cc.encoder_cudagraph_max_frames_per_batch=${text}`])).toEqual({
      encoder_cudagraph_max_frames_per_batch: value,
    });
  });

  test.each([
    ["-cc.encoder_cudagraph_token_budgets=[64, 128]", [64, 128]],
    ["-cc.encoder_cudagraph_token_budgets+=64,128", [64, 128]],
    ["-cc.encoder_cudagraph_token_budgets+=64", [64]],
  ])("a list: %s", (argument, budgets) => {
    expect(given([argument])).toEqual({ encoder_cudagraph_token_budgets: budgets });
  });

  test("two dotted lists are one, as in vLLM", () => {
    const argv = ["-cc.encoder_cudagraph_token_budgets=[64]", "-cc.encoder_cudagraph_token_budgets=[128]"];
    expect(given(argv)).toEqual({ encoder_cudagraph_token_budgets: [64, 128] });
    expect(notes(argv, "duplicate")).toEqual([]);
  });

  test("an object as a dotted value", () => {
    expect(given(['-cc.pass_config={"enable_sp": true}']).pass_config).toMatchObject({ enable_sp: true });
  });

  test.each([
    [["-O0"], 0],
    [["-O=1"], 1],
    [["-O", "3"], 3],
    [["--optimization-level", "0"], 0],
    [["--optimization_level=1"], 1],
    [[], 2],
  ])("optimization level: %j", (argv, level) => {
    expect(serve(argv).optimizationLevel).toBe(level);
  });

  test("what concerns no config is handed back in order", () => {
    const argv = [
      "photo.1.jpg",
      "--model",
      "a.b",
      "-cc.mode=3",
      "--output=x.safetensors",
      "-v",
      "--",
      "-cc.mode=1",
    ];
    const parsed = serve(argv);
    expect(parsed.rest).toEqual([
      "photo.1.jpg",
      "--model",
      "a.b",
      "--output=x.safetensors",
      "-v",
      "--",
      "-cc.mode=1",
    ]);
    expect(parsed.compilationConfig.config.mode).toBe("VLLM_COMPILE");
  });
});

test("a list after = has one value: a file may follow", () => {
  const { rest } = serve([
    "--cudagraph-capture-sizes=8",
    "a.png",
    "--cudagraph-capture-sizes",
    "8",
    "16",
    "-x",
  ]);
  expect(rest).toEqual(["a.png", "-x"]);
});

test("a text that begins with a dash and has a dot is no option", () => {
  const argv = ["--system", "-Be brief. Then stop.", "what?"];
  expect(serve(argv)).toMatchObject({ rest: argv, dotted: {} });
});

describe("merging", () => {
  test("dotted arguments go over the JSON, and vLLM's way is noted", () => {
    const argv = ["-cc.mode=2", "-cc", '{"mode": 1, "cudagraph_mm_encoder": true}'];
    expect(given(argv)).toEqual({ mode: "DYNAMO_TRACE_ONCE", cudagraph_mm_encoder: true });
    expect(notes(argv, "duplicate")).toEqual(["mode is given twice: 2 here replaces 1 of -cc:1:10"]);
    expect(notes(argv, "merged")).toEqual([
      "the JSON and the dotted arguments are merged: vLLM would keep only the dotted ones",
    ]);
  });

  test("a later JSON goes over an earlier one, and vLLM's way is noted", () => {
    const argv = ["-cc", '{"mode": 1, "backend": "eager"}', "-cc", '{"mode": 2}'];
    expect(given(argv)).toEqual({ mode: "DYNAMO_TRACE_ONCE", backend: "eager" });
    expect(notes(argv, "duplicate")).toHaveLength(1);
    expect(notes(argv, "merged")).toEqual([
      "the JSON arguments are merged: vLLM would keep only the last one",
    ]);
  });

  test("objects merge key by key", () => {
    const argv = [
      "-cc",
      '{"pass_config": {"enable_sp": true, "fuse_gemm_comms": true}}',
      "-cc.pass_config.enable_sp=false",
    ];
    expect(given(argv).pass_config).toMatchObject({ enable_sp: false, fuse_gemm_comms: true });
  });

  test("a list replaces the JSON's, and + adds to it", () => {
    const json = '{"encoder_cudagraph_token_budgets": [64]}';
    expect(given(["-cc", json, "-cc.encoder_cudagraph_token_budgets=[128]"])).toEqual({
      encoder_cudagraph_token_budgets: [128],
    });
    expect(given(["-cc", json, "-cc.encoder_cudagraph_token_budgets+=128"])).toEqual({
      encoder_cudagraph_token_budgets: [64, 128],
    });
  });

  test("arguments go over the file, without a warning for each key", () => {
    const files = { "serve.yaml": "compilation-config:\n  mode: 1\n  cudagraph_mm_encoder: true\n" };
    const argv = ["-cc.mode=2", "--config", "serve.yaml"];
    expect(given(argv, files)).toEqual({ mode: "DYNAMO_TRACE_ONCE", cudagraph_mm_encoder: true });
    expect(notes(argv, "duplicate", files)).toEqual([]);
    expect(notes(argv, "merged", files)).toEqual([
      "the file's compilation config and the arguments are merged: vLLM would keep only the arguments",
    ]);
  });

  test("members of a list that was replaced come from the one that replaced it", () => {
    const files = {
      "a.yaml": "compilation-config.custom_ops+: all,+a\ncompilation_config.custom_ops+: +b\n",
    };
    const argv = ["--config", "a.yaml", "-cc", '{"custom_ops": ["none", "+c", "+d"]}'];
    const { config, origin } = serve(argv, files).compilationConfig;
    expect(config.custom_ops).toEqual(["none", "+c", "+d"]);
    expect(formatOrigin(origin("/custom_ops/2"))).toBe("-cc:1:31");
  });

  test("each value knows where it comes from", () => {
    const files = {
      "serve.yaml": "optimization-level: 0\ncompilation_config:\n  cache_dir: /x\n  backend: eager\n",
    };
    const { origin } = serve(
      ["--config=serve.yaml", "-cc", '{"backend": "inductor"}', "-cc.custom_ops+=all"],
      files,
    ).compilationConfig;
    expect(
      ["/cache_dir", "/backend", "/custom_ops", "/custom_ops/0", "/cudagraph_mode", "/debug_dump_path"].map(
        (pointer) => formatOrigin(origin(pointer)),
      ),
    ).toEqual([
      "serve.yaml:3:14",
      "-cc:1:13",
      "-cc.custom_ops+=all",
      "-cc.custom_ops+=all",
      "optimization level 0",
      "default",
    ]);
  });

  test("an error in an appended list points at the argument that brought it", () => {
    expect(
      problems(["-cc", '{"custom_ops": ["none"]}', "-cc.custom_ops+=+a", "-cc.custom_ops+=-a"])[0],
    ).toMatchObject({ source: "-cc.custom_ops+=-a", pointer: "/custom_ops/2" });
  });
});

describe("the --config file", () => {
  test("may be JSON, hold JSON in a string, and use dots", () => {
    const wanted = { cudagraph_mm_encoder: true };
    expect(
      given(["--config", "a.json"], { "a.json": '{"compilation-config": {"cudagraph_mm_encoder": true}}' }),
    ).toEqual(wanted);
    expect(
      given(["--config", "a.yaml"], { "a.yaml": "compilation-config: '{\"cudagraph_mm_encoder\": true}'" }),
    ).toEqual(wanted);
    expect(
      given(["--config", "a.yaml"], { "a.yaml": "compilation-config.cudagraph_mm_encoder: true" }),
    ).toEqual(wanted);
    expect(given(["--config", "a.yaml"], { "a.yaml": 'compilation_config.custom_ops+: "none,+a"' })).toEqual({
      custom_ops: ["none", "+a"],
    });
  });

  test("gives the options beside the compilation config", () => {
    const parsed = serve(["--config", "a.yaml"], {
      "a.yaml": "optimization_level: 1\nenforce-eager: true\ncudagraph-capture-sizes: [1, 2]\nport: 1\n",
    });
    expect(parsed).toMatchObject({ optimizationLevel: 1, enforceEager: true, fileOptions: { port: 1 } });
    expect(parsed.compilationConfig.config.cudagraph_capture_sizes).toEqual([1, 2]);
  });

  test("is overruled by arguments there, too", () => {
    const files = { "a.yaml": "optimization-level: 1\nenforce-eager: true\n" };
    expect(serve(["-O3", "--no-enforce-eager", "--config", "a.yaml"], files)).toMatchObject({
      optimizationLevel: 3,
      enforceEager: false,
    });
  });

  test.each([
    ["serve.json", '{"compilation-config": {"mode": 1}, "compilation-config": {"mode": 3}}'],
    ["serve.yaml", "compilation-config: {mode: 1}\ncompilation-config: {mode: 3}\n"],
  ])("tells which options are given twice: %s", (name, file) => {
    expect(notes(["--config", name], "duplicate", { [name]: file })).toEqual([
      '"compilation-config" occurs twice: the last one counts',
    ]);
  });

  test("takes a size with a suffix, as an argument does", () => {
    const file = "max-cudagraph-capture-size: 1k\n";
    expect(given(["--config", "a.yaml"], { "a.yaml": file })).toEqual({ max_cudagraph_capture_size: 1000 });
  });

  test("refuses a key of nothing but +", () => {
    expect(problems(["--config", "a.yaml"], { "a.yaml": "compilation-config.+: 3\n" })).toMatchObject([
      { message: '"compilation-config.+" has empty or too many keys' },
    ]);
  });

  test("may be empty", () => {
    expect(given(["--config", "a.yaml"], { "a.yaml": "" })).toEqual({});
  });

  test.each([
    [{ "a.yaml": "- 1" }, "a.yaml:1:1", "the config file is [1], and must be a map of options"],
    [{ "a.yaml": "enforce-eager: maybe" }, "a.yaml:1:1", 'enforce-eager cannot be "maybe"'],
    [{ "a.yaml": "optimization-level: [{}]" }, "a.yaml:1:1", "the optimization level cannot be [{}]"],
    [{ "a.yaml": "optimization-level: true" }, "a.yaml:1:1", "the optimization level cannot be true"],
    [{ "a.yaml": "optimization-level: 7" }, "a.yaml:1:1", "the optimization level cannot be 7"],
    [
      { "a.yaml": "compilation-config: {mod: 1}" },
      "a.yaml:1:22",
      '"mod" is not a key of the compilation config',
    ],
    [{ "a.yaml": "compilation-config.mod: 1" }, "a.yaml:1:1", '"mod" is not a key of the compilation config'],
  ])("is refused: %j", (files, place, message) => {
    const [problem] = problems(["--config", "a.yaml"], files as Record<string, string>);
    expect(`${problem?.source}:${problem?.line}:${problem?.column}`).toBe(place);
    expect(problem?.message).toBe(message);
  });

  test("needs a name that says its format, and a reader", () => {
    expect(problems(["--config", "a.toml"])[0]?.message).toBe(
      "the config file a.toml is neither YAML nor JSON by its name",
    );
    expect(() => parseServeArguments(["--config", "a.json"])).toThrow(
      "--config: the config file a.json cannot be read: this program reads no files: give its compilation-config as an argument",
    );
    expect(() => parseServeArguments(["--config", "a.yaml"], { readFile: () => "" })).toThrow(
      "the config file a.yaml cannot be read: this program reads only JSON",
    );
  });

  test("may be given once", () => {
    expect(problems(["--config", "a.yaml", "--config", "b.yaml"], { "b.yaml": "" })[0]?.message).toBe(
      "there is more than one --config",
    );
  });

  test("an unreadable one is its reader's error", () => {
    expect(() =>
      parseServeArguments(["--config", "a.json"], {
        readFile: () => {
          throw new Error("no such file");
        },
      }),
    ).toThrow("no such file");
  });
});

describe("what vLLM decides after parsing", () => {
  test.each([
    [0, "NONE", "NONE"],
    [1, "VLLM_COMPILE", "PIECEWISE"],
    [2, "VLLM_COMPILE", "FULL_AND_PIECEWISE"],
    [3, "VLLM_COMPILE", "FULL_AND_PIECEWISE"],
  ])("-O%i: mode %s, cudagraph_mode %s", (level, mode, cudagraphMode) => {
    const { config } = serve([`-O${level}`]).compilationConfig;
    expect(config).toMatchObject({ mode, cudagraph_mode: cudagraphMode });
  });

  test("levels leave what is given, and never touch the encoder's keys", () => {
    const { config } = serve(["-O0", "-cc.mode=3", "-cc.cudagraph_mode=full"]).compilationConfig;
    expect(config).toMatchObject({ mode: "VLLM_COMPILE", cudagraph_mode: "FULL" });
    const options = [0, 1, 2, 3].map((level) =>
      encoderOptions(serve([`-O${level}`]).compilationConfig.config),
    );
    expect(new Set(options.map((each) => JSON.stringify(each))).size).toBe(1);
  });

  test("--enforce-eager overrules what is given", () => {
    const { config, origin } = serve(["--enforce-eager", "-cc.mode=3"]).compilationConfig;
    expect(config).toMatchObject({ mode: "NONE", cudagraph_mode: "NONE" });
    expect(formatOrigin(origin("/mode"))).toBe("--enforce-eager");
  });

  test("capture sizes have options of their own, which exclude the keys", () => {
    expect(given(["--cudagraph-capture-sizes", "1", "2", "4", "--max-cudagraph-capture-size", "4"])).toEqual({
      cudagraph_capture_sizes: [1, 2, 4],
      max_cudagraph_capture_size: 4,
    });
    expect(
      problems(["--cudagraph-capture-sizes", "1", "-cc", '{"cudagraph_capture_sizes": [1]}'])[0],
    ).toMatchObject({
      source: "--cudagraph-capture-sizes",
      message:
        "--cudagraph-capture-sizes and compilation_config.cudagraph_capture_sizes of -cc:1:29 exclude each other",
      remedy: "remove --cudagraph-capture-sizes",
    });
  });
});

describe("bad arguments", () => {
  test.each([
    [["-cc"], "the option needs a value", "add it: -cc VALUE"],
    [["--config"], "the option needs a value", "add it: --config VALUE"],
    [["--config="], "the option needs a value", "add it: --config VALUE"],
    [["--config", ""], "the option needs a value", "add it: --config VALUE"],
    [["-cc.mode"], "the option needs a value", "add it: -cc.mode=VALUE"],
    [["-cc..mode=1"], "the option has an empty key", "remove the extra dot"],
    [["-cc.+=1"], "the option has an empty key", "remove the extra dot"],
    [["-O4"], 'the optimization level cannot be "4"', "use -O0 to -O3"],
    [["-O"], "the option needs a value", "add it: -O VALUE"],
    [["-O3.5"], 'the optimization level cannot be "3.5"', "use -O0 to -O3"],
    [["-O", "fast"], 'the optimization level cannot be "fast"', "use -O0 to -O3"],
    [["--enforce-eager=true"], "the option takes no value", "write --enforce-eager alone"],
    [
      ["-cc", '{"mode": three}'],
      "this is not JSON: found three where a JSON value should be",
      /double quotes/,
    ],
    [
      ["-cc", "3"],
      "the compilation config is 3, and must be a JSON object",
      'use {"key": value, …}, or {"mode": 3}',
    ],
    [["-cc.mode.x=3"], 'Invalid compilation mode: {"x":3}.', /./],
    [["-cc.encoder_cudagraph_max_vision_items_per_batch=1.5K"], 'cannot be "1.5K"', /./],
  ])("%j", (argv, message, remedy) => {
    const [problem] = problems(argv);
    expect(problem?.message).toContain(message);
    expect(problem?.remedy).toMatch(remedy);
  });

  test("are named once in front of their problem", () => {
    expect(() => serve(["--enforce-eager=true"])).toThrow(
      /^--enforce-eager: the option takes no value: write --enforce-eager alone$/,
    );
    expect(() => serve(["-O"])).toThrow(/^-O: the option needs a value: add it: -O VALUE$/);
  });

  test("are reported together with what is wrong in file and config", () => {
    expect(
      problems(["-O9", "-cc", "{", "-cc.mod=1", "--config", "a.yaml"], {
        "a.yaml": "compilation-config: {backend: 1}",
      }).map((problem) => problem.source),
      // Arguments as they were read, then the level, then the merged config by place.
    ).toEqual(["-cc", "-O", "-cc.mod=1", "a.yaml"]);
  });
});

test("whatever the arguments, the answer is a config or a list of problems", () => {
  const key = fc.constantFrom(
    "mode",
    "pass_config.enable_sp",
    "custom_ops",
    "cudagraph_mm_encoder",
    "mod",
    "",
    "a.b",
  );
  const value = fc.oneof(fc.json(), fc.constantFrom("1k", "1.5K", "on", "-x", "", "none,+a"), fc.string());
  const argument = fc.oneof(
    fc.constantFrom(
      "-cc",
      "--compilation-config",
      "-O",
      "-O2",
      "--enforce-eager",
      "--",
      "--config",
      "serve.yaml",
    ),
    fc.constantFrom("--cudagraph-capture-sizes", "--max-cudagraph-capture-size", "1", "2"),
    fc
      .tuple(
        fc.constantFrom("-cc.", "--compilation_config."),
        key,
        fc.constantFrom("", "+", "=", "+="),
        value,
      )
      .map((parts) => parts.join("")),
    value,
  );
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 8 }), fc.oneof(value, fc.constant("a: 1")), (argv, yaml) => {
      try {
        const { rest } = parseServeArguments(argv, { readFile: () => yaml, parseYaml: parseYamlDocument });
        expect(argv).toEqual(expect.arrayContaining([...rest]));
      } catch (error) {
        expect(problemsOf(error).length, String(error)).toBeGreaterThan(0);
      }
    }),
    { numRuns: 1000 },
  );
});
