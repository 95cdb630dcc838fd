import { describe, expect, test } from "vitest";
import { explainConfig, formatOrigin } from "./explain.js";
import { parseCompilationConfig } from "./parse.js";

describe("explainConfig", () => {
  const rows = explainConfig(
    parseCompilationConfig('{"compile_mm_encoder": "on", "pass_config": {"enable_sp": true}}', {
      source: "c.json",
    }),
  );

  test("has a row for every key, nested ones in dotted form", () => {
    expect(rows.map((row) => row.key)).toContain("pass_config.enable_sp");
    expect(rows.map((row) => row.key)).toContain("dynamic_shapes_config.type");
    expect(rows.map((row) => row.key)).not.toContain("pass_config");
    expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
  });

  test("begins with the encoder's keys", () => {
    const scopes = rows.map((row) => row.scope);
    expect(scopes.lastIndexOf("encoder")).toBeLessThan(scopes.indexOf("language-model"));
  });

  test.each([
    ["compile_mm_encoder", true, "c.json:1:24"],
    ["pass_config.enable_sp", true, "c.json:1:59"],
    ["pass_config.eliminate_noops", true, "default"],
    ["mode", null, "default"],
  ])("%s is %j from %s", (key, value, origin) => {
    const row = rows.find((each) => each.key === key);
    expect(row?.value).toBe(value);
    expect(row && formatOrigin(row.origin)).toBe(origin);
    expect(row?.description).toBeTruthy();
  });
});
