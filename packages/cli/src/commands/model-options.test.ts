import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test } from "vitest";
import { jsonObject, messageOf, positiveInteger, rgbColor, wholeNumber } from "./model-options.js";

test.each([
  ["#ffffff", [255, 255, 255]],
  ["#0A80ff", [10, 128, 255]],
  ["255,0,7", [255, 0, 7]],
  ["255, 0, 7", [255, 0, 7]],
])("the colour %s", (text, color) => {
  expect(rgbColor(text)).toEqual(color);
});

test.each(["white", "#fff", "#ffffff00", "256,0,0", "1,2", "1,2,3,4", "-1,0,0", ""])(
  "no colour: %s",
  (text) => {
    expect(() => rgbColor(text)).toThrow("expected a colour, such as '#ffffff' or '255,255,255'");
  },
);

test("a JSON object is no array, no text and no damaged JSON", () => {
  expect(jsonObject('{"max_pixels": 1003520}')).toEqual({ max_pixels: 1_003_520 });
  for (const text of ["[1]", '"a"', "null", "{max_pixels: 1}", ""])
    expect(() => jsonObject(text)).toThrow("expected a JSON object");
});

describe("numbers", () => {
  test.each(["", " ", "1e3", "0x10", "-1", "1.5", "9007199254740993"])("%j is no whole number", (text) => {
    expect(() => wholeNumber(text)).toThrow("expected a whole number");
    expect(() => positiveInteger(text)).toThrow("expected a positive whole number");
  });

  test("0 is whole and not positive", () => {
    expect(wholeNumber("0")).toBe(0);
    expect(() => positiveInteger("0")).toThrow("expected a positive whole number");
  });
});

test("messages name the option and not the library's parameter", () => {
  const remedy = "raise maxPixels or maxBatchTokens; maxQueuedItems is no option";
  expect(
    messageOf(new VitgraphError("VG_IMAGE_TOO_LARGE", "mmProcessorKwargs has a mistake", { remedy })),
  ).toBe(
    "--mm-processor-kwargs has a mistake: raise --max-pixels or --max-batch-tokens; maxQueuedItems is no option [VG_IMAGE_TOO_LARGE]",
  );
});

test("an error without a code is a bug, and shows its stack", () => {
  expect(messageOf(new TypeError("x is not a function"))).toMatch(/^TypeError: x is not a function\n {4}at /);
});
