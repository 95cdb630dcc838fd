/**
 * The published schemas in VS Code's JSON language service: completion, hover and diagnostics, in a JSON file that names
 * its schema, in a `--config` file, and in JSON inside YAML. Also checks that the schemas only have standard keywords, as
 * ajv's strict mode demands.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { compilationConfigSchema, parseCompilationConfig, problemsOf } from "@vitgraph/config";
import { extractJson } from "@vitgraph/config/yaml";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, test } from "vitest";
import {
  type CompletionItem,
  type Diagnostic,
  DiagnosticSeverity,
  getLanguageService,
  type LanguageService,
  MarkupContent,
  MarkupKind,
  type Position,
  TextDocument,
} from "vscode-json-languageservice";

const FOLDER = new URL("../schema/generated/", import.meta.url);
const SCHEMA = "./compilation-config.schema.json";

let service: LanguageService;

beforeAll(() => {
  service = getLanguageService({
    schemaRequestService: (uri) => readFile(fileURLToPath(uri), "utf8"),
    workspaceContext: { resolveRelativePath: (path, resource) => new URL(path, resource).href },
    clientCapabilities: {
      textDocument: {
        hover: { contentFormat: [MarkupKind.Markdown] },
        completion: { completionItem: { documentationFormat: [MarkupKind.Markdown] } },
      },
    },
  });
  service.configure({
    validate: true,
    schemas: [
      { uri: new URL(SCHEMA, FOLDER).href, fileMatch: ["*.cc.json"] },
      { uri: new URL("serve-config.schema.json", FOLDER).href, fileMatch: ["serve.json"] },
    ],
  });
});

/** Opens a text as a file next to the schema; "|" marks the cursor. */
function open(marked: string, name = "a.cc.json") {
  const offset = marked.indexOf("|");
  const text = marked.replace("|", "");
  const document = TextDocument.create(new URL(name, FOLDER).href, "json", 1, text);
  return { document, json: service.parseJSONDocument(document), position: document.positionAt(offset) };
}

async function complete(marked: string, name?: string): Promise<readonly CompletionItem[]> {
  const { document, json, position } = open(marked, name);
  return (await service.doComplete(document, position, json))?.items ?? [];
}

async function hover(marked: string, name?: string): Promise<string> {
  const { document, json, position } = open(marked, name);
  return markdown((await service.doHover(document, position, json))?.contents);
}

async function validate(text: string, name?: string): Promise<readonly Diagnostic[]> {
  const { document, json } = open(text, name);
  return service.doValidation(document, json);
}

/** The underlined texts, with their messages. */
async function squiggles(text: string, name?: string): Promise<string[]> {
  const { document } = open(text, name);
  return (await validate(text, name)).map(({ range, message }) => `${document.getText(range)} — ${message}`);
}

function markdown(contents: unknown): string {
  return (Array.isArray(contents) ? contents : [contents])
    .map((content) => (MarkupContent.is(content) ? content.value : String(content ?? "")))
    .join("\n");
}

/** The shown text of a hover, without the escapes of markdown. */
async function shownOnHover(marked: string, name?: string): Promise<string> {
  return (await hover(marked, name)).replaceAll("\\", "");
}

const labels = (items: readonly CompletionItem[]) => items.map((item) => item.label);

describe("ajv in strict mode", () => {
  test.each([
    ["compilation-config", {}, { mod: 1 }],
    ["compilation-config", { mode: 3, encoder_cudagraph_max_images_per_batch: 8 }, { level: 3 }],
    ["serve-config", { model: "m", "compilation-config": "{}" }, { "compilation-confg": {} }],
    ["serve-config", { compilation_config: { mode: 3 } }, { compilation_config: { mode: 7 } }],
  ])("compiles the schema %s, which takes %j and refuses %j", async (name, good, bad) => {
    const text = await readFile(new URL(`${name}.schema.json`, FOLDER), "utf8");
    const validate = new Ajv({ strict: true }).compile(JSON.parse(text));
    expect(validate(good)).toBe(true);
    expect(validate(bad)).toBe(false);
  });
});

describe("completion", () => {
  test("offers every key that can be set, and none that cannot", async () => {
    const offered = labels(await complete("{ | }"));
    for (const [name, key] of Object.entries(compilationConfigSchema.properties ?? {})) {
      if (key.deprecated || key["x-vitgraph-refused"]) expect(offered).not.toContain(name);
      else expect(offered).toContain(name);
    }
  });

  test("documents a key", async () => {
    const item = (await complete("{ | }")).find((each) => each.label === "encoder_cudagraph_token_budgets");
    expect(markdown(item?.documentation)).toContain("output tokens (after the merge)");
  });

  test.each([
    [
      '{ "mode": | }',
      ['"NONE"', '"STOCK_TORCH_COMPILE"', '"DYNAMO_TRACE_ONCE"', '"VLLM_COMPILE"', "null", "3"],
    ],
    [
      '{ "cudagraph_mode": | }',
      ['"NONE"', '"PIECEWISE"', '"FULL"', '"FULL_DECODE_ONLY"', '"FULL_AND_PIECEWISE"'],
    ],
    ['{ "cudagraph_mm_encoder": | }', ["true", "false"]],
    ['{ "compile_cache_save_format": | }', ['"binary"', '"unpacked"']],
    ['{ "encoder_cudagraph_token_budgets": | }', ["[2048,4096,8192,13824]"]],
    ['{ "pass_config": { | } }', ["enable_sp", "fuse_allreduce_rms", "eliminate_noops"]],
    ['{ "dynamic_shapes_config": { "type": | } }', ['"backed"', '"unbacked"', '"backed_size_oblivious"']],
  ])("at %s", async (text, wanted) => {
    const offered = labels(await complete(text)).map((label) => label.replaceAll(/\s/g, ""));
    expect(offered).toEqual(expect.arrayContaining(wanted));
  });

  test("offers the usual case as an example", async () => {
    const offered = (await complete("|")).map(({ label }) => label.replaceAll(/\s/g, ""));
    expect(offered).toContain('{"compile_mm_encoder":true,"cudagraph_mm_encoder":true}');
  });
});

describe("hover", () => {
  test.each([
    ['{ "cudagraph_mm_|encoder": true }', "one graph for each token budget"],
    ['{ "encoder_cudagraph_max_vision_items_|per_batch": 8 }', "Most images and videos in one batch"],
    ['{ "pass_config": { "enable_|sp": true } }', "Use sequence parallelism"],
    ['{ "mode": "VLLM_|COMPILE" }', "cached, piecewise, with its own passes"],
    ['{ "compile_cache_save_|format": "binary" }', "binary: one file; several processes may share it"],
    ['{ "encoder_cudagraph_max_images_|per_batch": 8 }', "Old name of"],
    [
      '{ "encoder_cudagraph_max_images_|per_batch": 8 }',
      "Renamed: use encoder_cudagraph_max_vision_items_per_batch.",
    ],
    [
      '{ "encoder_cudagraph_|piecewise": true }',
      "Whole forwards are captured here: use cudagraph_mm_encoder.",
    ],
    ['{ "lev|el": 3 }', "It was replaced by mode. Use mode, which takes the same numbers."],
    ['{ "traced_|files": [] }', "The engine fills it in at run time; it cannot be set. Remove the key."],
  ])("over %s", async (text, wanted) => {
    expect(await shownOnHover(text)).toContain(wanted);
  });
});

describe("squiggles", () => {
  test("none under a good config", async () => {
    expect(
      await squiggles(
        `{ "$schema": "${SCHEMA}", "mode": 3, "cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64],
           "pass_config": { "enable_sp": null }, "cudagraph_mode": "FULL", "inductor_compile_config": { "a": 1 } }`,
      ),
    ).toEqual([]);
  });

  test.each([
    [
      '{ "cudagraph_mm_encodre": true }',
      '"cudagraph_mm_encodre" — Property cudagraph_mm_encodre is not allowed.',
    ],
    ['{ "cudagraph_mm_encoder": 7 }', '7 — Incorrect type. Expected "boolean".'],
    ['{ "encoder_cudagraph_token_budgets": [64, 0] }', "0 — Value is below the exclusive minimum of 0."],
    ['{ "encoder_cudagraph_max_vision_items_per_batch": -1 }', "-1 — Value is below the minimum of 0."],
    ['{ "pass_config": { "enable_spp": true } }', '"enable_spp" — Property enable_spp is not allowed.'],
    ['{ "encoder_cudagraph_piecewise": true }', "true — Value is not accepted. Valid values: false."],
    // The hover names the key that replaces it; VS Code shows both in one box.
    ['{ "level": 3 }', "3 — Matches a schema that is not allowed."],
    ['{ "traced_files": [] }', "[] — Matches a schema that is not allowed."],
  ])("under %s", async (text, wanted) => {
    expect(await squiggles(text)).toContain(wanted);
  });

  test("a deprecated key is struck through", async () => {
    const [diagnostic] = await validate('{ "encoder_cudagraph_max_images_per_batch": 8 }');
    expect(diagnostic?.message).toBe("Value is deprecated");
    expect(diagnostic?.severity).toBeGreaterThan(DiagnosticSeverity.Error);
  });

  test("a file's own $schema is enough", async () => {
    expect(await squiggles(`{ "$schema": "${SCHEMA}", "mod": 1 }`, "elsewhere.json")).toEqual([
      '"mod" — Property mod is not allowed.',
    ]);
  });

  test("an editor never objects to what the parser takes, in its usual spelling", async () => {
    const texts = Object.entries(compilationConfigSchema.properties ?? {}).flatMap(([name, key]) =>
      (key.examples ?? []).map((example) => JSON.stringify({ [name]: example })),
    );
    expect(texts.length).toBeGreaterThan(30);
    for (const text of texts) {
      expect(() => parseCompilationConfig(text), text).not.toThrow();
      const errors = (await validate(text)).filter((each) => each.severity === DiagnosticSeverity.Error);
      expect(errors, text).toEqual([]);
    }
  });

  test("what the service underlines as wrong, the parser refuses at the same line and column", async () => {
    const text = '{\n  "mode": "FAST",\n  "cudagraph_mm_encoder": 7,\n  "backend": [],\n  "mod": 1\n}';
    const underlined = (await validate(text)).map(({ range: { start } }) => place(start));
    try {
      parseCompilationConfig(text);
      expect.unreachable();
    } catch (error) {
      expect(problemsOf(error).map(({ line, column }) => `${line}:${column}`)).toEqual(underlined.sort());
    }
  });
});

describe("a --config file", () => {
  test("has the compilation config's keys under compilation-config, and room for other options", async () => {
    expect(labels(await complete('{ "port": 1, "compilation-config": { | } }', "serve.json"))).toContain(
      "cudagraph_mm_encoder",
    );
    expect(await squiggles('{ "port": 1, "compilation_config": { "mod": 1 } }', "serve.json")).toEqual([
      '"mod" — Property mod is not allowed.',
    ]);
    expect(await squiggles('{ "compilation-config": "{}", "optimization-level": 2 }', "serve.json")).toEqual(
      [],
    );
  });

  test("underlines a misspelt option, and none of vLLM's in any of its spellings", async () => {
    expect(
      await squiggles(
        '{ "model": "m", "max_model_len": 1, "no-enable-prefix-caching": true, "hf-overrides.a.b": 1 }',
        "serve.json",
      ),
    ).toEqual([]);
    expect(await squiggles('{ "compilation-confg": {}, "max-modl-len": 1 }', "serve.json")).toEqual([
      '"compilation-confg" — Property compilation-confg is not allowed.',
      '"max-modl-len" — Property max-modl-len is not allowed.',
    ]);
  });

  test("explains vLLM's options on hover, and completes them", async () => {
    expect(await hover('{ "max-model-|len": 4096 }', "serve.json")).toContain("Longest context, in tokens");
    expect(await shownOnHover('{ "scheduler-|cls": "a" }', "serve.json")).toContain(
      "/cli/serve/#--scheduler-cls",
    );
    expect(labels(await complete("{ | }", "serve.json"))).toEqual(
      expect.arrayContaining(["compilation-config", "max-model-len", "limit-mm-per-prompt"]),
    );
  });
});

describe("JSON inside YAML", () => {
  const AS_STRING = `model: m
compilation-config: |
  {
    "cudagraph_mm_encoder": "perhaps",
    "mode": "VLLM_COMPILE"
  }
`;
  const AS_QUOTED = `compilation-config: '{"cudagraph_mm_encoder": "perhaps", "mode": "VLLM_COMPILE"}'\n`;
  const AS_MAP = `compilation-config:
  cudagraph_mm_encoder: perhaps
  mode: VLLM_COMPILE
`;

  /** Extracts the value as a JSON text, and maps offsets back. */
  function embedded(yaml: string) {
    const json = extractJson(yaml, ["compilation-config"]);
    if (json === undefined) return expect.unreachable("there is no value");
    return { json, yaml: TextDocument.create("file:///a.yaml", "yaml", 1, yaml) };
  }

  test.each([
    ["a block", AS_STRING, "4:29"],
    ["quotes", AS_QUOTED, "1:47"],
    ["a map", AS_MAP, "2:25"],
  ])("%s: what is wrong is underlined in the YAML", async (_name, text, at) => {
    const { json, yaml } = embedded(text);
    const [diagnostic] = await validate(json.text);
    const { document } = open(json.text);
    const start = json.toSource(document.offsetAt(diagnostic!.range.start));
    expect(diagnostic?.message).toBe('Incorrect type. Expected "boolean".');
    expect(place(yaml.positionAt(start))).toBe(at);
    expect(text.slice(start)).toMatch(/^"?perhaps/);
  });

  test.each([
    ["a block", AS_STRING],
    ["quotes", AS_QUOTED],
    ["a map", AS_MAP],
  ])("%s: hovering over a key in the YAML explains it", async (_name, text) => {
    const { json } = embedded(text);
    const offset = json.toJson(text.lastIndexOf("mode") + 2)!;
    const shown = await shownOnHover(`${json.text.slice(0, offset)}|${json.text.slice(offset)}`);
    expect(shown).toContain("How torch.compile is applied");
  });

  test.each([
    ["a block", AS_STRING.replace('"perhaps"', "")],
    ["quotes", AS_QUOTED.replace('"perhaps"', "")],
  ])("%s: completion in the middle of an edit", async (_name, text) => {
    const { json } = embedded(text);
    const offset = json.toJson(text.indexOf('encoder": ') + 'encoder": '.length)!;
    const offered = labels(await complete(`${json.text.slice(0, offset)}|${json.text.slice(offset)}`));
    expect(offered).toEqual(expect.arrayContaining(["true", "false"]));
  });

  test("a map: completion of an enum's value", async () => {
    const { json } = embedded(AS_MAP);
    const offset = json.toJson(AS_MAP.indexOf("VLLM_COMPILE") + 2)!;
    const offered = labels(await complete(`${json.text.slice(0, offset)}|${json.text.slice(offset)}`));
    expect(offered).toContain('"STOCK_TORCH_COMPILE"');
  });

  test("there may be none", () => {
    expect(extractJson("model: m\n", ["compilation-config"])).toBeUndefined();
    expect(extractJson("", ["compilation-config"])).toBeUndefined();
    expect(extractJson("a: b\ncompilation-config: {}\n", ["compilation-config"])?.toJson(0)).toBeUndefined();
  });
});

function place({ line, character }: Position): string {
  return `${line + 1}:${character + 1}`;
}
