/** Diagnostics, completions, hovers and fixes in typical files. */
import { describe, expect, test } from "vitest";
import { cpuSeconds } from "../../../vitest.cpu-time.js";
import { completions, diagnostics, fixAll, hover } from "./language-service.js";

const SERVE_BLOCK = `model: m
compilation-config: |
  {
    "cudagraph_mm_encodre": true,
    "encoder_cudagraph_token_budgets": [64, 128, 64]
  }
`;
const SERVE_QUOTED = `compilation-config: '{"cudagraph_mm_encodre": true, "mode": 3}'\n`;
const SERVE_MAP = `model: m
compilation-config:
  cudagraph_mm_encodre: true
`;
const COMPOSE = `services:
  vllm:
    image: vllm/vllm-openai
    command:
      - --model
      - m
      - --compilation-config
      - '{"cudagraph_mm_encodre": true}'
`;
const COMPOSE_STRING = `services:
  vllm:
    command: >-
      --model m
      -cc '{"cudagraph_mm_encodre": true}'
`;
const MANIFESTS = `apiVersion: v1
kind: Service
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: vllm
          command: ["vllm", "serve", "m"]
          args: ["-cc.cudagraph_mm_encodre=true", "-cc.mode", 3, "--config", "/etc/serve.toml"]
        - name: script
          command: ["sh", "-c", "exec vllm serve m -cc \\"{\\\\\\"cudagraph_mm_encodre\\\\\\": true}\\" --port $PORT"]
        - name: other
          args: ["--config", "x.toml", "-c", "compile"]
`;
const HELM = `servingEngineSpec:
  - name: m
    compilation-config: {"cudagraph_mm_encodre": true}
  - vllmConfig:
      extraArgs: ['--compilation-config={"cudagraph_mm_encodre": true}']
`;
const CONFIG_MAP = `kind: ConfigMap
data:
  serve.yaml: |
    compilation-config:
      cudagraph_mm_encodre: true
`;
const JSON_FILE = `{\n  "cudagraph_mm_encodre": true\n}\n`;

function file(text: string, name = "a.yaml") {
  return { name: text.startsWith("{") ? "a.cc.json" : name, text };
}

/** "line:column text — severity: message", of errors and warnings. */
function underlined(text: string): readonly string[] {
  return diagnostics(file(text))
    .filter(({ severity }) => severity !== "note")
    .map(({ start, end, severity, message }) => {
      const before = text.slice(0, start).split("\n");
      return `${before.length}:${before.at(-1)!.length + 1} ${text.slice(start, end)} — ${severity}: ${message}`;
    });
}

function apply(text: string, edits: ReturnType<typeof fixAll>): string {
  return edits.reduceRight(
    (result, { start, end, text: inserted }) => result.slice(0, start) + inserted + result.slice(end),
    text,
  );
}

const TYPO =
  '"cudagraph_mm_encodre" is not a key of the compilation config: did you mean "cudagraph_mm_encoder"?';

describe("diagnostics", () => {
  test.each([
    ["a block of JSON", SERVE_BLOCK, ['4:5 "cudagraph_mm_encodre"']],
    ["a quoted string of JSON", SERVE_QUOTED, ['1:23 "cudagraph_mm_encodre"']],
    ["a map", SERVE_MAP, ["3:3 cudagraph_mm_encodre"]],
    ["arguments of a compose file", COMPOSE, ['8:11 "cudagraph_mm_encodre"']],
    ["a command line of a compose file", COMPOSE_STRING, ['5:13 "cudagraph_mm_encodre"']],
    [
      "manifests of Kubernetes",
      MANIFESTS,
      ["12:19 -cc.cudagraph_mm_encodre=true", '14:59 \\\\\\"cudagraph_mm_encodre\\\\\\"'],
    ],
    ["values of a Helm chart", HELM, ['3:26 "cudagraph_mm_encodre"', '5:42 "cudagraph_mm_encodre"']],
    ["a file in a ConfigMap", CONFIG_MAP, ["5:7 cudagraph_mm_encodre"]],
    ["a file of JSON", JSON_FILE, ['2:3 "cudagraph_mm_encodre"']],
  ])("%s: a misspelt key", (_name, text, places) => {
    expect(underlined(text)).toEqual(places.map((place) => `${place} — error: ${TYPO}`));
  });

  test("the linter's findings have their rule", () => {
    const text = `args: ['-cc={"encoder_cudagraph_token_budgets": [64]}']\n`;
    const found = diagnostics(file(text)).filter(({ rule }) => rule !== undefined);
    expect(found.map(({ rule, start }) => [rule, text.slice(start, start + 4)])).toEqual([
      ["budgets-unused", "[64]"],
    ]);
  });

  test("a misspelt compilation-config in a --config file", () => {
    expect(underlined("model: m\ncompilation-confg: {}\n")).toEqual([
      '2:1 compilation-confg — error: "compilation-confg" is not an option: did you mean "compilation-config"?',
    ]);
  });

  test("JSON that is none, and an argument without a value", () => {
    expect(underlined(`compilation-config: |\n  {"mode": 3,}\n`)).toEqual([
      "2:14 } — error: this is not JSON: found } where a key in double quotes should be: quote the key, or remove the comma before the closing brace",
    ]);
    expect(underlined("args: [serve, -cc]\n")).toEqual([
      "1:15 -cc — error: the option needs a value: add it: -cc VALUE",
    ]);
    expect(underlined(`args: ["-cc {}"]\n`)[0]).toContain("-cc and its value are one argument");
  });

  test("none in files that have no compilation config, or are being typed", () => {
    for (const text of [
      "",
      "a: [",
      "- 1",
      "name: x\nservices: {}\n",
      "args: [--config, a.txt]\n",
      "a: &a [*a]\n",
      "x: *y\n",
    ])
      expect(underlined(text), text).toEqual([]);
  });
});

describe("fixes", () => {
  const right = (text: string) => text.replaceAll("encodre", "encoder");

  test.each([
    ["a block of JSON", SERVE_BLOCK, right(SERVE_BLOCK)],
    ["a quoted string of JSON", SERVE_QUOTED, right(SERVE_QUOTED)],
    ["a map", SERVE_MAP, right(SERVE_MAP)],
    ["arguments of a compose file", COMPOSE, right(COMPOSE)],
    ["a command line of a compose file", COMPOSE_STRING, right(COMPOSE_STRING)],
    ["manifests of Kubernetes", MANIFESTS, right(MANIFESTS)],
    ["a file of JSON", JSON_FILE, right(JSON_FILE)],
  ])("%s", (_name, text, expected) => {
    expect(apply(text, fixAll(file(text)))).toBe(expected);
  });

  test("an error that is fixed shows what the linter has to say", () => {
    expect(underlined(right(SERVE_BLOCK))).toEqual([
      "5:50 64 — warning: token budget 64 is listed twice: remove one: it counts once here, and vLLM captures it twice",
    ]);
    expect(apply(right(SERVE_BLOCK), fixAll(file(right(SERVE_BLOCK))))).toBe(
      right(SERVE_BLOCK).replace("[64, 128, 64]", "[64, 128]"),
    );
  });

  test("a value by default is written in front of the others", () => {
    const text = `services:\n  v:\n    command: |\n      -cc "{\\"encoder_cudagraph_token_budgets\\": [64]}"\n`;
    expect(apply(text, fixAll(file(text)))).toContain(
      `-cc "{\\"cudagraph_mm_encoder\\": true, \\"encoder_cudagraph_token_budgets\\": [64]}"`,
    );
  });
});

describe("completion", () => {
  /** The text after accepting the option at the "‸"; undefined if it is not offered. */
  function take(marked: string, label: string): string | undefined {
    const text = marked.replace("‸", "");
    const option = completions(file(text), marked.indexOf("‸")).find((each) => each.label === label);
    return option && apply(text, [option.edit]);
  }

  test.each([
    [
      `compilation-config: |\n  {\n    "cuda‸"\n  }\n`,
      "cudagraph_mm_encoder",
      `compilation-config: |\n  {\n    "cudagraph_mm_encoder": \n  }\n`,
    ],
    [
      `compilation-config: '{"mode": ‸}'\n`,
      '"VLLM_COMPILE"',
      `compilation-config: '{"mode": "VLLM_COMPILE"}'\n`,
    ],
    [
      `compilation-config: "{\\"mode\\": ‸}"\n`,
      '"VLLM_COMPILE"',
      `compilation-config: "{\\"mode\\": \\"VLLM_COMPILE\\"}"\n`,
    ],
    [
      `args: [-cc, '{"pass_config": {‸}}']\n`,
      "enable_sp",
      `args: [-cc, '{"pass_config": {"enable_sp": }}']\n`,
    ],
    [
      `args: ['--compilation-config={"cuda‸"}']\n`,
      "cudagraph_mm_encoder",
      `args: ['--compilation-config={"cudagraph_mm_encoder": }']\n`,
    ],
    [`command: |\n  vllm serve m -cc '{"mo‸"}'\n`, "mode", `command: |\n  vllm serve m -cc '{"mode": }'\n`],
    ["args: [-cc.cuda‸]\n", "cudagraph_mm_encoder", "args: [-cc.cudagraph_mm_encoder=]\n"],
    ["args: [-cc.cuda‸graph=true]\n", "cudagraph_mm_encoder", "args: [-cc.cudagraph_mm_encoder=true]\n"],
    ["args: [-cc.pass_config.‸]\n", "enable_sp", "args: [-cc.pass_config.enable_sp=]\n"],
    ["args:\n  - -cc.mode=VLLM‸\n", "VLLM_COMPILE", "args:\n  - -cc.mode=VLLM_COMPILE\n"],
    [`{"cudagraph_mm_encoder": ‸}`, "true", `{"cudagraph_mm_encoder": true}`],
  ])("%j", (marked, label, expected) => {
    expect(take(marked, label)).toBe(expected);
  });

  test("none outside a compilation config, and none in a map, which YAML's own schema completes", () => {
    expect(take("args: [--port‸]\n", "mode")).toBeUndefined();
    expect(take("compilation-config: {}\nmodel: |\n", "mode")).toBeUndefined();
    expect(completions(file("compilation-config:\n  mode: \n"), 27)).toEqual([]);
  });

  test("the encoder's keys are marked, and have their description", () => {
    const [key] = completions(file("{}"), 1).filter(({ label }) => label === "cudagraph_mm_encoder");
    expect(key?.isEncoders).toBe(true);
    expect(key?.documentation).toContain("one graph for each token budget");
  });
});

describe("hover", () => {
  function hovered(marked: string): string | undefined {
    const text = marked.replace("‸", "");
    const found = hover(file(text), marked.indexOf("‸"));
    return found && `${text.slice(found.start, found.end)} — ${found.markdown.split("\n", 1)[0]}`;
  }

  test.each([
    [`compilation-config: '{"mo‸de": 3}'\n`, '"mode" — **mode**'],
    [
      `compilation-config:\n  cudagraph_mm‸_encoder: true\n`,
      "cudagraph_mm_encoder — **cudagraph_mm_encoder**",
    ],
    [`args: [-cc, '{"pass_config": {"enable‸_sp": true}}']\n`, '"enable_sp" — **pass_config.enable_sp**'],
    ["args: [-cc.pass_config.enable‸_sp=true]\n", "-cc.pass_config.enable_sp — **pass_config.enable_sp**"],
    [`command: |\n  vllm serve m -cc '{"mo‸de": 3}'\n`, '"mode" — **mode**'],
    ["mod‸el: m\n", undefined],
  ])("%j", (marked, expected) => {
    expect(hovered(marked)).toBe(expected);
  });
});

test("a long command line takes no longer than it is long", async () => {
  const text = `command: ${"a ".repeat(50_000)}-cc.mode=3\n`;
  const seconds = await cpuSeconds(() => {
    expect(underlined(text)).toEqual([]);
    expect(hover(file(text), text.length - 3)?.markdown).toContain("**mode**");
  });
  // 0.5 s; the bound is for slow machines.
  expect(seconds).toBeLessThan(20);
});

test("whatever stands at the cursor is answered", () => {
  for (const text of [
    SERVE_BLOCK,
    SERVE_QUOTED,
    SERVE_MAP,
    COMPOSE,
    COMPOSE_STRING,
    MANIFESTS,
    HELM,
    JSON_FILE,
  ]) {
    for (let end = 0; end <= text.length; end += 3) {
      const cut = { ...file(text), text: text.slice(0, end) };
      for (const { start, end: last, fix } of diagnostics(cut)) {
        expect(start).toBeLessThanOrEqual(last);
        expect(last).toBeLessThanOrEqual(end);
        for (const edit of fix?.edits ?? []) expect(edit.end).toBeLessThanOrEqual(end);
      }
      completions(cut, end);
      hover(cut, end);
    }
  }
});

test("a key is completed in a command of a hundred thousand words without a pause of seconds", async () => {
  const words = "-cc.mode=3 ".repeat(90_000);
  const text = `command: '${words}-cc.cuda'`;
  const complete = () => completions({ name: "compose.yaml", text }, text.length - 1);
  const seconds = await cpuSeconds(() => expect(complete().length).toBeGreaterThan(0));
  // A search of all characters for each word takes half a minute.
  expect(seconds).toBeLessThan(8);
});
