import { describe, expect, test } from "vitest";
import { parseJsonDocument } from "./document.js";
import { parseCompilationConfig } from "./parse.js";
import { type ConfigProblem, problemsOf } from "./problem.js";
import { parseServeArguments } from "./serve/arguments.js";
import { parseYamlDocument } from "./yaml.js";

function problems(run: () => unknown): readonly ConfigProblem[] {
  try {
    run();
  } catch (error) {
    return problemsOf(error);
  }
  throw new Error("expected problems, and there are none");
}

describe("an argument that a shell or a template damaged", () => {
  const SINGLE = `put the whole JSON in single quotes: -cc '{"key": value}'`;
  test.each([
    [
      `'{"mode":0}'`,
      "it begins with a single quote that the shell should have removed",
      /drop the outer quotes/,
    ],
    [
      `'{"mode":`,
      "it begins with a single quote that the shell should have removed",
      /in cmd.exe write "\{\\"key/,
    ],
    ["{cudagraph_mode:FULL_AND_PIECEWISE,", "it has no quotes: the shell took them", SINGLE],
    ["{mode: 3}", "it has no quotes: the shell took them", SINGLE],
    ['{"mode":', "it ends before its closing brace: the shell split it at a space", SINGLE],
    [
      '{\\"mode\\": 3}',
      "it has backslashes before its quotes that the shell should have removed",
      /backslashes/,
    ],
    ['{""mode"": 3}', "its quotes are doubled", /write each quote once/],
    ['{`"mode`": 3}', "it has escape characters of PowerShell or cmd.exe before its quotes", /remove them/],
    ['{^"mode^": 3}', "it has escape characters of PowerShell or cmd.exe before its quotes", /remove them/],
    ["{'mode': 3}", "its strings are in single quotes", /double quotes inside/],
    ["{“mode”: 3}", "it has typographic quotes", /straight/],
    ['‘{"mode": 3}’', "it has typographic quotes", /straight/],
    ['{"mode":\u00A03}', "it has invisible characters, such as no-break spaces", /type the text anew/],
    ["$CC", "it names a variable that was not expanded", /set the variable/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's, not JavaScript's
    ["${CC}", "it names a variable that was not expanded", /set the variable/],
    ["%CC%", "it names a variable that was not expanded", /set the variable/],
    ["$(cat cc.json)", "it names a variable that was not expanded", /set the variable/],
    ['{"mode": $MODE}', "it names a variable that was not expanded", /set the variable/],
    [
      "{{ .Values.compilationConfig | toJson }}",
      "it has braces of a template that was not filled in",
      /render/,
    ],
    ['{"mode": {{ mode }}}', "it has braces of a template that was not filled in", /render/],
    ['{"mode": <no value>}', "it has braces of a template that was not filled in", /render/],
    ['{{"mode": 3}}', "it has doubled braces", /Python's format strings/],
    ["configs/cc.json", "it is the name of a file", /--config FILE/],
    ["@cc.yaml", "it is the name of a file", /--config FILE/],
  ])("%s", (text, fact, remedy) => {
    const [problem, ...others] = problems(() => parseServeArguments(["-cc", text]));
    expect(others).toEqual([]);
    expect(problem?.message).toBe(`this is not JSON: ${fact}`);
    if (typeof remedy === "string") expect(problem?.remedy).toBe(remedy);
    else expect(problem?.remedy).toMatch(remedy);
  });

  test.each(["-cc", "--compilation-config"])("%s with JSON that was encoded twice", (name) => {
    const argument = '"{\\"cudagraph_mm_encoder\\": true}"';
    expect(problems(() => parseServeArguments([name, argument]))).toMatchObject([
      {
        message: "the compilation config is a JSON string that holds JSON: it was encoded twice",
        remedy: expect.stringContaining("remove the outer quotes"),
      },
    ]);
  });

  test.each([
    [["--compilation-config {}"], "--compilation-config and its value are one argument"],
    [['--compilation_config {"a": "b=c"}'], "--compilation_config and its value are one argument"],
    [["-cc {}"], "-cc and its value are one argument"],
    [["-cc.mode 3"], "-cc.mode and its value are one argument"],
    [["-O 2"], "-O and its value are one argument"],
    [["--config serve.yaml"], "--config and its value are one argument"],
    [["—compilation-config", "{}"], "the option begins with a typographic dash"],
    [["–cc", "{}"], "the option begins with a typographic dash"],
  ])("%j", (argv, message) => {
    expect(problems(() => parseServeArguments(argv))[0]?.message).toBe(message);
  });

  test("a dotted value whose JSON is damaged says why it is only text", () => {
    expect(problems(() => parseServeArguments(["-cc.pass_config={enable_sp:true}"]))[0]).toMatchObject({
      message: 'pass_config cannot be "{enable_sp:true}"',
      remedy: `it has no quotes: the shell took them: ${SINGLE}`,
    });
  });

  test("other arguments with spaces are not concerned", () => {
    const argv = ["my image.png", "--model my model", "-cc.cache_dir=/a b", "--", "-cc {}"];
    expect(parseServeArguments(argv).rest).toEqual(["my image.png", "--model my model", "--", "-cc {}"]);
  });

  test("what is JSON is never asked about", () => {
    const text = '{"cache_dir": "{{ x }} $HOME “quoted” \\u00a0", "backend": "\'x\'"}';
    expect(parseCompilationConfig(text).config.cache_dir).toContain("{{ x }} $HOME “quoted”");
  });
});

describe("a file that a template or an editor damaged", () => {
  test("of JSON: shells have nothing to do with it", () => {
    expect(problems(() => parseJsonDocument("{“mode”: 3}", "c.json"))[0]?.message).toContain("typographic");
    expect(problems(() => parseJsonDocument('{"mode": {{ m }}}', "c.json"))[0]?.message).toContain(
      "template",
    );
    expect(problems(() => parseJsonDocument("{mode: 3}", "c.json"))[0]?.message).toBe(
      "this is not JSON: found mode where a JSON value should be",
    );
  });

  test("of YAML: what a template leaves is a map as a key", () => {
    expect(
      problems(() => parseYamlDocument("compilation-config: {{ .Values.cc }}\n", "c.yaml")),
    ).toMatchObject([
      {
        line: 1,
        column: 22,
        message: "a key of the YAML is a map",
        remedy: expect.stringContaining("template"),
      },
    ]);
    for (const text of ["? [a, b]\n: 1", "a: &a [1]\n*a : 1"]) {
      expect(problems(() => parseYamlDocument(text, "c.yaml"))[0]?.message).toBe(
        "a key of the YAML is a list",
      );
    }
  });
});
