import { expect, test } from "vitest";
import { JsonScanner, scanJson } from "./scan-json.js";

const brackets = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

test.each([
  [brackets(64), false],
  [brackets(65), true],
  ['{"a":'.repeat(65), true],
  ["[".repeat(1_000_000), true],
  ["[]".repeat(1000), false],
  [`["${"[".repeat(1000)}"]`, false],
  [`["\\"${"[".repeat(1000)}"]`, false],
  // A tolerant parser ends a string at the line's end, and skips a bracket that closes nothing.
  [`"\n${"[".repeat(1000)}`, true],
  [`"\r${"[".repeat(1000)}`, true],
  ["[}".repeat(1000), true],
])("nested more than 64 deep: %#", (text, isTooDeep) => {
  expect(scanJson(text, 64).isTooDeep).toBe(isTooDeep);
});

test.each([
  ["{}", 0],
  ['{"a": 1, "b": [1, 2], "c": "x, y"}', 2],
  ['[{"a": 1, "b": 2}, 3]', 1],
])("members of the outermost value: %s", (text, topLevelCommas) => {
  expect(scanJson(text, 64)).toEqual({ isTooDeep: false, hasTooManyValues: false, topLevelCommas });
});

test.each([
  ["[1,2,3,4]", false],
  ["[1,2,3,4,5]", true],
  ['{"a":[],"b":[]}', false],
  ["[[],[],[]]", true],
  ['["a,b,c,d,e,f,g"]', false],
  ['["\\",\\",\\",\\",\\","]', false],
])("more than 5 values, commas and opening brackets counted: %s", (text, hasTooManyValues) => {
  expect(scanJson(text, 64, 5).hasTooManyValues).toBe(hasTooManyValues);
});

test("a string of escapes ends at its own quote, however long the run", () => {
  for (const count of [1, 999, 1000, 1001, 2500])
    for (const unit of ["\\\\", '\\"', "\\u0041", "\\nabcdefghijklmnopqrstuvwxyz"]) {
      const string = `"${unit.repeat(count)}"`;
      expect(scanJson(`[${string},${"[".repeat(3)}`, 3).isTooDeep).toBe(true);
      expect(scanJson(`[${string}]`, 1, 2).hasTooManyValues).toBe(false);
    }
});

test("text in parts has the outline of the whole, wherever it is cut", () => {
  const text = '{"a": "\\\\\\"[[[,", "b": [1, "\\u005b,\\\\", {"c": "\n[2]}';
  const whole = outlineOf([text]);
  for (let first = 0; first <= text.length; first++)
    for (let second = first; second <= text.length; second++) {
      const parts = [text.slice(0, first), text.slice(first, second), text.slice(second)];
      expect(outlineOf(parts)).toEqual(whole);
    }
});

function outlineOf(parts: readonly string[]): unknown {
  const scanner = new JsonScanner(64, 100);
  for (const part of parts) scanner.add(part);
  const { isTooDeep, hasTooManyValues, topLevelCommas, isInString } = scanner;
  return { isTooDeep, hasTooManyValues, topLevelCommas, isInString };
}

test.each([
  ['{"a": "', true],
  ['{"a": "b', true],
  ['{"a": "b"', false],
  ['{"a": "\\', false],
  ['{"a": "\\\\', true],
  ['{"a": "\\"', true],
])("whether %s ends within a string", (text, isInString) => {
  expect(outlineOf([text])).toMatchObject({ isInString });
});
