import { expect, test } from "vitest";
import { configFindings } from "./findings.js";
import { parseCompilationConfig } from "./parse.js";

const findings = (text: string, facts = {}) =>
  configFindings("a.json", () => parseCompilationConfig(text, { source: "a.json" }), facts);

test("problems are the only findings of an invalid config", () => {
  const text = '{"encoder_cudagraph_token_budgets": [64, 64],\n "mode": "fast"}';
  expect(findings(text)).toMatchObject([{ source: "a.json", line: 2, severity: "error" }]);
});

test("notes and the linter's findings come in the order of the text", () => {
  const text =
    '{\n "encoder_cudagraph_token_budgets": [64, 64],\n "mode": 3,\n "encoder_spatial_merge_size": 3\n}';
  const all = findings(text, {
    images: { spatialMergeSize: 2, minTokens: 1, maxTokens: 64 },
  });
  const lines = all.map(({ line }) => line);
  expect(lines).toEqual([...lines].sort());
  expect(all.map(({ rule }) => rule)).toEqual(expect.arrayContaining(["budget-duplicate", "merge-size"]));
  expect(all.some(({ severity, line }) => severity === "note" && line === 3)).toBe(true);
});

test("a finding about a value that the text does not give is the text's, and comes last", () => {
  const [first, last] = findings('{"cudagraph_mm_encoder": true, "cudagraph_mode": "NONE"}', {
    budgetRange: { min: 64, max: 128 },
    images: { spatialMergeSize: 2, minTokens: 1, maxTokens: 16_384 },
  }).filter(({ severity }) => severity !== "note");
  expect(first).toMatchObject({ rule: "cudagraph-mode-none", line: 1 });
  expect(last).toMatchObject({ rule: "image-never-fits", source: "a.json" });
  expect(last).not.toHaveProperty("line");
});

test("what the parser throws besides problems is thrown", () => {
  expect(() =>
    configFindings("a.json", () => {
      throw new Error("a bug");
    }),
  ).toThrow("a bug");
});
