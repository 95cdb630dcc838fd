import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { excessOf, MAX_MEMBERS, MAX_TEXT_LENGTH } from "./bounds.js";
import { parseJsonDocument } from "./document.js";
import { parseCompilationConfig } from "./parse.js";
import { problemsOf } from "./problem.js";
import { parseServeArguments } from "./serve/arguments.js";
import { parseYamlDocument } from "./yaml.js";
import { isYamlTooDeep } from "./yaml-bounds.js";
import { extractJson } from "./yaml-json.js";

const brackets = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

function messages(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    return problemsOf(error).map((problem) => problem.message);
  }
  return [];
}

test("the depth of JSON is never counted too low: what passes can be parsed, whatever it is", () => {
  const token = fc.constantFrom("[", "]", "{", "}", '"', "\\", ",", ":", "\n", "1", "//", "/*");
  fc.assert(
    fc.property(fc.array(token, { minLength: 200, maxLength: 2000 }), (tokens) => {
      expect(() => parseJsonDocument(tokens.join(""), "c.json")).toThrow(/VG_CONFIG_INVALID|JSON|problems/);
    }),
    { numRuns: 200 },
  );
});

describe("the depth of YAML", () => {
  test.each([
    ["flow brackets", brackets(10_000)],
    ["unclosed flow brackets", "[".repeat(10_000)],
    ["maps in lists", "[{a: ".repeat(5000)],
    ["explicit keys in brackets", "[? ".repeat(5000)],
    ["dashes on one line", "- ".repeat(10_000)],
    ["explicit keys on one line", "? ".repeat(10_000)],
    ["dashes and keys on one line", "- ? ".repeat(5000)],
    ["colons without keys", ": ".repeat(10_000)],
    ["blocks", Array.from({ length: 1000 }, (_, level) => `${" ".repeat(level)}a:\n`).join("")],
    ["lists of lists", Array.from({ length: 1000 }, (_, level) => `${" ".repeat(level)}-\n`).join("")],
    ["anchors before each", "[&a ".repeat(5000)],
    ["brackets below a block", `a:\n  b:\n    ${brackets(1000)}\n`],
  ])("%s are refused before they are parsed", (_name, text) => {
    expect(isYamlTooDeep(text)).toBe(true);
    expect(messages(() => parseYamlDocument(text, "c.yaml"))).toEqual([
      "the YAML is nested too deeply to be read",
    ]);
    expect(extractJson(text, ["a"])).toBeUndefined();
  });

  test.each([
    ["levels", 60, (level: number) => `${" ".repeat(level)}a:\n`],
    [
      "levels with anchors and long keys",
      60,
      (level: number) => `${"  ".repeat(level)}a-long-key: &a${level}\n`,
    ],
    ["lists and maps", 30, (level: number) => `${"  ".repeat(level)}- a${level}:\n`],
  ])("%s within the limit are read", (_name, levels, line) => {
    const text = `${Array.from({ length: levels }, (_, level) => line(level)).join("")}${" ".repeat(2 * levels)}  1\n`;
    expect(isYamlTooDeep(text)).toBe(false);
    expect(parseYamlDocument(text, "c.yaml").value).toBeTypeOf("object");
  });

  test("brackets in text are no nesting", () => {
    const text = `a: |\n  ${"[{".repeat(500)}\nb: "${"[".repeat(500)}"\nc: '${"{".repeat(500)}'\nd: x${"[".repeat(500)}\n# ${"[".repeat(500)}\n`;
    expect(isYamlTooDeep(text)).toBe(false);
    expect(Object.keys(parseYamlDocument(text, "c.yaml").value as object)).toEqual(["a", "b", "c", "d"]);
  });

  test("many lines at one level are no nesting", () => {
    expect(isYamlTooDeep("a:\n  - b: 1\n    c: {d: [1, 2]}\n".repeat(500))).toBe(false);
  });
});

describe("nesting elsewhere", () => {
  test.each([
    ["a dotted key", [`-cc.${"a.".repeat(10_000)}b=1`]],
    ["a dotted value", [`-cc.pass_config=${brackets(10_000)}`]],
    ["a dotted key of another option", [`--hf-overrides.${"a.".repeat(10_000)}b=1`]],
  ])("%s is refused in a short message", (_name, argv) => {
    const [message = ""] = messages(() => parseServeArguments(argv));
    expect(message).toMatch(/is nested too deeply to be read$/);
    expect(message.length).toBeLessThan(150);
  });

  test("a dotted key of a file", () => {
    const options = {
      readFile: () => `compilation-config.${"a.".repeat(200)}b: 1`,
      parseYaml: parseYamlDocument,
    };
    expect(messages(() => parseServeArguments(["--config", "a.yaml"], options))[0]).toMatch(/too many keys$/);
  });

  test("JSON in a string of YAML, and in a string of JSON", () => {
    for (const parse of [parseJsonDocument, parseYamlDocument]) {
      const text = JSON.stringify({ "compilation-config": brackets(1000) });
      expect(messages(() => parse(text, "c").open("/compilation-config"))).toEqual([
        "the JSON is nested too deeply to be read",
      ]);
    }
  });

  test("an object", () => {
    let nested: unknown = 1;
    for (let level = 0; level < 10_000; level++) nested = { nested };
    expect(messages(() => parseCompilationConfig({ inductor_compile_config: nested }))).toEqual([
      "the compilation config is nested too deeply to be read",
    ]);
  });
});

describe("size", () => {
  test("a long text is refused before it is parsed", () => {
    const text = " ".repeat(MAX_TEXT_LENGTH + 1);
    for (const parse of [parseJsonDocument, parseYamlDocument]) {
      expect(messages(() => parse(text, "c"))[0]).toMatch(/^the (JSON|YAML) is too long to be read$/);
    }
  });

  test("an object that holds one member many times counts as it would be written", () => {
    let value: unknown = 1;
    for (let level = 0; level < 40; level++) value = [value, value];
    expect(excessOf(value)).toBe("too large");
    expect(excessOf(Array.from({ length: MAX_MEMBERS }, () => 1))).toBeUndefined();
    expect(excessOf(Array.from({ length: MAX_MEMBERS + 1 }, () => 1))).toBe("too large");
  });

  test("aliases count as they would be written", () => {
    const list = `[${"1,".repeat(3000)}1]`;
    const text = `a: &a ${list}\n${Array.from({ length: 50 }, (_, index) => `b${index}: *a\n`).join("")}`;
    expect(messages(() => parseYamlDocument(text, "c.yaml"))).toEqual([
      "the YAML, with its aliases written out, has too many members",
    ]);
  });
});
