import { describe, expect, test } from "vitest";
import { MAX_TOKEN_BUDGET, MAX_TOKEN_BUDGETS, resolveEncoderBudgets } from "./budgets.js";
import { type ConfigDocument, valueDocument } from "./document.js";
import { parseCompilationConfig } from "./parse.js";
import { problemsOf } from "./problem.js";
import { compilationConfigSchema } from "./schema.js";
import { parseServeArguments } from "./serve/arguments.js";
import { show } from "./value.js";
import { parseYamlDocument } from "./yaml.js";

function errorOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error, and there is none");
}

const unknownKeys = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`encoder_cudagraph_${index}`, 1]));

describe("many problems", () => {
  test("the first are listed, the others counted", () => {
    const error = errorOf(() => parseCompilationConfig(unknownKeys(8000)));
    expect(error.message).toMatch(/^the configuration has 8,000 problems:\n/);
    expect(error.message).toMatch(/\n {2}… and 7,980 more$/);
    expect(error.message.split("\n")).toHaveLength(22);
    const problems = problemsOf(error);
    expect(problems).toHaveLength(21);
    expect(problems.at(-1)?.message).toBe("… and 7,980 more problems");
  });

  test("places are looked up for those that are listed", () => {
    let lookUps = 0;
    const document: ConfigDocument = {
      ...valueDocument(unknownKeys(8000), "c.json"),
      locate() {
        lookUps += 1;
        return { source: "c.json" };
      },
    };
    errorOf(() => parseCompilationConfig(document));
    expect(lookUps).toBeLessThanOrEqual(20);
  });

  test("bad members of a list are one problem, and the list is not repeated for each", () => {
    const text = JSON.stringify({ encoder_cudagraph_token_budgets: Array(1000).fill(-1) });
    expect(errorOf(() => parseCompilationConfig(text, { source: "c.json" })).message).toBe(
      "c.json:1:37: All encoder_cudagraph_token_budgets must be positive, got [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, … and 990 more]: use a positive integer",
    );
  });

  test("of file and arguments are counted together", () => {
    const error = errorOf(() =>
      parseServeArguments(["-O9", "-cc", JSON.stringify(unknownKeys(100)), "--config", "a.json"], {
        readFile: () => `{"compilation-config": "${"\\n[".repeat(50)}"}`,
      }),
    );
    // The level, the keys, and one syntax error for the unclosed brackets' last line.
    expect(error.message).toMatch(/^the configuration has 10\d problems:/);
    expect(problemsOf(error)).toHaveLength(21);
  });

  test("a key that occurs 20 000 times is one note, and 20 000 that occur twice are fifty", () => {
    const once = `{${Array.from({ length: 20_000 }, () => '"mode": 3').join(",")}}`;
    const notes = parseCompilationConfig(once).notes.filter((note) => note.kind === "duplicate");
    expect(notes).toHaveLength(1);
    const fields = Array.from({ length: 20_000 }, (_, index) => `"a${index}": 1`).join(",");
    const twice = `{"inductor_compile_config": {${fields},${fields}}}`;
    expect(parseCompilationConfig(twice).notes).toHaveLength(51);
    expect(parseCompilationConfig(twice).notes.at(-1)).toMatchObject({
      kind: "omitted",
      message: "… and 19,951 more notes",
    });
    expect(parseYamlDocument(twice, "c.yaml").duplicates).toHaveLength(20_000);
  });
});

describe("messages are short", () => {
  const long = "x".repeat(100_000);
  test.each<[string, () => unknown]>([
    ["a key", () => parseCompilationConfig({ [`encoder_cudagraph_${long}`]: 1 })],
    ["a key of a pass", () => parseCompilationConfig({ pass_config: { [long]: 1 } })],
    ["a free key with a bad value", () => parseCompilationConfig({ inductor_passes: { [long]: 1 } })],
    ["a mode", () => parseCompilationConfig({ mode: long })],
    ["a backend", () => parseCompilationConfig({ mode: 3, backend: long })],
    ["a value", () => parseCompilationConfig({ cudagraph_mm_encoder: [long] })],
    ["an op", () => parseCompilationConfig({ custom_ops: [long] })],
    ["an op that is on and off", () => parseCompilationConfig({ custom_ops: [`+${long}`, `-${long}`] })],
    ["base modes", () => parseCompilationConfig({ custom_ops: Array(5000).fill("all") })],
    ["a config", () => parseCompilationConfig(JSON.stringify(long))],
    ["a text", () => parseCompilationConfig(long)],
    ["a text with many wrong lines", () => parseCompilationConfig(`{${'x: 1,\n"'.repeat(5000)}}`)],
    ["an argument", () => parseServeArguments([`-cc=${long}`])],
    ["a dotted key", () => parseServeArguments([`-cc.${long}=1`])],
    ["a dotted option", () => parseServeArguments([`--compilation-config${long}.mode=1`, `-O.${long}=1`])],
    ["a joined argument", () => parseServeArguments([`-cc ${long}`])],
    ["a level", () => parseServeArguments([`-O${long}`])],
    [
      "a file's key",
      () => parseServeArguments(["--config", "a.json"], { readFile: () => `{"-${long}": 1}` }),
    ],
    [
      "a list as a file",
      () => parseServeArguments(["--config", "a.json"], { readFile: () => `["${long}"]` }),
    ],
    ["a path", () => parseServeArguments(["--config", long])],
    ["a path of JSON", () => parseServeArguments(["--config", `${long}.json`], { readFile: () => "[" })],
    ["YAML's tag", () => parseYamlDocument(`a: !!${long} 1`, "c.yaml")],
    ["YAML's alias", () => parseYamlDocument(`a: *${long}`, "c.yaml")],
    ["budgets", () => resolve({ tokenBudgets: Array(5000).fill(-1) })],
  ])("%s of 100 000 characters", (_name, run) => {
    const error = errorOf(run);
    expect(problemsOf(error).length > 0 || "code" in error).toBe(true);
    expect(error.message.length).toBeLessThan(8000);
  });

  test("show reads no more of a value than it shows", () => {
    let reads = 0;
    const watched = new Proxy(
      Array.from({ length: 10_000 }, () => 1),
      {
        get: (target, name) => {
          reads += 1;
          return Reflect.get(target, name);
        },
      },
    );
    expect(show(watched)).toMatch(/^\[1,1,.*…$/);
    expect(reads).toBeLessThan(200);
    expect(show({ a: [1, { b: null }], c: "d" })).toBe('{"a":[1,{"b":null}],"c":"d"}');
  });
});

function resolve(request: Partial<Parameters<typeof resolveEncoderBudgets>[0]>) {
  const range = { min: 64, max: 1024 };
  return resolveEncoderBudgets({ tokenBudgets: [], maxItems: 0, maxFrames: null, range, ...request });
}

describe("upper bounds", () => {
  const budgets = compilationConfigSchema.properties!.encoder_cudagraph_token_budgets!;

  test("of the schema are those of the resolver", () => {
    expect([budgets.maxItems, budgets.items?.maximum]).toEqual([MAX_TOKEN_BUDGETS, MAX_TOKEN_BUDGET]);
  });

  test.each([
    [
      {
        encoder_cudagraph_token_budgets: Array.from(
          { length: MAX_TOKEN_BUDGETS + 1 },
          (_, index) => index + 1,
        ),
      },
      "encoder_cudagraph_token_budgets has 1025 members, and may have 1024",
    ],
    [
      { encoder_cudagraph_token_budgets: [64, MAX_TOKEN_BUDGET + 1] },
      "encoder_cudagraph_token_budgets[1] is 1048577, and may be 1048576 at most",
    ],
    [
      { encoder_cudagraph_max_frames_per_batch: 2 ** 40 },
      "encoder_cudagraph_max_frames_per_batch is 1099511627776, and may be 1048576 at most",
    ],
    [{ cudagraph_num_of_warmups: 2 ** 60 }, "cudagraph_num_of_warmups cannot be 1152921504606847000"],
  ])("%#", (input, message) => {
    expect(problemsOf(errorOf(() => parseCompilationConfig(input)))[0]?.message).toBe(message);
  });

  test("hold for budgets that come past the parser, too", () => {
    expect(errorOf(() => resolve({ tokenBudgets: [64, 2 ** 21] })).message).toContain(
      "members up to 2097152",
    );
    const many = Array.from({ length: MAX_TOKEN_BUDGETS + 1 }, (_, index) => index + 1);
    expect(errorOf(() => resolve({ tokenBudgets: many })).message).toContain("has 1025 members");
    expect(resolve({ tokenBudgets: [MAX_TOKEN_BUDGET] }).tokenBudgets).toEqual([MAX_TOKEN_BUDGET]);
  });
});
