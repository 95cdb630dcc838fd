import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-init-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const pathOf = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(pathOf(name), "utf8");

async function init(name: string, ...args: string[]) {
  const io = createFakeIo();
  const code = await main(["config", "init", pathOf(name), ...args], io);
  return { code, out: io.out.replaceAll(`${folder}/`, ""), err: io.err.replaceAll(`${folder}/`, "") };
}

async function check(name: string, ...args: string[]): Promise<string> {
  const io = createFakeIo();
  await main(["config", "check", pathOf(name), ...args], io);
  return io.out.replaceAll(`${folder}/`, "");
}

function model(config: object): string {
  writeFileSync(pathOf("config.json"), JSON.stringify(config));
  return folder;
}

function installSchemas(directory: string): void {
  for (const name of ["generated/compilation-config.schema.json", "generated/serve-config.schema.json"]) {
    const path = join(directory, "node_modules/@vitgraph/config/schema", name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "{}");
  }
}

test("a YAML file has the schema's modeline, and a comment for each key", async () => {
  installSchemas(folder);
  expect(await init("serve.yaml")).toEqual({ code: 0, out: "wrote serve.yaml\n", err: "" });
  expect(read("serve.yaml").replaceAll(`${folder}/`, "")).toBe(
    `# yaml-language-server: $schema=./node_modules/@vitgraph/config/schema/generated/serve-config.schema.json
# For vitgraph serve --config serve.yaml, and vllm serve --config serve.yaml.

compilation-config:
  # Compile the multimodal encoder: fusion rules run over its op graph.
  compile_mm_encoder: true
  # Capture the whole encoder forward as one graph for each token budget, and replay it.
  cudagraph_mm_encoder: true
`,
  );
  expect(await check("serve.yaml")).toBe("serve.yaml: 0 errors, 0 warnings\n");
});

test("a JSON file is a compilation config with its schema, which vLLM refuses", async () => {
  installSchemas(folder);
  const { err } = await init("cc.json");
  expect(err).toBe("note: vLLM refuses the key $schema: remove it where the file goes to vLLM\n");
  expect(JSON.parse(read("cc.json"))).toEqual({
    $schema: "./node_modules/@vitgraph/config/schema/generated/compilation-config.schema.json",
    compile_mm_encoder: true,
    cudagraph_mm_encoder: true,
  });
  expect(await check("cc.json")).toContain("cc.json: 0 errors, 0 warnings\n");
});

test("the schema is that of the nearest node_modules; without one, a note says what to install", async () => {
  mkdirSync(pathOf("deploy"));
  expect((await init("deploy/a.yml")).err).toContain("npm install --save-dev @vitgraph/config");
  installSchemas(folder);
  expect((await init("deploy/b.yml")).err).toBe("");
  expect(read("deploy/b.yml")).toContain("$schema=../node_modules/@vitgraph/config/schema/generated/");
});

test("a model's budgets are filled in, and the linter has nothing to say about them", async () => {
  installSchemas(folder);
  // Images of 256 tokens and more.
  writeFileSync(pathOf("preprocessor_config.json"), JSON.stringify({ min_pixels: 32 * 32 * 256 }));
  const directory = model({
    model_type: "qwen3_vl",
    vision_config: {
      depth: 2,
      hidden_size: 64,
      intermediate_size: 128,
      num_heads: 4,
      in_channels: 3,
      patch_size: 16,
      temporal_patch_size: 2,
      spatial_merge_size: 2,
      num_position_embeddings: 2304,
      out_hidden_size: 128,
      deepstack_visual_indexes: [],
      hidden_act: "gelu_pytorch_tanh",
    },
  });
  const { err } = await init("serve.yaml", "--model", directory, "--max-batch-tokens", "4096");
  expect(err).toBe("");
  expect(read("serve.yaml")).toContain(`\nmodel: ${directory}\n`);
  const [, budgets = ""] = /encoder_cudagraph_token_budgets: (.*)/.exec(read("serve.yaml")) ?? [];
  expect(JSON.parse(budgets)).toEqual([256, 512, 1024, 2048, 4096]);
  const found = await check("serve.yaml", "--model", directory, "--max-batch-tokens", "4096");
  expect(found).not.toContain("budget-unreachable");
});

test("an encoder that is neither compiled nor captured has both turned off, and no budgets", async () => {
  installSchemas(folder);
  const { err } = await init("cc.json", "--model", model({ model_type: "blip_2" }));
  expect(err).toContain("note: the encoder of model type blip_2 is not captured: the file has no budgets\n");
  expect(JSON.parse(read("cc.json"))).toMatchObject({
    compile_mm_encoder: false,
    cudagraph_mm_encoder: false,
  });
  expect(read("cc.json")).not.toContain("budgets");
});

test("a file that exists is left as it is", async () => {
  writeFileSync(pathOf("serve.yaml"), "model: mine\n");
  const { code, err } = await init("serve.yaml");
  expect(code).toBe(1);
  expect(err).toBe(
    "error: cannot write serve.yaml (it exists): give another name, or remove it first [VG_FILE_UNWRITABLE]\n",
  );
  expect(read("serve.yaml")).toBe("model: mine\n");
});

test.each<[string[], string]>([
  [["cc.txt"], "the file is written as .yaml, .yml or .json"],
  [["cc.json", "--max-batch-tokens", "64"], "--max-batch-tokens has no effect without --model: add it"],
])("a command line that makes no sense is refused: %s", async ([name = "", ...args], message) => {
  const { code, err } = await init(name, ...args);
  expect(code).toBe(2);
  expect(err).toContain(message);
});
