import { describe, expect, test } from "vitest";
import {
  compilationConfigSchema,
  dereference,
  describeExpected,
  type SchemaNode,
  schemaAt,
} from "./schema.js";

/** Every field of vLLM's CompilationConfig that a user may set, with its default. */
const VLLM_KEYS: Readonly<Record<string, unknown>> = {
  mode: null,
  debug_dump_path: null,
  cache_dir: "",
  compile_cache_save_format: "binary",
  backend: "",
  custom_ops: [],
  ir_enable_torch_wrap: null,
  splitting_ops: null,
  compile_mm_encoder: false,
  cudagraph_mm_encoder: false,
  encoder_cudagraph_token_budgets: [],
  encoder_cudagraph_max_vision_items_per_batch: 0,
  encoder_cudagraph_max_frames_per_batch: null,
  compile_sizes: null,
  compile_ranges_endpoints: null,
  inductor_compile_config: {},
  inductor_passes: {},
  cudagraph_mode: null,
  cudagraph_num_of_warmups: 0,
  cudagraph_capture_sizes: null,
  cudagraph_copy_inputs: false,
  cudagraph_specialize_lora: true,
  use_inductor_graph_partition: null,
  pass_config: {},
  max_cudagraph_capture_size: null,
  dynamic_shapes_config: {},
  fast_moe_cold_start: null,
};

const VLLM_PASSES: Readonly<Record<string, unknown>> = {
  fuse_norm_quant: null,
  fuse_act_quant: null,
  fuse_attn_quant: null,
  enable_sp: null,
  fuse_gemm_comms: null,
  fuse_allreduce_rms: null,
  enable_qk_norm_rope_fusion: null,
  fuse_rope_kvcache_cat_mla: null,
  fuse_act_padding: null,
  fuse_mla_dual_rms_norm: null,
  fuse_rope_kvcache: null,
  fuse_qk_norm_rope_kvcache: null,
  eliminate_noops: true,
  rope_kvcache_fusion_max_token_num: 256,
  fi_allreduce_fusion_max_size_mb: null,
  sp_min_token_num: null,
};

const VLLM_DYNAMIC_SHAPES: Readonly<Record<string, unknown>> = {
  type: "backed",
  evaluate_guards: false,
  assume_32_bit_indexing: false,
};

/** Fields that vLLM fills in at run time (`init=False`). */
const RUNTIME_KEYS = [
  "local_cache_dir",
  "enabled_custom_ops",
  "disabled_custom_ops",
  "traced_files",
  "compilation_time",
  "encoder_compilation_time",
  "static_forward_context",
  "static_all_moe_layers",
];

const FIRST_PULL_REQUEST_KEYS = [
  "encoder_cudagraph_verbose",
  "encoder_cudagraph_max_images_per_batch",
  "encoder_cudagraph_piecewise",
  "encoder_cudagraph_capture_sizes",
  "encoder_spatial_merge_size",
];

const properties = compilationConfigSchema.properties ?? {};

function fields(path: string[]): Readonly<Record<string, SchemaNode>> {
  return schemaAt(path)?.properties ?? {};
}

describe("the schema", () => {
  test.each(Object.entries(VLLM_KEYS))("has vLLM's key %s with its default", (key, value) => {
    expect(properties[key]).toBeDefined();
    expect(properties[key]?.default).toEqual(value);
  });

  test("has vLLM's passes and dynamic shapes with their defaults, and no others", () => {
    const defaults = (path: string) =>
      Object.fromEntries(
        Object.entries(fields([path]))
          .filter(([, node]) => node["x-vitgraph-refused"] === undefined)
          .map(([name, node]) => [name, node.default]),
      );
    expect(defaults("pass_config")).toEqual(VLLM_PASSES);
    expect(defaults("dynamic_shapes_config")).toEqual(VLLM_DYNAMIC_SHAPES);
  });

  test("knows the keys of the first pull request, and nothing else that can be set", () => {
    const settable = Object.keys(properties).filter(
      (key) => key !== "$schema" && properties[key]?.["x-vitgraph-refused"] === undefined,
    );
    expect(settable.sort()).toEqual([...Object.keys(VLLM_KEYS), ...FIRST_PULL_REQUEST_KEYS].sort());
  });

  test.each(RUNTIME_KEYS)("refuses %s, which the engine fills in", (key) => {
    expect(properties[key]?.["x-vitgraph-refused"]?.reason).toContain("at run time");
  });

  const described = [
    ...Object.entries(properties),
    ...Object.entries(fields(["pass_config"])),
    ...Object.entries(fields(["dynamic_shapes_config"])),
  ];

  test.each(described)("tells an editor about %s", (name, key) => {
    expect(key.title).toBeTruthy();
    expect(key.description).toBeTruthy();
    expect(key.markdownDescription).toBeTruthy();
    expect(key["x-vitgraph-scope"]).toBeTruthy();
    if (key["x-vitgraph-refused"] === undefined && name !== "$schema") {
      expect(key.examples?.length).toBeGreaterThan(0);
    }
  });

  test.each(described)("has a default of %s that is of its type", (_name, key) => {
    const node = dereference(key);
    if (key.default === undefined || node.properties !== undefined) return;
    if (node.enum !== undefined) expect(node.enum).toContainEqual(key.default);
    else expect([node.type].flat()).toContain(jsonType(key.default));
  });
});

describe("describeExpected", () => {
  test.each([
    [["cudagraph_mm_encoder"], "true or false"],
    [["encoder_cudagraph_token_budgets"], "a list of positive integers"],
    [["encoder_cudagraph_token_budgets", "0"], "a positive integer"],
    [["encoder_cudagraph_max_frames_per_batch"], "an integer of 0 or more, or null"],
    [["mode"], "one of NONE, STOCK_TORCH_COMPILE, DYNAMO_TRACE_ONCE, VLLM_COMPILE, or its number 0 to 3"],
    [["compile_cache_save_format"], "one of binary, unpacked"],
    [["compile_sizes"], 'a list of integers or "cudagraph_capture_sizes", or null'],
    [["inductor_passes"], "an object of strings"],
    [["inductor_compile_config"], "an object"],
    [["pass_config", "fi_allreduce_fusion_max_size_mb"], "a number, or null"],
    [["encoder_cudagraph_piecewise"], /^false, since vitgraph captures the whole encoder/],
  ])("says what %j should be", (path, phrase) => {
    const text = describeExpected(schemaAt(path)!);
    if (typeof phrase === "string") expect(text).toBe(phrase);
    else expect(text).toMatch(phrase);
  });
});

function jsonType(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" ? "integer" : typeof value;
}
