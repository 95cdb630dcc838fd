import { expect, test } from "vitest";
import { isRecord } from "./index.js";

test("a record is an object with named members, not null and not a list", () => {
  expect([{}, Object.create(null), { a: 1 }].every(isRecord)).toBe(true);
  expect([null, undefined, [], "text", 1, () => {}].some(isRecord)).toBe(false);
});
