import Module from "node:module";
import { expect, test, vi } from "vitest";
import { requireAddon } from "./native.js";

test("an addon that is loaded is not looked for again", () => {
  const addon = requireAddon("cpu");
  const resolve = vi.spyOn(Module as unknown as { _resolveFilename: () => string }, "_resolveFilename");
  expect(requireAddon("cpu")).toBe(addon);
  expect(resolve).not.toHaveBeenCalled();
  resolve.mockRestore();
});
