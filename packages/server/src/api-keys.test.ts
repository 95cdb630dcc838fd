import { expect, test } from "vitest";
import { ApiKeys } from "./api-keys.js";

const KEYS = new ApiKeys(["first-key-of-the-test", "second-key-of-the-test"]);

test("a key is known by its number, whichever it is", () => {
  expect(KEYS.check("Bearer first-key-of-the-test")).toBe(0);
  expect(KEYS.check("bearer  second-key-of-the-test")).toBe(1);
});

test.each([
  undefined,
  "",
  "Bearer",
  "Bearer ",
  "Bearer first-key-of-the-tes",
  "Bearer first-key-of-the-test2",
  "Bearer first-key-of-the-test second-key-of-the-test",
  "Basic first-key-of-the-test",
  "first-key-of-the-test",
])("%s is refused", (header) => {
  expect(() => KEYS.check(header)).toThrow(expect.objectContaining({ code: "VG_API_KEY_INVALID" }));
});

test("a server without keys lets everyone in", () => {
  expect(new ApiKeys([]).check(undefined)).toBeUndefined();
});
