/** Parsing and validating a config: `pnpm bench`. The aim is 0.2 ms each; the mean is what to read. */
import { bench, describe } from "vitest";
import { parseCompilationConfig } from "../src/parse.js";
import { parseServeArguments } from "../src/serve/arguments.js";
import { parseYamlDocument } from "../src/yaml.js";

const USUAL = JSON.stringify({
  compile_mm_encoder: true,
  cudagraph_mm_encoder: true,
  encoder_cudagraph_token_budgets: [512, 1024, 2048, 4096, 8192],
  encoder_cudagraph_max_vision_items_per_batch: 8,
});

/** Every key that there is, with its default. */
const COMPLETE = JSON.stringify(parseCompilationConfig("{}").config, null, 2);

const WRONG = '{"cudagraph_mm_encodre": true, "mode": "fast", "encoder_cudagraph_token_budgets": [0]}';

const YAML = `model: m
compilation-config:
  cudagraph_mm_encoder: true
  encoder_cudagraph_token_budgets: [512, 1024]
`;

describe("parse and validate", () => {
  bench("the usual config, as text", () => {
    parseCompilationConfig(USUAL);
  });

  bench("a config with every key, as text", () => {
    parseCompilationConfig(COMPLETE);
  });

  bench("dotted arguments", () => {
    parseServeArguments(["-O3", "-cc", USUAL, "-cc.mode=3", "-cc.encoder_cudagraph_token_budgets+=16384"]);
  });

  bench("a wrong config, with three problems", () => {
    try {
      parseCompilationConfig(WRONG);
    } catch {}
  });

  bench("a YAML file", () => {
    parseYamlDocument(YAML, "serve.yaml");
  });
});
