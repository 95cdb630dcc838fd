import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encoderOptions } from "./encoder-options.js";
import { parseCompilationConfig } from "./parse.js";
import { type ConfigProblem, problemsOf } from "./problem.js";
import { compilationConfigSchema, writableKeys } from "./schema.js";
import { nest, valueAt } from "./value.js";

function problems(
  input: Parameters<typeof parseCompilationConfig>[0],
  source = "c.json",
): readonly ConfigProblem[] {
  try {
    parseCompilationConfig(input, { source });
  } catch (error) {
    return problemsOf(error);
  }
  throw new Error("expected problems, and there are none");
}

function notes(input: Parameters<typeof parseCompilationConfig>[0], kind: string): string[] {
  return parseCompilationConfig(input)
    .notes.filter((note) => note.kind === kind)
    .map((note) => note.message);
}

describe("parseCompilationConfig", () => {
  test("fills in vLLM's defaults", () => {
    const { config } = parseCompilationConfig("{}");
    expect(encoderOptions(config)).toEqual({
      compile: false,
      cudagraph: false,
      tokenBudgets: [],
      maxItems: 0,
      maxFrames: null,
      verbose: false,
    });
    expect(config.pass_config.eliminate_noops).toBe(true);
    expect(config.dynamic_shapes_config).toEqual({
      type: "backed",
      evaluate_guards: false,
      assume_32_bit_indexing: false,
    });
  });

  test("takes what is given", () => {
    const { config } = parseCompilationConfig({
      compile_mm_encoder: true,
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [512, 1024],
      encoder_cudagraph_max_vision_items_per_batch: 8,
      encoder_cudagraph_max_frames_per_batch: 64,
      encoder_cudagraph_verbose: true,
    });
    expect(encoderOptions(config)).toEqual({
      compile: true,
      cudagraph: true,
      tokenBudgets: [512, 1024],
      maxItems: 8,
      maxFrames: 64,
      verbose: true,
    });
  });

  test("keeps apart what two parses return", () => {
    const first = parseCompilationConfig("{}").config;
    (first.encoder_cudagraph_token_budgets as number[]).push(1);
    expect(parseCompilationConfig("{}").config.encoder_cudagraph_token_budgets).toEqual([]);
  });

  test("does not change the object that it is given", () => {
    const input = Object.freeze({ mode: 3, pass_config: Object.freeze({ enable_sp: "on" }) });
    expect(parseCompilationConfig(input).config.pass_config.enable_sp).toBe(true);
    expect(input.pass_config.enable_sp).toBe("on");
  });

  test("reads a number as a mode, as in LLM(compilation_config=3)", () => {
    expect(parseCompilationConfig(3).config.mode).toBe("VLLM_COMPILE");
  });

  test("has values for vLLM's deepest corners", () => {
    const { config } = parseCompilationConfig({
      inductor_compile_config: { a: { b: [1, { c: null }] } },
      inductor_passes: { mine: "module.pass" },
      compile_sizes: [1, "cudagraph_capture_sizes"],
      splitting_ops: [],
    });
    expect(config.inductor_compile_config).toEqual({ a: { b: [1, { c: null }] } });
    expect(config.inductor_passes).toEqual({ mine: "module.pass" });
    expect(config.compile_sizes).toEqual([1, "cudagraph_capture_sizes"]);
    expect(config.splitting_ops).toEqual([]);
  });

  test("treats __proto__ as a key like any other", () => {
    const { config } = parseCompilationConfig('{"inductor_compile_config": {"__proto__": {"polluted": 1}}}');
    expect(Object.keys(config.inductor_compile_config)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(problems('{"__proto__": 1}')[0]?.message).toBe(
      '"__proto__" is not a key of the compilation config',
    );
  });
});

describe("values that vLLM takes for one another", () => {
  test.each([true, "true", "True", "TRUE", "on", "t", "y", "yes", "1", 1])("%j is true", (value) => {
    expect(parseCompilationConfig({ cudagraph_mm_encoder: value }).config.cudagraph_mm_encoder).toBe(true);
  });

  test.each([false, "false", "off", "f", "n", "no", "0", 0])("%j is false", (value) => {
    expect(
      parseCompilationConfig({ cudagraph_specialize_lora: value }).config.cudagraph_specialize_lora,
    ).toBe(false);
  });

  test.each([2, -1, "", "maybe", " true", null, [], {}])("%j is no boolean", (value) => {
    expect(problems({ compile_mm_encoder: value })[0]).toMatchObject({
      pointer: "/compile_mm_encoder",
      message: `compile_mm_encoder cannot be ${JSON.stringify(value)}`,
      remedy: "use true or false",
    });
  });

  test.each([
    ["64", 64],
    [" 64 ", 64],
    ["64.0", 64],
    ["1_024", 1024],
    ["+8", 8],
    [true, 1],
  ])("%j is the integer %i", (value, integer) => {
    const { config } = parseCompilationConfig({ encoder_cudagraph_max_vision_items_per_batch: value });
    expect(config.encoder_cudagraph_max_vision_items_per_batch).toBe(integer);
  });

  test.each([1.5, "1.5", "1.", ".5", "1e2", "0x10", "1__0", "eight", "", null, [], 1e300, Number.NaN])(
    "%j is no integer",
    (value) => {
      expect(problems({ encoder_cudagraph_max_vision_items_per_batch: value })).toHaveLength(1);
    },
  );

  test.each([
    "mode",
    "debug_dump_path",
    "ir_enable_torch_wrap",
    "splitting_ops",
    "encoder_cudagraph_max_frames_per_batch",
    "compile_sizes",
    "compile_ranges_endpoints",
    "cudagraph_mode",
    "cudagraph_capture_sizes",
    "use_inductor_graph_partition",
    "max_cudagraph_capture_size",
    "fast_moe_cold_start",
    "pass_config.eliminate_noops",
    "pass_config.enable_sp",
    "pass_config.sp_min_token_num",
    "pass_config.fi_allreduce_fusion_max_size_mb",
  ])("%s may be null", (key) => {
    const { config } = parseCompilationConfig(nest(key.split("."), null) as object);
    expect(valueAt(config, `/${key.replace(".", "/")}`)).toBeNull();
  });

  test.each([
    "cache_dir",
    "backend",
    "custom_ops",
    "compile_mm_encoder",
    "cudagraph_mm_encoder",
    "encoder_cudagraph_token_budgets",
    "encoder_cudagraph_max_vision_items_per_batch",
    "compile_cache_save_format",
    "inductor_compile_config",
    "inductor_passes",
    "cudagraph_num_of_warmups",
    "cudagraph_copy_inputs",
    "pass_config",
    "pass_config.rope_kvcache_fusion_max_token_num",
    "dynamic_shapes_config",
    "dynamic_shapes_config.type",
  ])("%s may not be null", (key) => {
    expect(problems(nest(key.split("."), null) as object)[0]?.message).toBe(`${key} cannot be null`);
  });

  test.each([
    [{ compile_sizes: ["2"] }, 'compile_sizes[0] cannot be "2"'],
    [{ compile_cache_save_format: "BINARY" }, 'compile_cache_save_format cannot be "BINARY"'],
    [{ dynamic_shapes_config: { type: "BACKED" } }, 'dynamic_shapes_config.type cannot be "BACKED"'],
    [{ debug_dump_path: 1 }, "debug_dump_path cannot be 1"],
    [{ custom_ops: [true] }, "custom_ops[0] cannot be true"],
    [{ encoder_cudagraph_token_budgets: "64,128" }, 'encoder_cudagraph_token_budgets cannot be "64,128"'],
  ])("text stays text where pydantic leaves it so: %j", (input, message) => {
    expect(problems(input).map((problem) => problem.message)).toEqual([message]);
  });

  test("true is the integer 1 beside strings, too", () => {
    expect(parseCompilationConfig({ compile_sizes: [true, 2] }).config.compile_sizes).toEqual([1, 2]);
  });

  test("human-readable numbers are for dotted arguments, as in vLLM", () => {
    expect(problems('{"encoder_cudagraph_token_budgets": ["1k"]}')[0]).toMatchObject({
      message: 'encoder_cudagraph_token_budgets[0] cannot be "1k"',
      remedy: "write the number out; suffixes are for dotted arguments, such as -cc.key=1k",
    });
  });

  test("says what it read as what", () => {
    expect(notes({ cudagraph_mm_encoder: "true" }, "coerced")).toEqual(['"true" is read as true']);
    expect(notes({ cudagraph_mm_encoder: true, mode: "vllm_compile" }, "coerced")).toEqual([]);
    expect(notes({ mode: false }, "coerced")).toEqual(['false is read as "NONE"']);
  });

  test.each([
    ["none", "NONE"],
    ["NONE", "NONE"],
    ["Vllm_Compile", "VLLM_COMPILE"],
    [0, "NONE"],
    [1, "STOCK_TORCH_COMPILE"],
    [2, "DYNAMO_TRACE_ONCE"],
    [3, "VLLM_COMPILE"],
    [3.0, "VLLM_COMPILE"],
    [false, "NONE"],
    [true, "STOCK_TORCH_COMPILE"],
    [null, null],
  ])("mode %j is %j", (value, mode) => {
    expect(parseCompilationConfig({ mode: value }).config.mode).toBe(mode);
  });

  test.each([
    ["full_and_piecewise", "FULL_AND_PIECEWISE"],
    [2, "FULL"],
    [false, "NONE"],
    [true, "PIECEWISE"],
    [null, null],
  ])("cudagraph_mode %j is %j", (value, mode) => {
    expect(parseCompilationConfig({ cudagraph_mode: value }).config.cudagraph_mode).toBe(mode);
  });

  test.each([4, -1, 1.5, "3", "INVALID_MODE"])("mode %j is invalid, in vLLM's words", (value) => {
    expect(problems({ mode: value })[0]?.message).toBe(
      `Invalid compilation mode: ${value}. Valid modes are: NONE, STOCK_TORCH_COMPILE, DYNAMO_TRACE_ONCE, VLLM_COMPILE`,
    );
  });
});

describe("problems", () => {
  test("are all reported, at their places, in their order", () => {
    const text = `{
  "cudagraph_mm_encoder": "maybe",
  "encoder_cudagraph_token_budgets": [64, -1, 0],
  "mod": 1,
  "pass_config": {"enable_spp": true, "enable_sp": 7}
}`;
    expect(
      problems(text).map(({ line, column, pointer, message }) => [line, column, pointer, message]),
    ).toEqual([
      [2, 27, "/cudagraph_mm_encoder", 'cudagraph_mm_encoder cannot be "maybe"'],
      [
        3,
        43,
        "/encoder_cudagraph_token_budgets/1",
        "All encoder_cudagraph_token_budgets must be positive, got [64, -1, 0]",
      ],
      [4, 3, "/mod", '"mod" is not a key of the compilation config'],
      [5, 19, "/pass_config/enable_spp", '"enable_spp" is not a key of pass_config'],
      [5, 52, "/pass_config/enable_sp", "pass_config.enable_sp cannot be 7"],
    ]);
  });

  test("make one error, which can be read", () => {
    expect(() => parseCompilationConfig('{"mod": 1}', { source: "c.json" })).toThrow(
      'c.json:1:2: "mod" is not a key of the compilation config: did you mean "mode"?',
    );
    expect(() => parseCompilationConfig('{"mod": 1,\n"backend": 1}', { source: "c.json" })).toThrow(
      `the configuration has 2 problems:
  c.json:1:2: "mod" is not a key of the compilation config: did you mean "mode"?
  c.json:2:12: backend cannot be 1: use a string`,
    );
  });

  test("carry their code and data", () => {
    try {
      parseCompilationConfig({ mod: 1 });
      expect.unreachable();
    } catch (error) {
      expect(VitgraphError.is(error) && error.code).toBe("VG_CONFIG_INVALID");
      expect((error as VitgraphError).details.problems).toEqual([
        {
          source: "compilation config",
          pointer: "/mod",
          message: '"mod" is not a key of the compilation config',
          expected: '"mode"',
          remedy: 'did you mean "mode"?',
        },
      ]);
    }
  });

  test.each([
    ["[0, 128]", "All encoder_cudagraph_token_budgets must be positive, got [0, 128]"],
    ["[-1, 64]", "All encoder_cudagraph_token_budgets must be positive, got [-1, 64]"],
  ])("budgets %s, also with graphs off", (budgets, message) => {
    expect(problems(`{"encoder_cudagraph_token_budgets": ${budgets}}`)[0]?.message).toBe(message);
  });

  test.each([
    [
      { encoder_cudagraph_max_vision_items_per_batch: -1 },
      "encoder_cudagraph_max_vision_items_per_batch must be non-negative (0 = auto-infer), got -1",
    ],
    [
      { encoder_cudagraph_max_frames_per_batch: -1 },
      "encoder_cudagraph_max_frames_per_batch must be non-negative (None = auto-infer), got -1",
    ],
    [
      {
        cudagraph_mm_encoder: true,
        encoder_cudagraph_token_budgets: [64],
        encoder_cudagraph_max_vision_items_per_batch: 256,
      },
      "encoder_cudagraph_max_vision_items_per_batch (256) must be <= smallest token budget (64)",
    ],
    [{ custom_ops: ["all", "none"] }, "custom_ops can contain only one base mode: 'all' or 'none'"],
    [{ custom_ops: ["none", "none"] }, "custom_ops can contain only one base mode: 'all' or 'none'"],
    [
      { custom_ops: ["+rms_norm", "-rms_norm"] },
      "custom_ops cannot both enable and disable the same operation: rms_norm",
    ],
    [
      { custom_ops: ["all", "rms_norm"] },
      "Invalid syntax 'rms_norm' for custom op, must be 'all', 'none', '+op' or '-op'",
    ],
    [{ mode: 3, backend: "openxla" }, "Invalid backend for piecewise compilation: openxla"],
    [
      { cudagraph_capture_sizes: [1, 2, 4], max_cudagraph_capture_size: 8 },
      "max_cudagraph_capture_size (8) is not the largest of cudagraph_capture_sizes (4)",
    ],
    [{ compile_sizes: ["all"] }, 'compile_sizes[0] cannot be "all"'],
    [{ compile_cache_save_format: "binry" }, 'compile_cache_save_format cannot be "binry"'],
    [{ inductor_passes: { a: 1 } }, "inductor_passes.a cannot be 1"],
    [{ pass_config: 3 }, "pass_config cannot be 3"],
    [{ inductor_compile_config: [] }, "inductor_compile_config cannot be []"],
    [{ dynamic_shapes_config: { type: "front" } }, 'dynamic_shapes_config.type cannot be "front"'],
  ])("%j", (input, message) => {
    expect(problems(input).map((problem) => problem.message)).toEqual([message]);
  });

  test("a rule about valid keys is not checked on invalid ones", () => {
    expect(
      problems({
        cudagraph_mm_encoder: true,
        encoder_cudagraph_token_budgets: [-5],
        encoder_cudagraph_max_vision_items_per_batch: 256,
      }),
    ).toHaveLength(1);
  });

  test("items above the smallest budget are nobody's problem while graphs are off, as in vLLM", () => {
    const input = {
      encoder_cudagraph_token_budgets: [64],
      encoder_cudagraph_max_vision_items_per_batch: 256,
    };
    expect(parseCompilationConfig(input).config.encoder_cudagraph_max_vision_items_per_batch).toBe(256);
  });

  test.each([
    ["[]", "the compilation config is [], and must be a JSON object", 'use {"key": value, …}'],
    ["null", "the compilation config is null, and must be a JSON object", 'use {"key": value, …}'],
    ["3", "the compilation config is 3, and must be a JSON object", 'use {"key": value, …}, or {"mode": 3}'],
  ])("the text %s", (text, message, remedy) => {
    expect(problems(text)[0]).toMatchObject({ message, remedy, line: 1, column: 1 });
  });

  test("an object that no JSON could be", () => {
    const cyclic: Record<string, unknown> = { mode: 3 };
    cyclic.inductor_compile_config = { back: cyclic };
    expect(problems(cyclic)[0]?.message).toBe("the compilation config contains itself");
    expect(problems({ mode: 3n })[0]?.message).toContain('Invalid compilation mode: "3".');
    expect(problems({ backend: () => 1 })[0]?.message).toBe("backend cannot be () => 1");
    const twice = { size_asserts: true };
    const { config } = parseCompilationConfig({ inductor_compile_config: { a: twice, b: twice } });
    expect(config.inductor_compile_config).toEqual({ a: twice, b: twice });
  });

  test("an unknown key without a near one sends to the schema", () => {
    expect(problems({ temperature: 1 })[0]?.remedy).toBe(
      "remove it, or see `vitgraph config schema` for the keys",
    );
  });
});

describe("keys that cannot be set", () => {
  const refused = Object.entries(compilationConfigSchema.properties ?? {}).filter(
    ([, key]) => key["x-vitgraph-refused"] !== undefined,
  );

  test.each(refused)("%s is refused with the reason", (name, key) => {
    const [problem] = problems(`{"${name}": null}`);
    expect(problem?.message).toContain(`"${name}" cannot be set. `);
    expect(problem?.remedy).toBe(key["x-vitgraph-refused"]?.remedy);
    expect(problem).toMatchObject({ line: 1, column: 2 });
  });

  test.each([
    ["use_inductor", /\bbackend\b.*\bmode\b/],
    ["use_cudagraph", /cudagraph_mode/],
    ["full_cuda_graph", /cudagraph_mode: FULL/],
    ["level", /mode/],
    ["candidate_compile_sizes", /use compile_sizes/],
    ["inductor_compile_sizes", /use compile_sizes/],
    ["capture_sizes", /use cudagraph_capture_sizes/],
    ["max_capture_size", /use max_cudagraph_capture_size/],
    ["compile_ranges_split_points", /use compile_ranges_endpoints/],
    ["dump_graph_dir", /use debug_dump_path/],
    ["pass_config.enable_fusion", /use fuse_norm_quant and fuse_act_quant/],
    ["pass_config.enable_attn_fusion", /use fuse_attn_quant/],
    ["pass_config.enable_noop", /use eliminate_noops/],
    ["pass_config.enable_reshape", /use eliminate_noops/],
    ["pass_config.enable_sequence_parallelism", /use enable_sp/],
    ["pass_config.enable_async_tp", /use fuse_gemm_comms/],
    ["pass_config.enable_fi_allreduce_fusion", /use fuse_allreduce_rms/],
    ["pass_config.fi_allreduce_fusion_max_token_num", /use fi_allreduce_fusion_max_size_mb/],
    ["pass_config.dump_graph_dir", /use debug_dump_path/],
  ])("%s names its successor, which is a key", (key, remedy) => {
    const [problem] = problems(nest(key.split("."), true) as object);
    expect(problem?.message).toContain("cannot be set. It ");
    expect(problem?.remedy).toMatch(remedy);
    const keys = [compilationConfigSchema, compilationConfigSchema.definitions!.PassConfig!].flatMap(
      writableKeys,
    );
    const named = problem?.remedy.match(/\b[a-z]+_[a-z_]+\b/g) ?? [];
    expect(keys).toEqual(expect.arrayContaining(named));
  });

  test.each([
    ["eliminate_noops", "move it into pass_config"],
    ["evaluate_guards", "move it into dynamic_shapes_config"],
    ["pass_config.cudagraph_mode", "move it out: it is a key of the compilation config"],
    ["pass_config.type", "move it into dynamic_shapes_config"],
  ])("%s stands in the wrong place, and is told so", (key, remedy) => {
    expect(problems(nest(key.split("."), true) as object)[0]?.remedy).toBe(remedy);
  });

  test("level names its successor", () => {
    expect(() => parseCompilationConfig({ level: 3 })).toThrow(
      'compilation config: "level" cannot be set. It was replaced by mode: use mode, which takes the same numbers',
    );
  });
});

describe("the first pull request's keys", () => {
  const OLD = "encoder_cudagraph_max_images_per_batch";
  const NEW = "encoder_cudagraph_max_vision_items_per_batch";

  test("max_images is an old name, and a note says so", () => {
    const resolved = parseCompilationConfig(`{"${OLD}": 8}`, { source: "c.json" });
    expect(resolved.config[NEW]).toBe(8);
    expect(Object.hasOwn(resolved.config, OLD)).toBe(false);
    expect(resolved.origin(`/${NEW}`)).toEqual({
      kind: "input",
      place: { source: "c.json", line: 1, column: 44 },
    });
    expect(resolved.notes).toContainEqual({
      source: "c.json",
      line: 1,
      column: 2,
      kind: "renamed",
      level: "warning",
      pointer: `/${OLD}`,
      message: `"${OLD}" is now "${NEW}", and is read as the new one; vLLM refuses the old name`,
      repair: { title: `rename to "${NEW}"`, change: { kind: "rename", pointer: `/${NEW}`, name: NEW } },
    });
  });

  test("its null, which meant infer, is today's 0", () => {
    expect(parseCompilationConfig({ [OLD]: null }).config[NEW]).toBe(0);
  });

  test("both names with one value are one setting", () => {
    expect(parseCompilationConfig({ [OLD]: 8, [NEW]: "8" }).config[NEW]).toBe(8);
  });

  test("both names with different values contradict each other", () => {
    expect(problems({ [OLD]: 8, [NEW]: 4 })).toEqual([
      {
        source: "c.json",
        pointer: `/${OLD}`,
        message: `"${OLD}" is 8 and "${NEW}" is 4, though both name the same setting`,
        expected: `only "${NEW}"`,
        remedy: `remove "${OLD}"`,
      },
    ]);
  });

  test("a wrong value is reported where the old name stands", () => {
    expect(problems(`{\n "${OLD}": -2}`)[0]).toMatchObject({
      line: 2,
      column: 44,
      message: `${NEW} must be non-negative (0 = auto-infer), got -2`,
    });
  });

  test("verbose is taken, and vLLM's refusal noted", () => {
    expect(encoderOptions(parseCompilationConfig({ encoder_cudagraph_verbose: true }).config).verbose).toBe(
      true,
    );
    expect(notes({ encoder_cudagraph_verbose: true }, "not-in-vllm")).toEqual([
      `"encoder_cudagraph_verbose" is refused by today's vLLM`,
    ]);
  });

  test.each([
    [{ encoder_cudagraph_piecewise: false }, "the whole encoder forward is captured, attention included"],
    [{ encoder_cudagraph_capture_sizes: null }, "there are no piecewise graphs"],
    [{ encoder_cudagraph_capture_sizes: [] }, "there are no piecewise graphs"],
    [{ encoder_spatial_merge_size: 2 }, "the checkpoint's vision_config.spatial_merge_size is used"],
  ])("%j is accepted without effect", (input, reason) => {
    expect(notes(input, "ignored")).toEqual([`"${Object.keys(input)[0]}" has no effect: ${reason}`]);
  });

  test.each([
    [
      { encoder_cudagraph_piecewise: true },
      "encoder_cudagraph_piecewise is true, and must be false, since vitgraph captures the whole encoder forward, attention included",
      "remove the key, and set cudagraph_mm_encoder to true",
    ],
    [
      { encoder_cudagraph_piecewise: "true" },
      "encoder_cudagraph_piecewise is true, and must be false, since vitgraph captures the whole encoder forward, attention included",
      "remove the key, and set cudagraph_mm_encoder to true",
    ],
    [
      { encoder_cudagraph_capture_sizes: [256, 512] },
      "encoder_cudagraph_capture_sizes is [256,512], and must be null or an empty list, since vitgraph has no piecewise graphs",
      "move the sizes to encoder_cudagraph_token_budgets, which is in the same unit",
    ],
    [
      { encoder_spatial_merge_size: 0 },
      "encoder_spatial_merge_size cannot be 0",
      "use a positive integer, or null",
    ],
  ])("%j is refused with the reason", (input, message, remedy) => {
    expect(problems(input)[0]).toMatchObject({ message, remedy });
  });
});

describe("notes", () => {
  test("the language model's keys are named once each", () => {
    const input = {
      mode: 3,
      pass_config: { enable_sp: true, fuse_act_quant: true },
      compile_mm_encoder: true,
    };
    expect(notes(input, "language-model")).toEqual([
      '"mode" belongs to the language model: it is checked, and ignored',
      '"pass_config" belongs to the language model: it is checked, and ignored',
    ]);
  });

  test("a key that occurs twice in a text keeps its last value", () => {
    const text = '{"mode": 1, "mode": 2}';
    expect(parseCompilationConfig(text).config.mode).toBe("DYNAMO_TRACE_ONCE");
    expect(parseCompilationConfig(text, { source: "c.json" }).notes[0]).toEqual({
      source: "c.json",
      line: 1,
      column: 13,
      kind: "duplicate",
      level: "warning",
      pointer: "/mode",
      message: '"mode" occurs twice: the last one counts',
      repair: { title: "remove the first one", change: { kind: "remove-first", pointer: "/mode" } },
    });
  });

  test("$schema is an editor's, and does not reach the config", () => {
    const { config, notes } = parseCompilationConfig({ $schema: "./schema.json" });
    expect(Object.hasOwn(config, "$schema")).toBe(false);
    expect(notes.map(({ level, message }) => [level, message])).toEqual([
      ["info", `"$schema" is refused by today's vLLM`],
    ]);
  });
});

test("whatever the input, the answer is a config or a list of problems", () => {
  const key = fc.constantFrom(...Object.keys(compilationConfigSchema.properties ?? {}), "unknown", "");
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.dictionary(key, fc.jsonValue()), fc.string()), (input) => {
      try {
        parseCompilationConfig(input as string);
      } catch (error) {
        expect(problemsOf(error).length, String(error)).toBeGreaterThan(0);
      }
    }),
    { numRuns: 500 },
  );
});

test("a parsed config parses to itself", () => {
  const { config } = parseCompilationConfig({
    mode: "none",
    cudagraph_mode: 1,
    cudagraph_mm_encoder: "yes",
    encoder_cudagraph_token_budgets: ["64", 128],
    pass_config: { sp_min_token_num: 8 },
  });
  expect(parseCompilationConfig(JSON.stringify(config)).config).toEqual(config);
});

test("undefined, such as that of a variable that is not set, is no config", () => {
  expect(() => parseCompilationConfig(undefined as never)).toThrow(/must be a JSON object/);
});
