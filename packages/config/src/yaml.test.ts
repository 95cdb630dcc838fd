import { describe, expect, test } from "vitest";
import { problemsOf } from "./problem.js";
import { parseConfigFile } from "./serve/arguments.js";
import { parseYamlDocument } from "./yaml.js";

function problems(text: string) {
  try {
    parseConfigFile(parseYamlDocument(text, "serve.yaml"));
  } catch (error) {
    return problemsOf(error);
  }
  return [];
}

/** The places of problems, as line:column. */
function places(text: string): string[] {
  return problems(text).map(({ line, column }) => `${line}:${column}`);
}

describe("parseYamlDocument", () => {
  const text = `# serving
model: Qwen/Qwen3-VL-8B-Instruct
compilation-config:
  cudagraph_mm_encoder: on
  encoder_cudagraph_token_budgets: [64, 128]
  pass_config: &passes
    enable_sp: yes
other: *passes
`;
  const document = parseYamlDocument(text, "serve.yaml");

  test("reads YAML 1.1, as PyYAML does", () => {
    expect(document.value).toEqual({
      model: "Qwen/Qwen3-VL-8B-Instruct",
      "compilation-config": {
        cudagraph_mm_encoder: true,
        encoder_cudagraph_token_budgets: [64, 128],
        pass_config: { enable_sp: true },
      },
      other: { enable_sp: true },
    });
  });

  test.each([
    ["/model", "key", 2, 1],
    ["/model", "value", 2, 8],
    ["/compilation-config/cudagraph_mm_encoder", "value", 4, 25],
    ["/compilation-config/encoder_cudagraph_token_budgets/1", "value", 5, 41],
    ["/compilation-config/pass_config/enable_sp", "key", 7, 5],
    ["/other/enable_sp", "value", 7, 16],
    ["/compilation-config/missing", "value", 4, 3],
  ] as const)("locates %s (%s) at %i:%i", (pointer, part, line, column) => {
    expect(document.locate(pointer, part)).toEqual({ source: "serve.yaml", line, column });
  });

  test("lists keys that occur twice, and keeps the last", () => {
    const twice = parseYamlDocument("a: 1\nb: {c: 1, c: 2}\na: 3\n", "serve.yaml");
    expect(twice.duplicates).toEqual(["/b/c", "/a"]);
    expect(twice.value).toEqual({ a: 3, b: { c: 2 } });
    expect(twice.locate("/a")).toEqual({ source: "serve.yaml", line: 3, column: 4 });
  });

  test("reports syntax errors with their places", () => {
    const [problem] = problems("a: [1, 2\nb: 3\n");
    expect(problem).toMatchObject({ source: "serve.yaml", line: 2, column: 1, expected: "YAML" });
    expect(problem?.message).toMatch(/^this is not YAML: /);
  });

  test.each([
    ["an alias of nothing", "a: *b\n", /^this YAML has no value: .*b/],
    ["a circle", "a: &x [*x]\n", "this YAML has no value: an alias leads back to what contains it"],
    [
      "aliases of aliases of aliases",
      `a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n${[..."bcdefg"].map((name, i) => `${name}: &${name} [${`*${"abcdef"[i]}, `.repeat(9)}1]\n`).join("")}`,
      /^this YAML has no value: Excessive alias count/,
    ],
    ["a merge of no map", "a:\n  <<: 3\n", /^this YAML has no value: /],
    ["nesting beyond any reason", "[".repeat(100_000), "the YAML is nested too deeply to be read"],
  ])("refuses %s", (_name, text, message) => {
    const [problem] = problems(text);
    if (typeof message === "string") expect(problem?.message).toBe(message);
    else expect(problem?.message).toMatch(message);
  });

  test("an empty file says nothing", () => {
    expect(parseYamlDocument("", "serve.yaml").value).toBeNull();
    expect(parseYamlDocument("", "serve.yaml").locate("")).toEqual({ source: "serve.yaml" });
  });
});

describe("problems in a YAML file", () => {
  test("of a map stand where its values stand", () => {
    expect(
      places(`compilation-config:
  cudagraph_mm_encoder: maybe
  encoder_cudagraph_token_budgets:
    - 64
    - -1
  mod: 3
`),
    ).toEqual(["2:25", "5:7", "6:3"]);
  });

  test.each([
    ["literal block", 'compilation-config: |\n  {"mode": 3,\n   "mod": 1}\n', ["3:4"]],
    ["folded block", 'compilation-config: >-\n  {"mode": 3,\n   "mod": 1}\n', ["3:4"]],
    ["single quotes", 'compilation-config: \'{"mode": 3, "mod": 1}\'\n', ["1:34"]],
    [
      "single quotes with doubled ones",
      'compilation-config: \'{"cache_dir": "it\'\'s", "mod": 1}\'\n',
      ["1:45"],
    ],
    ["double quotes", 'compilation-config: "{\\"mode\\": 3, \\"mod\\": 1}"\n', ["1:37"]],
    [
      "double quotes with escapes",
      'compilation-config: "{\\n\\t\\"cache_dir\\": \\"\\\\\\\\\\", \\"mod\\": 1}"\n',
      ["1:53"],
    ],
    ["double quotes over two lines", 'compilation-config: "{\\"mode\\": 3,\n   \\"mod\\": 1}"\n', ["2:5"]],
    ["indented block", 'a: 1\ncompilation-config: |2\n    {\n      "mod": 1\n    }\n', ["4:7"]],
  ])("of JSON in %s stand where its characters stand", (_name, text, expected) => {
    expect(places(text)).toEqual(expected);
  });

  test("JSON that is none is reported in place, too", () => {
    expect(problems("compilation-config: |\n  {\n    mode: 3\n  }\n")[0]).toMatchObject({
      line: 3,
      column: 5,
      message: "this is not JSON: found mode where a JSON value should be",
    });
  });

  test("a config that is nothing or a list is refused where it stands", () => {
    expect(problems("compilation-config:\n")[0]?.message).toBe(
      "the compilation config is null, and must be a JSON object",
    );
    expect(problems("compilation-config: [1]\n")[0]).toMatchObject({ line: 1, column: 21 });
  });
});
