import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readJsonObject } from "./checkpoint.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function outcome(text: string | Uint8Array): Promise<unknown> {
  const path = join(directory, "config.json");
  await writeFile(path, text);
  return readJsonObject(directory, "config.json").catch(({ code, message }) => {
    return `${code} ${message.replace(path, "FILE")}`;
  });
}

describe("bounds of a JSON file", () => {
  const nested = (depth: number) => `${'{"a":'.repeat(depth - 1)}{}${"}".repeat(depth - 1)}`;

  test("on depth are checked before it is parsed", async () => {
    expect(await outcome(nested(64))).toEqual(JSON.parse(nested(64)));
    const error = "VG_MODEL_INVALID FILE is nested more than 64 deep: copy or download it again";
    expect(await outcome(nested(65))).toBe(error);
    expect(await outcome("[".repeat(1_000_000))).toBe(error);
  });

  test("on depth ignore brackets within strings", async () => {
    expect(await outcome(JSON.stringify({ a: '["\\'.repeat(100) }))).toEqual({ a: '["\\'.repeat(100) });
  });

  test("on size are checked before it is read", async () => {
    const most = 64 * 2 ** 20;
    expect(await outcome(new Uint8Array(Buffer.alloc(most, " ").fill("{}", 0, 2)))).toEqual({});
    // A sparse file of 4 TiB.
    await truncate(join(directory, "config.json"), 2 ** 42);
    await expect(readJsonObject(directory, "config.json")).rejects.toMatchObject({
      code: "VG_MODEL_INVALID",
      message: expect.stringContaining(`has ${2 ** 42} bytes, above ${most}: copy or download it again`),
    });
  });
});

test.each([
  ['{"a": NaN, "b": -Infinity, "c": [Infinity]}', { a: "NaN", b: -Infinity, c: [Infinity] }],
  ['{"NaN": "Infinity \\" NaN", "b": NaN}', { NaN: 'Infinity " NaN', b: "NaN" }],
  ['{"a\\\\": NaN}', { "a\\": "NaN" }],
  ['{"a": NaN', "VG_MODEL_INVALID FILE is not JSON: copy or download it again"],
  ['{"a": "NaN', "VG_MODEL_INVALID FILE is not JSON: copy or download it again"],
  ["NaN", "VG_MODEL_INVALID FILE is not a JSON object: copy or download it again"],
])("%s, as Python reads it", async (text, expected) => {
  expect(await outcome(text)).toEqual(expected);
});
