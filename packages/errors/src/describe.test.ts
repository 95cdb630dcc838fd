import { expect, test } from "vitest";
import { checkOptions, describe } from "./index.js";

const messageOf = (options: unknown): string => {
  try {
    checkOptions("createDevice", options, ["backend", "threads"]);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
};

test("known options pass, an unknown one is an error with the nearest known name", () => {
  expect(messageOf({ backend: 1, threads: undefined })).toBe("");
  expect(messageOf({ backnd: "cpu" })).toBe('createDevice has no option "backnd": did you mean "backend"?');
  expect(messageOf({ colour: 1, x: 2 })).toBe(
    'createDevice has no option "colour", "x": the options are backend, threads',
  );
  expect(messageOf(["cpu"])).toBe("the options of createDevice are a list of 1: pass an object");
  expect(messageOf(null)).toBe("the options of createDevice are null: pass an object");
});

test("what is quoted is short, whatever was passed", () => {
  const long = "x".repeat(1e6);
  const many = Object.fromEntries(
    Array.from({ length: 1e4 }, (_, index) => [`${long.slice(0, 99)}${index}`, 1]),
  );
  expect(messageOf({ [long]: 1 }).length).toBeLessThan(300);
  expect(messageOf(many).length).toBeLessThan(900);
  expect(describe(long)).toBe(`"${"x".repeat(60)}"… of 1000000 characters`);
  expect(describe(many).length).toBeLessThan(400);
  const values = [
    new Uint8Array(600),
    [1, 2],
    [],
    {},
    { image: 1 },
    new URL("file:///a"),
    Number.NaN,
    () => 1,
  ];
  expect(values.map(describe)).toEqual([
    "a Uint8Array of 600 bytes",
    "a list of 2",
    "an empty list",
    "{}",
    "{ image }",
    "an object of type URL",
    "NaN",
    "a function",
  ]);
});
