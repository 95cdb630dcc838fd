import { expect, test } from "vitest";
import { scanJson } from "./scan-json.js";

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
  expect(scanJson(text, 64)).toEqual({ isTooDeep: false, topLevelCommas });
});
