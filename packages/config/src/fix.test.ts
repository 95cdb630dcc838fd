/** Each test applies a fix to its text and reads the text again. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseJsonDocument } from "./document.js";
import { type ConfigFinding, configFindings } from "./findings.js";
import { applyFix, mergeFixes } from "./fix.js";
import type { LintFacts } from "./lint.js";
import { parseConfigFile } from "./serve/arguments.js";
import { parseYamlDocument } from "./yaml.js";

function findings(text: string, facts: LintFacts = {}): readonly ConfigFinding[] {
  const isJson = text.startsWith("{");
  const parse = () => (isJson ? parseJsonDocument : parseYamlDocument)(text, "a");
  return configFindings("a", () => parseConfigFile(parse()).compilationConfig, facts);
}

/** The text after the first fix, and the fix's title. */
function fixed(text: string, facts?: LintFacts): readonly [string | undefined, string] {
  const fix = findings(text, facts).find((finding) => finding.fix !== undefined)?.fix;
  return [fix?.title, fix === undefined ? text : applyFix(text, fix)];
}

/** The text after all fixes, again and again until there are none. */
function allFixed(text: string): string {
  let result = text;
  for (let round = 0; round < 10; round++) {
    const edits = mergeFixes(findings(result).flatMap(({ fix }) => fix ?? []));
    if (edits.length === 0) return result;
    result = applyFix(result, { title: "", edits });
  }
  return expect.unreachable(`there is no end of fixes: ${result}`);
}

describe("JSON", () => {
  test.each([
    // Problems
    ['{"cudagraph_mm_encodre": true}', 'rename to "cudagraph_mm_encoder"', '{"cudagraph_mm_encoder": true}'],
    ['{"level": 3}', 'rename to "mode"', '{"mode": 3}'],
    [
      '{"pass_config": {"enable_noop": true}}',
      'rename to "eliminate_noops"',
      '{"pass_config": {"eliminate_noops": true}}',
    ],
    ['{"mode": 3, "traced_files": []}', "remove it", '{"mode": 3}'],
    ['{"traced_files": [], "mode": 3}', "remove it", '{"mode": 3}'],
    ['{"traced_files": []}', "remove it", "{}"],
    [
      '{"cudagraph_mode": "FULL_DECODE"}',
      'write "FULL_DECODE_ONLY"',
      '{"cudagraph_mode": "FULL_DECODE_ONLY"}',
    ],
    [
      '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64], "encoder_cudagraph_max_vision_items_per_batch": 65}',
      "lower the items to 64",
      '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64], "encoder_cudagraph_max_vision_items_per_batch": 64}',
    ],
    [
      '{"encoder_cudagraph_max_images_per_batch": 8, "encoder_cudagraph_max_vision_items_per_batch": 4}',
      'remove "encoder_cudagraph_max_images_per_batch"',
      '{"encoder_cudagraph_max_vision_items_per_batch": 4}',
    ],
    // Notes
    [
      '{"encoder_cudagraph_max_images_per_batch": 8}',
      'rename to "encoder_cudagraph_max_vision_items_per_batch"',
      '{"encoder_cudagraph_max_vision_items_per_batch": 8}',
    ],
    [
      '{"encoder_cudagraph_max_images_per_batch": null}',
      'remove "encoder_cudagraph_max_images_per_batch"',
      "{}",
    ],
    ['{"cudagraph_mm_encoder": "on"}', "write true", '{"cudagraph_mm_encoder": true}'],
    [
      '{"cudagraph_mm_encoder": false, "cudagraph_mm_encoder": true}',
      "remove the first one",
      '{"cudagraph_mm_encoder": true}',
    ],
    // The linter
    [
      '{\n  "encoder_cudagraph_token_budgets": [64]\n}',
      "set cudagraph_mm_encoder to true",
      '{\n  "cudagraph_mm_encoder": true,\n  "encoder_cudagraph_token_budgets": [64]\n}',
    ],
    [
      '{"cudagraph_mm_encoder": false, "encoder_cudagraph_token_budgets": [64]}',
      "set cudagraph_mm_encoder to true",
      '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64]}',
    ],
    [
      '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64, 128, 64]}',
      "remove the second 64",
      '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64, 128]}',
    ],
  ])("%s: %s", (text, title, expected) => {
    expect(fixed(text)).toEqual([title, expected]);
  });

  test("facts about the model give fixes, too", () => {
    const text = '{"cudagraph_mm_encoder": true, "encoder_spatial_merge_size": 4}';
    expect(fixed(text, { cudagraphSupported: false })).toEqual([
      "write false",
      text.replace("true", "false"),
    ]);
  });

  test("where the remedy is a decision there is no fix", () => {
    for (const text of [
      '{"cudagraph_mm_encoder": true, "cudagraph_mode": "NONE"}',
      '{"use_cudagraph": true}',
      '{"qqqq": 1}',
      '{"enable_sp": true, "mode": 3}',
      '{"cudagraph_mm_encodre": true, "cudagraph_mm_encoder": false}',
    ]) {
      expect(findings(text).length, text).toBeGreaterThan(0);
      expect(fixed(text), text).toEqual([undefined, text]);
    }
  });
});

describe("YAML", () => {
  const HEAD = "model: m # the model\ncompilation-config:\n";

  test.each([
    [
      `${HEAD}  cudagraph_mm_encodre: true # yes\n  mode: 3\n`,
      `${HEAD}  cudagraph_mm_encoder: true # yes\n  mode: 3\n`,
    ],
    [`${HEAD}  "level": 3\n`, `${HEAD}  "mode": 3\n`],
    [
      `${HEAD}  traced_files:\n    - a\n    # gone\n    - b\n  # kept\n  mode: 3\n`,
      `${HEAD}  # kept\n  mode: 3\n`,
    ],
    [`${HEAD}  traced_files: []\n`, `${HEAD}  {}\n`],
    [`${HEAD}  mode: 3\n  traced_files: []`, `${HEAD}  mode: 3\n`],
    [`${HEAD}  cudagraph_mm_encoder: "true" # on\n`, `${HEAD}  cudagraph_mm_encoder: true # on\n`],
    [
      `${HEAD}  # budgets\n  encoder_cudagraph_token_budgets: [64, 128]\n`,
      `${HEAD}  # budgets\n  cudagraph_mm_encoder: true\n  encoder_cudagraph_token_budgets: [64, 128]\n`,
    ],
    [
      `${HEAD}  cudagraph_mm_encoder: true\n  encoder_cudagraph_token_budgets:\n    - 64\n    - 128\n    - 64 # again\n  mode: 3\n`,
      `${HEAD}  cudagraph_mm_encoder: true\n  encoder_cudagraph_token_budgets:\n    - 64\n    - 128\n  mode: 3\n`,
    ],
    [
      `${HEAD}  cudagraph_mm_encoder: false\n  cudagraph_mm_encoder: true\n`,
      `${HEAD}  cudagraph_mm_encoder: true\n`,
    ],
    ["compilation-config: {mode: 3, traced_files: []}\n", "compilation-config: {mode: 3}\n"],
    [
      "compilation-config: {encoder_cudagraph_token_budgets: [64]}\n",
      "compilation-config: {cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [64]}\n",
    ],
    ["model: m\ncompilation-confg: {mode: 3} # 3\n", "model: m\ncompilation-config: {mode: 3} # 3\n"],
    // JSON inside YAML
    [
      `compilation-config: |\n  {\n    "encoder_cudagraph_token_budgets": [64]\n  }\nmodel: m\n`,
      `compilation-config: |\n  {\n    "cudagraph_mm_encoder": true,\n    "encoder_cudagraph_token_budgets": [64]\n  }\nmodel: m\n`,
    ],
    [
      `compilation-config: |\n  {\n    "mode": 3,\n    "traced_files": []\n  }\n`,
      `compilation-config: |\n  {\n    "mode": 3\n  }\n`,
    ],
    [
      `compilation-config: '{"cudagraph_mm_encodre": true}'\n`,
      `compilation-config: '{"cudagraph_mm_encoder": true}'\n`,
    ],
    [
      `compilation-config: "{\\"cudagraph_mm_encodre\\": true, \\"traced_files\\": []}"\n`,
      `compilation-config: "{\\"cudagraph_mm_encoder\\": true}"\n`,
    ],
    [
      `compilation-config: "{\\"encoder_cudagraph_token_budgets\\": [64]}"\n`,
      `compilation-config: "{\\"cudagraph_mm_encoder\\": true, \\"encoder_cudagraph_token_budgets\\": [64]}"\n`,
    ],
  ])("%j", (text, expected) => {
    expect(allFixed(text)).toBe(expected);
  });
});

test("fixes that overlap wait for another look", () => {
  const text =
    '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64, 64, 64], "traced_files": [], "compilation_time": 1}';
  expect(allFixed(text)).toBe('{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64]}');
});

test("whatever the keys and the form, a fix leaves text that can be read, and fixes come to an end", () => {
  const key = fc.constantFrom(
    "mode",
    "level",
    "traced_files",
    "cudagraph_mm_encodre",
    "encoder_cudagraph_max_images_per_batch",
    "encoder_cudagraph_token_budgets",
    "encoder_spatial_merge_size",
  );
  const value = fc.constantFrom<unknown>(1, "on", "3", null, true, [64, 64], []);
  const form = fc.constantFrom("json", "indented", "yaml", "block", "single", "double");
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name }), form, (entries, as) => {
      const config = Object.fromEntries(entries);
      const json = JSON.stringify(config, null, as === "indented" || as === "block" ? 2 : 0);
      const lines = entries.map(([name, each]) => `  ${name}: ${JSON.stringify(each)}\n`).join("");
      const text = {
        json,
        indented: json,
        yaml: `model: m\ncompilation-config:\n${lines === "" ? "  {}\n" : lines}`,
        block: `compilation-config: |\n${json.replaceAll(/^/gm, "  ")}\n`,
        single: `compilation-config: '${json}'\n`,
        double: `compilation-config: ${JSON.stringify(json)}\n`,
      }[as];
      const before = findings(text).some(({ message }) => message.startsWith("this is not"));
      const after = findings(allFixed(text));
      expect(after.some(({ message }) => message.startsWith("this is not"))).toBe(before);
      expect(after.filter(({ fix }) => fix !== undefined)).toEqual([]);
    }),
  );
});
