import { expect, test } from "vitest";
import { ERROR_CODES, toVitgraphError, VitgraphError } from "./index.js";

test("the text states the fact and then the remedy", () => {
  const error = new VitgraphError("VG_CONFIG_INVALID", "token budget 64 is smaller than max items 256", {
    remedy: "raise the budget or lower the number of items",
    details: { budget: 64, maxItems: 256 },
  });
  expect(error.message).toBe(
    "token budget 64 is smaller than max items 256: raise the budget or lower the number of items",
  );
  expect(error.fact).toBe("token budget 64 is smaller than max items 256");
  expect(JSON.parse(JSON.stringify(error))).toEqual({
    code: "VG_CONFIG_INVALID",
    message: error.message,
    remedy: error.remedy,
    details: { budget: 64, maxItems: 256 },
  });
});

test("identity is by symbol, so an error of another copy of the package is recognised", () => {
  const foreign = Object.assign(new Error("from elsewhere"), { [Symbol.for("vitgraph.error")]: true });
  expect(VitgraphError.is(foreign)).toBe(true);
  expect(VitgraphError.is(new Error("plain"))).toBe(false);
  expect(VitgraphError.is(null)).toBe(false);
});

test("wrapping keeps the cause and never wraps twice", () => {
  const cause = new Error("ENOENT");
  const wrapped = toVitgraphError(cause, "VG_FILE_UNREADABLE", "cannot read a.json", "check the path");
  expect(wrapped.message).toBe("cannot read a.json (ENOENT): check the path");
  expect(wrapped.cause).toBe(cause);
  expect(toVitgraphError(wrapped, "VG_INTERNAL", "again")).toBe(wrapped);
});

test("every code is described by a full sentence", () => {
  for (const sentence of Object.values(ERROR_CODES)) expect(sentence).toMatch(/^[A-Z].*\.$/);
});
