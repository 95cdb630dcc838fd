/** Findings in YAML files of every kind. Places inside arguments are tested with the editor's language service. */
import { describe, expect, test } from "vitest";
import { cpuSeconds } from "../../../vitest.cpu-time.js";
import { applyFix, mergeFixes } from "./fix.js";
import { fileFindings } from "./yaml.js";

/** "line:column severity: message" of each finding. */
function found(text: string): readonly string[] {
  return fileFindings({ name: "a.yaml", text }).map(
    ({ line, column, severity, message }) =>
      `${line === undefined ? "" : `${line}:${column} `}${severity}: ${message}`,
  );
}

const TYPO = '"cudagraph_mm_encodre" is not a key of the compilation config';

const MANIFESTS = `apiVersion: v1
kind: Service
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - args: [--model, m, -cc, '{"cudagraph_mm_encodre": true}']
`;

describe("files with configs further inside", () => {
  test("manifests: only the arguments are read", () => {
    expect(found(MANIFESTS)).toEqual([`10:37 error: ${TYPO}`]);
    const [finding] = fileFindings({ name: "a.yaml", text: MANIFESTS });
    expect(applyFix(MANIFESTS, finding!.fix!)).toBe(MANIFESTS.replace("encodre", "encoder"));
  });

  test("files in a ConfigMap, with their fixes", () => {
    const text = `kind: ConfigMap
apiVersion: v1
data:
  notes.yaml: "a: 1"
  serve.yaml: |
    model: m
    compilation-config:
      cudagraph_mm_encodre: true
  quoted.yml: "compilation-config: '{\\"cudagraph_mm_encodre\\": true}'\\n"
`;
    expect(found(text)).toEqual([`8:7 error: ${TYPO}`, `9:39 error: ${TYPO}`]);
    const fixes = fileFindings({ name: "a.yaml", text }).map(({ fix }) => fix!);
    expect(applyFix(text, { title: "", edits: mergeFixes(fixes) })).toBe(
      text.replaceAll("encodre", "encoder"),
    );
  });

  test("findings of several configs come in the order of the file", () => {
    const text = `kind: ConfigMap
data:
  serve.yaml: |
    compilation-config:
      cudagraph_mm_encodre: true
---
kind: Pod
spec:
  containers:
    - args: [-cc, '{"encoder_cudagraph_token_budgets": [64, 64]}', -cc.mode=$(MODE)]
`;
    const lines = fileFindings({ name: "a.yaml", text }).map(({ line, column }) => [line, column]);
    expect(lines).toEqual([
      [5, 7],
      [10, 56],
      [10, 61],
      [10, 68],
    ]);
  });

  test("the linter gets the facts", () => {
    const text = `services: {vllm: {command: [-cc, '{"compile_mm_encoder": true}']}}\n`;
    const findings = fileFindings({ name: "a.yaml", text }, { modelType: "blip_2", compileSupported: false });
    expect(findings.map(({ rule }) => rule)).toEqual(["compile-unsupported"]);
  });

  test("values of a Helm chart with arguments: their other keys are the chart's", () => {
    const text = `vllm:\n  extraArgs: ['--compilation-config={"cudagraph_mm_encodre": true}']\n`;
    expect(found(text)).toEqual([`2:38 error: ${TYPO}`]);
  });

  test("a compose file or manifest without a config is noted", () => {
    const note = "note: no compilation config in the manifests";
    expect(found("services: {vllm: {command: [--model, m]}}\n")).toEqual([note]);
    expect(found("apiVersion: v1\nkind: Service\n")).toEqual([note]);
    expect(found("a: 1\n---\nb: 2\n")).toEqual([note]);
  });

  test("a document that is no YAML, at its place in the file", () => {
    expect(found("a: 1\n---\nb: [\n")[0]).toMatch(/^4:1 error: this is not YAML: /);
  });

  test("values with a variable, which only the deployment knows, are noted", () => {
    const note = "note: the value has a variable, and is not checked";
    expect(
      found(`services:
  compose: {command: [-cc, "\${CC}", -cc.compile_mm_encoder=true]}
  kubernetes: {args: ["-cc.mode=$(MODE)", -O, "$(LEVEL)", "-cc.cudagraph_mm_encodre=true"]}
  shell: {command: 'vllm serve $MODEL -cc "$CC"'}
  helm: {args: [--compilation-config, "{{ .Values.cc | toJson }}"]}
`),
    ).toEqual([
      `2:29 ${note}`,
      `3:24 ${note}`,
      `3:48 ${note}`,
      `3:60 error: ${TYPO}`,
      `4:44 ${note}`,
      `5:40 ${note}`,
    ]);
  });
});

describe("JSON is read as YAML is", () => {
  const foundIn = (value: unknown, name = "a.json") => {
    const text = JSON.stringify(value, null, "\t");
    return fileFindings({ name, text }).map(({ line, message }) => [
      text.split("\n")[line! - 1]?.trim(),
      message,
    ]);
  };
  const args = ["--model", "m", "-cc", '{"cudagraph_mm_encodre": true}'];
  const container = { name: "a/b\u00e9\ud83d\ude00", args };
  const deployment = (spec: unknown) => ({ apiVersion: "apps/v1", kind: "Deployment", spec });
  const line = JSON.stringify(args[3]);

  test("a manifest, a list of them, and a compose file", () => {
    const pod = { template: { spec: { containers: [container] } } };
    expect(foundIn(deployment(pod))).toEqual([[line, TYPO]]);
    const list = {
      apiVersion: "v1",
      kind: "List",
      items: [{ kind: "Service" }, deployment(pod), deployment(pod)],
    };
    expect(foundIn(list)).toEqual([
      [line, TYPO],
      [line, TYPO],
    ]);
    expect(foundIn({ services: { vllm: { command: args } } })).toEqual([[line, TYPO]]);
    // Standard input has no ending.
    expect(foundIn(list, "standard input")).toHaveLength(2);
  });

  test("values of a Helm chart, and files in a ConfigMap, JSON among them", () => {
    expect(foundIn({ vllm: { "compilation-config": { cudagraph_mm_encodre: true } } })).toEqual([
      ['"cudagraph_mm_encodre": true', TYPO],
    ]);
    const file = JSON.stringify({ "compilation-config": { cudagraph_mm_encodre: true } });
    const map = { apiVersion: "v1", kind: "ConfigMap", data: { "serve.json": file, "notes.json": "[1, 2" } };
    expect(foundIn(map)).toEqual([[`"serve.json": ${JSON.stringify(file)},`, TYPO]]);
  });

  test("fixes are written as JSON", () => {
    const text = JSON.stringify(deployment({ template: { spec: { containers: [container] } } }), null, 2);
    const [finding] = fileFindings({ name: "a.json", text });
    expect(applyFix(text, finding!.fix!)).toBe(text.replace("encodre", "encoder"));
  });

  test("a manifest without a config is noted, and a bare config is strict JSON", () => {
    expect(foundIn(deployment({}))).toEqual([[undefined, "no compilation config in the manifests"]]);
    expect(foundIn({ cudagraph_mm_encodre: true })).toEqual([['"cudagraph_mm_encodre": true', TYPO]]);
    const [comment] = fileFindings({ name: "a.json", text: '{"mode": 3} # no' });
    expect(comment?.message).toContain("this is not JSON");
    const [cut] = fileFindings({ name: "a.json", text: '{"kind": "List", "apiVersion": "v1", "items": [' });
    expect(cut?.message).toContain("this is not JSON");
  });
});

describe("configs themselves", () => {
  test("a --config file, and one that is a compilation config, as they were", () => {
    expect(found("model: m\ncompilation-config: {cudagraph_mm_encodre: true}\n")).toEqual([
      `2:22 error: ${TYPO}`,
    ]);
    expect(found("cudagraph_mm_encodre: true\n")).toEqual([`1:1 error: ${TYPO}`]);
    expect(found("")).toEqual(["note: the file has no compilation-config: the defaults apply"]);
  });

  test("of a megabyte, with a misspelt key again and again, are read in seconds", async () => {
    const text = "compilation-confi: 3\n".repeat(49_000);
    const seconds = await cpuSeconds(() => expect(found(text)[0]).toContain("is not an option"));
    // A search of all keys for each takes a minute.
    expect(seconds).toBeLessThan(15);
  });

  test("of several documents: vLLM refuses the file", () => {
    expect(found("compilation-config: {mode: 3}\n---\n")).toEqual([
      "2:1 error: a second YAML document begins here, and vLLM reads files of one",
    ]);
  });
});

describe("aliases", () => {
  test("a config that several aliases name is checked once, at its place", () => {
    const uses = "  - compilation-config: *cc\n".repeat(3);
    expect(found(`cc: &cc {cudagraph_mm_encodre: true}\nlist:\n${uses}`)).toEqual([`1:10 error: ${TYPO}`]);
  });

  test("thousands of them take no longer than thousands of other values", async () => {
    const members = Array.from({ length: 10_000 }, (_, index) => `k${index}: *x`).join(", ");
    const inMembers = `a: &x 3\nlist:\n  - compilation-config: {${members}}\n`;
    const asConfigs = `a: &x {mode: 3}\nlist:\n${"  - {b: {compilation-config: *x}}\n".repeat(10_000)}`;
    const seconds = await cpuSeconds(() => {
      expect(found(inMembers)).toHaveLength(21);
      expect(found(asConfigs)).toHaveLength(1);
    });
    // A walk of the document for each takes a minute.
    expect(seconds).toBeLessThan(15);
  });

  test("that would make a text of gigabytes are too long to be read", () => {
    const members = Array.from({ length: 20_000 }, (_, index) => `k${index}: *x`).join(", ");
    expect(found(`a: &x "${"y".repeat(500_000)}"\nlist:\n  - compilation-config: {${members}}\n`)).toEqual([
      "3:25 error: the JSON is too long to be read",
    ]);
  });
});
