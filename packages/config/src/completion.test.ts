import { expect, test } from "vitest";
import { completeConfig, hoverConfig } from "./completion.js";

/** At the "|": what is replaced, and the labels that are offered. */
function complete(marked: string) {
  const offset = marked.indexOf("|");
  const text = marked.replace("|", "");
  const found = completeConfig(text, offset);
  return (
    found && { replaced: text.slice(found.from, found.to), labels: found.options.map(({ label }) => label) }
  );
}

/** The text after the option is taken. */
function take(marked: string, label: string): string {
  const text = marked.replace("|", "");
  const found = completeConfig(text, marked.indexOf("|"));
  const option = found?.options.find((candidate) => candidate.label === label);
  if (found === undefined || option === undefined) throw new Error(`${label} is not offered`);
  return text.slice(0, found.from) + option.insert + text.slice(found.to);
}

test("keys are offered with and without quotes, those of the object left out", () => {
  expect(complete("{|}")?.labels).toContain("cudagraph_mm_encoder");
  expect(complete('{"cuda|"}')).toMatchObject({ replaced: '"cuda"' });
  expect(complete("{cuda|}")).toMatchObject({ replaced: "cuda" });
  expect(complete('{"compile_mm_encoder": true, |}')?.labels).not.toContain("compile_mm_encoder");
  expect(complete('{"compile_mm_encoder|": true}')?.labels).toContain("compile_mm_encoder");
});

test("a key brings its colon, unless it has one", () => {
  expect(take('{"cuda|"}', "cudagraph_mm_encoder")).toBe('{"cudagraph_mm_encoder": }');
  expect(take("{cuda|}", "cudagraph_mm_encoder")).toBe('{"cudagraph_mm_encoder": }');
  expect(take('{"cuda|": true}', "cudagraph_mm_encoder")).toBe('{"cudagraph_mm_encoder": true}');
});

test("old names and refused keys are not offered", () => {
  const labels = complete("{|}")?.labels ?? [];
  expect(labels.length).toBeGreaterThan(20);
  expect(labels).not.toContain("encoder_spatial_merge_size");
});

test("values are those of the schema", () => {
  expect(complete('{"cudagraph_mm_encoder": |}')?.labels.sort()).toEqual(["false", "true"]);
  expect(complete('{"cudagraph_mm_encoder": t|}')).toMatchObject({ replaced: "t" });
  expect(complete('{"mode": "|"}')?.labels).toContain('"VLLM_COMPILE"');
  expect(take('{"mode": "VLL|"}', '"VLLM_COMPILE"')).toBe('{"mode": "VLLM_COMPILE"}');
  expect(complete('{"unknown": |}')).toBeUndefined();
});

test("keys of inner objects are theirs", () => {
  const { labels = [] } = complete('{"pass_config": {|}}') ?? {};
  expect(labels).toContain("enable_sp");
  expect(labels).not.toContain("cudagraph_mm_encoder");
});

test("every place of a text is answered", () => {
  const text = '{"pass_config": {"enable_sp": tr, }, "mode": [1, {"a" ';
  for (let offset = 0; offset <= text.length; offset++) {
    const found = completeConfig(text, offset);
    if (found === undefined) continue;
    expect(found.from).toBeLessThanOrEqual(offset);
    expect(found.to).toBeGreaterThanOrEqual(offset);
  }
});

/** The hover text at the "|". */
function hover(marked: string): string | undefined {
  const text = marked.replace("|", "");
  const found = hoverConfig(text, marked.indexOf("|"));
  return found && `${text.slice(found.from, found.to)}: ${found.markdown.replaceAll(/\s+/g, " ")}`;
}

test("hover explains the key under the cursor, and that of the value", () => {
  expect(hover('{"cudagraph_mm_|encoder": true}')).toMatch(
    /^"cudagraph_mm_encoder": \*\*cudagraph_mm_encoder\*\* .*Takes true or false\. Default: `false`\.$/,
  );
  expect(hover('{"mode": "VLLM_|COMPILE"}')).toContain("How `torch.compile` is applied");
  expect(hover('{"encoder_cudagraph_token_budgets": [6|4]}')).toContain("output tokens");
  expect(hover('{"pass_config": {"enable_|sp": true}}')).toContain("**pass_config.enable_sp**");
  expect(hover('{"level|": 3}')).toContain("Refused: use mode");
  expect(hover('{"unknown|": 3}')).toBeUndefined();
  expect(hover("{ | }")).toBeUndefined();
});

test("a text that no parser should read is not read", () => {
  const deep = "[".repeat(100_000);
  expect(completeConfig(deep, deep.length)).toBeUndefined();
  expect(hoverConfig(deep, deep.length)).toBeUndefined();
});
