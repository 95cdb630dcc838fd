import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCHITECTURES } from "@vitgraph/core";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFakeIo } from "../testing.js";
import { registerConfig } from "./config.js";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-config-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file into the test's folder, and returns its path. */
function file(name: string, content: string | object): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** Runs `vitgraph config ARGS…`; the folder's path is left out of what it prints. */
async function run(...args: string[]) {
  return runWith("", ...args);
}

async function runWith(stdin: string, ...args: string[]) {
  const io = createFakeIo({ stdin });
  const program = new Command("vitgraph")
    .exitOverride()
    .configureOutput({ writeErr: io.stderr, writeOut: io.stdout });
  registerConfig(program, io);
  await program.parseAsync(["config", ...args], { from: "user" });
  const short = (text: string) => text.replaceAll(`${folder}/`, "");
  return { stdout: short(io.out), stderr: short(io.err), exitCode: io.exitCode };
}

/** A checkpoint's files, as far as the linter reads them. */
function model(name: string, config: object, processors: Readonly<Record<string, object>> = {}): string {
  const directory = mkdtempSync(join(folder, name));
  const files = { "config.json": config, ...processors };
  for (const [path, content] of Object.entries(files)) {
    writeFileSync(join(directory, path), JSON.stringify(content));
  }
  return directory;
}

const QWEN3_VL = {
  model_type: "qwen3_vl",
  vision_config: {
    depth: 27,
    hidden_size: 1152,
    intermediate_size: 4304,
    num_heads: 16,
    in_channels: 3,
    patch_size: 16,
    temporal_patch_size: 2,
    spatial_merge_size: 2,
    num_position_embeddings: 2304,
    out_hidden_size: 4096,
    deepstack_visual_indexes: [8, 16, 24],
    hidden_act: "gelu_pytorch_tanh",
  },
};

describe("config check", () => {
  test("a glob that matches nothing is a finding, and the other files are checked", async () => {
    const path = file("fine.json", { compile_mm_encoder: true, cudagraph_mm_encoder: true });
    const { stdout, exitCode } = await run("check", "--json", path, join(folder, "nomatch*"));
    expect(JSON.parse(stdout)).toEqual([
      {
        file: "nomatch*",
        severity: "error",
        message: "no file matches nomatch*",
        remedy: "check the pattern: * and ? do not cross directories, ** does",
      },
    ]);
    expect(exitCode).toBe(1);
  });

  test("a good file", async () => {
    const path = file("good.json", { compile_mm_encoder: true, cudagraph_mm_encoder: true });
    expect(await run("check", path, "--model", model("m", QWEN3_VL))).toEqual({
      stdout: "good.json: 0 errors, 0 warnings\n",
      stderr: "",
      exitCode: 0,
    });
  });

  test("what is invalid, each with place and remedy", async () => {
    const path = file("bad.yaml", "compilation-config:\n  cudagraph_mm_encodre: true\n  mode: fast\n");
    expect(await run("check", path)).toEqual({
      stdout: `bad.yaml:2:3: error: "cudagraph_mm_encodre" is not a key of the compilation config: did you mean "cudagraph_mm_encoder"?
bad.yaml:3:9: error: Invalid compilation mode: fast. Valid modes are: NONE, STOCK_TORCH_COMPILE, DYNAMO_TRACE_ONCE, VLLM_COMPILE: use one of NONE, STOCK_TORCH_COMPILE, DYNAMO_TRACE_ONCE, VLLM_COMPILE, or its number 0 to 3
bad.yaml: 2 errors, 0 warnings
`,
      stderr: "",
      exitCode: 1,
    });
  });

  test("the arguments of a compose file", async () => {
    const path = file(
      "compose.yaml",
      `services:\n  vllm:\n    command: >-\n      -cc '{"cudagraph_mm_encodre": true}'\n`,
    );
    expect(await run("check", path)).toEqual({
      stdout: `compose.yaml:4:13: error: "cudagraph_mm_encodre" is not a key of the compilation config: did you mean "cudagraph_mm_encoder"?
compose.yaml: 1 error, 0 warnings
`,
      stderr: "",
      exitCode: 1,
    });
  });

  test("what is unlikely to be meant, by the model", async () => {
    const path = file(
      "odd.yaml",
      `optimization-level: 0
compilation-config:
  cudagraph_mm_encoder: true
  encoder_cudagraph_token_budgets: [32, 64, 64, 1024]
  encoder_spatial_merge_size: 3
`,
    );
    const { stdout, exitCode } = await run(
      "check", path, "--model", model("m", QWEN3_VL), "--image", "640x480", "--image", "1920x1080", "--no-video",
    ); // biome-ignore format: a command line
    expect(
      stdout,
    ).toBe(`odd.yaml:1:1: warning: encoder graphs are asked for while cudagraph_mode is NONE: vLLM then silently captures none: set another cudagraph_mode, or cudagraph_mm_encoder to false; vitgraph captures them all the same [cudagraph-mode-none]
odd.yaml:4:36: warning: an image of 1920 × 1080 pixels has 2040 tokens, and fits no token budget: add a budget of 2040 or more: it runs eagerly otherwise [image-never-fits]
odd.yaml:4:37: warning: no image can reach token budget 32: the smallest has 64 tokens: remove it [budget-unreachable]
odd.yaml:4:45: warning: token budget 64 is listed twice: remove one: it counts once here, and vLLM captures it twice [budget-duplicate]
odd.yaml:5:3: note: "encoder_spatial_merge_size" has no effect: the checkpoint's vision_config.spatial_merge_size is used
odd.yaml:5:3: warning: "encoder_spatial_merge_size" is refused by today's vLLM
odd.yaml:5:31: error: encoder_spatial_merge_size is 3, and the checkpoint's is 2: remove it: the checkpoint's is used [merge-size]
odd.yaml: 1 error, 5 warnings
`);
    expect(exitCode).toBe(1);
  });

  test("an image that the model cuts into tiles has the tokens of all of them", async () => {
    const path = file("tiles.json", {
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [256, 1024],
    });
    const tiled = model("m", ARCHITECTURES["internvl3-1b"]);
    const { stdout } = await run("check", path, "--model", tiled, "--image", "1920x1080");
    // 4 × 2 tiles of 448 pixels and a thumbnail, of 256 tokens each.
    expect(stdout).toContain("an image of 1920 × 1080 pixels has 2304 tokens, and fits no token budget");
  });

  test("a size that the model refuses is an error", async () => {
    const path = file("strip.json", { cudagraph_mm_encoder: true });
    await expect(run("check", path, "--model", model("m", QWEN3_VL), "--image", "1000x2")).rejects.toThrow(
      "image of 1000 × 2 pixels has an aspect ratio of 500, above 200",
    );
  });

  test("a model whose encoder is neither compiled nor captured", async () => {
    const path = file("on.json", { compile_mm_encoder: true, cudagraph_mm_encoder: true });
    const { stdout, exitCode } = await run("check", path, "--model", model("m", { model_type: "blip_2" }));
    expect(stdout).toContain(
      "the encoder of model type blip_2 is not compiled: compile_mm_encoder has no effect",
    );
    expect(stdout).toContain(
      "the encoder of model type blip_2 is not captured: cudagraph_mm_encoder has no effect",
    );
    expect(exitCode).toBe(0);
  });

  test("the processor's files are read", async () => {
    const path = file("b.json", {
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [128, 256, 1024, 8192, 16384],
      encoder_cudagraph_max_vision_items_per_batch: 1,
    });
    const processor = { size: { shortest_edge: 65_536, longest_edge: 131_072 } };
    // By its class, a video's bounds are those of each frame, so that a clip can have any size.
    const images = model("m", QWEN3_VL, {
      "preprocessor_config.json": { ...processor, image_processor_type: "Qwen2VLImageProcessor" },
    });
    expect((await run("check", path, "--model", images)).stdout).toContain(": 0 errors, 0 warnings");
    expect((await run("check", path, "--model", images, "--no-video")).stdout).toContain(
      // 128 tokens within the bound; a strip of 1 to 200, whose short side is a token, has 159.
      "no batch can reach token budget 1024: the largest has 159 tokens, and fits 256",
    );
    const videos = model("m", QWEN3_VL, {
      "preprocessor_config.json": processor,
      "video_preprocessor_config.json": { size: { shortest_edge: 4096, longest_edge: 524_288 } },
    });
    const { stdout } = await run("check", path, "--model", videos);
    expect(stdout).not.toContain("token budget 256:");
    expect(stdout).toContain(
      // 256 tokens within the bound; 384 pairs of frames have up to 11 tokens each.
      "no batch can reach token budget 16384: the largest has 4224 tokens, and fits 8192",
    );
  });

  test("the range of inferred budgets", async () => {
    const path = file("items.json", {
      cudagraph_mm_encoder: true,
      encoder_cudagraph_max_vision_items_per_batch: 200,
    });
    const { stdout, exitCode } = await run(
      "check",
      path,
      "--model",
      model("m", QWEN3_VL),
      "--max-batch-tokens",
      "128",
    );
    expect(stdout).toContain(
      "items.json:1:77: error: encoder_cudagraph_max_vision_items_per_batch (200) must be <= smallest token budget (128)",
    );
    expect(exitCode).toBe(1);
  });

  test("--strict takes warnings for errors", async () => {
    const path = file("v.json", { encoder_cudagraph_verbose: true });
    expect((await run("check", path)).exitCode).toBe(0);
    expect((await run("check", path, "--strict")).exitCode).toBe(1);
  });

  test("several files, each with its counts; an unreadable one is one error", async () => {
    const good = file("several-1.json", { cudagraph_mm_encoder: true });
    const bad = file("several-2.json", { mod: 1 });
    const { stdout, exitCode } = await run("check", good, join(folder, "absent.json"), bad);
    expect(stdout).toMatch(
      /^several-1\.json: 0 errors, 0 warnings\nabsent\.json: error: cannot read absent\.json .*\nabsent\.json: 1 error, 0 warnings\nseveral-2\.json:1:2: error: .*\nseveral-2\.json: 1 error, 0 warnings\n$/,
    );
    expect(exitCode).toBe(1);
  });

  test.each([
    ["YAML", "compilation-config:\n  mode: fast\n", "standard input:2:9: error: Invalid compilation mode"],
    ["JSON", ' {"mode": "fast"}', "standard input:1:11: error: Invalid compilation mode"],
  ])("standard input, as %s by its content", async (_, text, line) => {
    const { stdout } = await runWith(text, "check", "-");
    expect(stdout).toContain(line);
  });

  test("a file without a known ending, by its content", async () => {
    const path = file("serve.conf", "compilation-config:\n  cudagraph_mm_encoder: true\n");
    expect((await run("check", path)).stdout).toBe("serve.conf: 0 errors, 0 warnings\n");
  });

  test("--json prints the findings of all files as one array", async () => {
    const warned = file("json-1.json", { encoder_cudagraph_token_budgets: [64] });
    const bad = file("json-2.yaml", "compilation-config:\n  mode: fast\n");
    const { stdout, exitCode } = await run("check", "--json", warned, bad);
    expect(JSON.parse(stdout)).toEqual([
      {
        file: "json-1.json",
        line: 1,
        column: 36,
        severity: "warning",
        rule: "budgets-unused",
        message: expect.any(String),
        remedy: expect.any(String),
        fix: {
          title: "set cudagraph_mm_encoder to true",
          edits: [{ start: 1, end: 1, text: '"cudagraph_mm_encoder": true, ' }],
        },
      },
      {
        file: "json-2.yaml",
        line: 2,
        column: 9,
        severity: "error",
        message: expect.stringContaining("Invalid compilation mode: fast"),
        remedy: expect.stringContaining("use one of NONE"),
      },
    ]);
    expect(exitCode).toBe(1);
    const good = file("json-3.json", {});
    expect(await run("check", "--json", good)).toMatchObject({ stdout: "[]\n", exitCode: 0 });
  });

  test.each([
    ["--max-batch-tokens", ["--max-batch-tokens", "128"]],
    ["--image", ["--image", "640x480"]],
    ["--no-video", ["--no-video"]],
  ])("%s without a model is refused: it has no effect", async (name, args) => {
    await expect(run("check", file("fine.json", {}), ...args)).rejects.toThrow(
      `error: ${name} has no effect without --model: add it`,
    );
  });

  test("a model's files that are not there, or not JSON", async () => {
    const path = file("fine.json", {});
    await expect(run("check", path, "--model", join(folder, "absent"))).rejects.toMatchObject({
      code: "VG_FILE_UNREADABLE",
      remedy: "give the directory of a checkpoint, or its id on the Hugging Face hub (ORG/NAME)",
    });
    const broken = mkdtempSync(join(folder, "m"));
    writeFileSync(join(broken, "config.json"), "{");
    await expect(run("check", path, "--model", broken)).rejects.toMatchObject({ code: "VG_MODEL_INVALID" });
    writeFileSync(join(broken, "config.json"), "[]");
    await expect(run("check", path, "--model", broken)).rejects.toThrow(
      "is not a JSON object: copy or download it again",
    );
    writeFileSync(join(broken, "config.json"), "[".repeat(100_000));
    await expect(run("check", path, "--model", broken)).rejects.toThrow("is nested more than 64 deep");
  });

  test("sizes that are none", async () => {
    await expect(run("check", "x.json", "--image", "large")).rejects.toThrow(
      "expected a size such as 1920x1080",
    );
  });
});

describe("config explain", () => {
  test("prints what was resolved, and from where", async () => {
    const path = file(
      "serve.yaml",
      "port: 1\ncompilation-config:\n  cudagraph_mm_encoder: true\n  cache_dir: /a\n",
    );
    const { stdout, stderr, exitCode } = await run(
      "explain", "--given", "serve", "Qwen/Qwen3-VL-8B-Instruct", "--port", "80", "--config", path,
      "-cc", '{"cache_dir": "/b", "compile_mm_encoder": true}', "-cc.encoder_cudagraph_token_budgets+=1024,2048",
      "-cc.cache_dir=/c", "-O1",
    ); // biome-ignore format: a command line
    expect(stdout).toBe(`the encoder's                    value        from
--------------------------------------------------------------------------------------------
compile_mm_encoder               true         -cc:1:43
cudagraph_mm_encoder             true         serve.yaml:3:25
encoder_cudagraph_token_budgets  [1024,2048]  -cc.encoder_cudagraph_token_budgets+=1024,2048

the language model's  value           from
----------------------------------------------------------
mode                  "VLLM_COMPILE"  optimization level 1
cache_dir             "/c"            -cc.cache_dir=/c
cudagraph_mode        "PIECEWISE"     optimization level 1
`);
    expect(stderr).toContain("-cc: warning: the JSON and the dotted arguments are merged");
    expect(stderr).toContain(
      '-cc.cache_dir=/c: warning: cache_dir is given twice: "/c" here replaces "/b" of -cc:1:15',
    );
    expect(stderr).toContain(
      "note: ignored, not part of the compilation config: serve Qwen/Qwen3-VL-8B-Instruct --port 80\n" +
        "note: in the config file, but not part of the compilation config: port\n",
    );
    expect(exitCode).toBe(0);
  });

  test("names dotted options of other parts, as they were written", async () => {
    const { stderr } = await run("explain", "--hf-overrides.a.b", "1", "--speculative-config.model=x");
    expect(stderr).toContain("compilation config: --hf-overrides.a.b --speculative-config.model\n");
  });

  test("prints every key by default", async () => {
    const { stdout } = await run("explain");
    expect(stdout).toMatch(/^encoder_cudagraph_max_frames_per_batch +null +default$/m);
    expect(stdout).toMatch(/^pass_config\.eliminate_noops +true +default$/m);
    expect(stdout).toMatch(/^cudagraph_mode +"FULL_AND_PIECEWISE" +optimization level 2$/m);
  });

  test("prints JSON", async () => {
    const { stdout } = await run("explain", "-cc.mode", "3", "--json", "--given");
    expect(JSON.parse(stdout)).toEqual([
      { key: "mode", value: "VLLM_COMPILE", from: "-cc.mode=3", scope: "language-model" },
      {
        key: "cudagraph_mode",
        value: "FULL_AND_PIECEWISE",
        from: "optimization level 2",
        scope: "language-model",
      },
    ]);
  });

  test("fails with every problem", async () => {
    await expect(run("explain", "-cc", '{"mod": 1}', "-O9")).rejects.toThrow(
      'the configuration has 2 problems:\n  -O: the optimization level cannot be "9": use -O0 to -O3\n  -cc:1:2: "mod"',
    );
  });

  test("an unreadable file is named", async () => {
    await expect(run("explain", "--config", join(folder, "none.yaml"))).rejects.toMatchObject({
      code: "VG_FILE_UNREADABLE",
    });
  });
});

describe("config schema", () => {
  test("prints the schema that editors use", async () => {
    const { stdout } = await run("schema");
    expect(JSON.parse(stdout)).toMatchObject({ title: "CompilationConfig", type: "object" });
  });

  test("--serve prints that of a --config file", async () => {
    const { stdout } = await run("schema", "--serve");
    expect(JSON.parse(stdout).properties).toHaveProperty("compilation-config");
  });
});
