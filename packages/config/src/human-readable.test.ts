import { expect, test } from "vitest";
import { parseHumanReadableInteger } from "./human-readable.js";

test.each([
  ["1k", 1000],
  ["1K", 1024],
  ["25.6k", 25_600],
  ["2M", 2 * 1024 ** 2],
  ["3m", 3_000_000],
  ["1g", 1e9],
  ["1G", 1024 ** 3],
  ["1t", 1e12],
  ["1T", 1024 ** 4],
  [" 64 ", 64],
  ["-1", -1],
  ["16_384", 16_384],
])("%j is %i", (text, value) => {
  expect(parseHumanReadableInteger(text)).toBe(value);
});

test.each(["1.5K", "", "k", "1kk", "1.5", "one", "0x10", "1__0"])("%j is no integer", (text) => {
  expect(parseHumanReadableInteger(text)).toBeUndefined();
});
