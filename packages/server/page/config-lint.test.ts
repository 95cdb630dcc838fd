import type { LintFacts } from "@vitgraph/config";
import { expect, test } from "vitest";
import { lintConfig } from "./config-lint.js";

/** The findings with the text that each squiggle is under. */
function lint(text: string, facts: LintFacts = {}) {
  return lintConfig(text, facts).map(({ from, to, severity, line, message }) => ({
    under: text.slice(from, to),
    severity,
    line,
    message,
  }));
}

test("an unknown key is marked, with the nearest known name", () => {
  expect(lint('{\n  "cudagraph_mm_encodr": true\n}')).toMatchObject([
    {
      under: '"cudagraph_mm_encodr"',
      severity: "error",
      line: 2,
      message: expect.stringContaining('did you mean "cudagraph_mm_encoder"?'),
    },
  ]);
});

test("a value of the wrong type is marked alone", () => {
  expect(lint('{"cudagraph_mm_encoder": "perhaps"}')).toMatchObject([
    { under: '"perhaps"', severity: "error", line: 1 },
  ]);
});

test("the linter's findings have their place and the model's facts", () => {
  const text = '{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64, 256, 64]}';
  expect(lint(text)).toMatchObject([{ under: "64", severity: "warning", line: 1 }]);
  expect(lint('{"encoder_spatial_merge_size": 3}', { images: images(2) })).toContainEqual(
    expect.objectContaining({ under: "3", severity: "error" }),
  );
});

test.each([
  ["", "the text is empty"],
  ["{", "the text ends"],
  ['{"mode": }', "this is not JSON"],
  ["{}}", "this is not JSON"],
  ["[1, 2]", "must be a JSON object"],
  ['{"a": "\n"}', "this is not JSON"],
  ["\n\n nonsense", "this is not JSON"],
])("a damaged text has findings inside it: %j", (text, message) => {
  const findings = lintConfig(text, {});
  expect(findings[0]?.message).toContain(message);
  for (const { from, to } of findings) {
    expect(from).toBeGreaterThanOrEqual(0);
    expect(to).toBeGreaterThanOrEqual(from);
    expect(to).toBeLessThanOrEqual(text.length);
  }
});

test("a good config has none", () => {
  expect(lint('{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64, 256]}')).toEqual([]);
});

function images(spatialMergeSize: number): NonNullable<LintFacts["images"]> {
  return { spatialMergeSize, minTokens: 64, maxTokens: 16_384 };
}
