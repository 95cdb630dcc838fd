import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { parseJson } from "./parse-json.js";

const PART_BYTES = 2 ** 18;
const parse = (text: string | Uint8Array, turn = async () => {}) => parseJson(Buffer.from(text), turn);
const BASE64 = "abcdEFGH0123+/".repeat(100_000);

test.each<[string, unknown]>([
  ["a small body", { input: "a" }],
  ["a long string", { input: BASE64 }],
  ["several, at all places of a value", [BASE64, { a: { b: [1, null, `${BASE64}=`] } }, "c", BASE64]],
  ["a body that is a string", BASE64],
  ["characters of two, three and four bytes", "é‑😀".repeat(200_000)],
  ["escapes", '"\\\n\u0000'.repeat(200_000)],
  ["escapes within a long string", `${BASE64}"\\\n${BASE64}`],
  ["the form of a mark", `<00000000-0000-0000-0000-000000000000:0>${BASE64}`],
  ["many values", Array.from({ length: 90_000 }, (_, index) => index)],
])("%s has JSON.parse's value", async (_, value) => {
  const text = JSON.stringify(value);
  expect((await parse(text)) === value || JSON.stringify(await parse(text)) === text).toBe(true);
});

test("as JSON.parse, wherever the parts end", async () => {
  const pieces = fc.constantFrom("a", "é", "😀", '"', "\\", "\n", "\\u0041", "[", "]", "{", ",");
  const strings = fc.array(pieces, { maxLength: 12 }).map((list) => list.join(""));
  const padding = fc.integer({ min: PART_BYTES - 40, max: PART_BYTES + 10 });
  await fc.assert(
    fc.asyncProperty(strings, strings, padding, padding, async (first, second, before, between) => {
      const value = [first, "x".repeat(before), second, { [second]: "y".repeat(between) + first }];
      const text = JSON.stringify(value);
      expect(JSON.stringify(await parse(text)) === text).toBe(true);
    }),
    { numRuns: 50 },
  );
});

describe("a large body takes a turn", () => {
  test("for each part, and for each string that is put together", async () => {
    const turn = vi.fn(async () => {});
    const images = [BASE64, BASE64, BASE64];
    const text = JSON.stringify(images);
    await parse(text, turn);
    const parts = Math.ceil(text.length / PART_BYTES);
    // Between the parts, before the parse, and before each string.
    expect(turn).toHaveBeenCalledTimes(parts - 1 + 1 + images.length);
  });

  test("and JSON.parse gets none of what lies within its strings", async () => {
    const parsed = vi.spyOn(JSON, "parse");
    const text = JSON.stringify([BASE64, BASE64, BASE64]);
    await parse(text);
    const [given] = parsed.mock.lastCall as [string];
    parsed.mockRestore();
    // The parts that hold a quote.
    expect(given.length).toBeLessThan(4.1 * PART_BYTES);
  });

  test("and a small one none", async () => {
    const turn = vi.fn(async () => {});
    await parse(JSON.stringify({ input: "a".repeat(200_000) }), turn);
    expect(turn).not.toHaveBeenCalled();
  });
});

test.each<[string, string | Uint8Array, string]>([
  ["nothing", "", "the body is not JSON"],
  ["a long string without an end", `"${BASE64}`, "the body is not JSON"],
  ["a control character within a long string", `"${BASE64}\u0001${BASE64}"`, "the body is not JSON"],
  ["a line's end within a long string", `"${BASE64}\n${BASE64}"`, "the body is not JSON"],
  ["depth behind a long string", `["${BASE64}",${"[".repeat(64)}`, "nested deeper than 64 levels"],
  ["values behind a long string", `["${BASE64}"${",1".repeat(100_001)}]`, "more than 100000 values"],
  [
    "bytes of no character",
    Buffer.concat([Buffer.alloc(PART_BYTES, "a"), Buffer.alloc(9, 0x80)]),
    "not UTF-8",
  ],
  ["half a character at the end", Buffer.from(`"${BASE64}é`).subarray(0, -1), "not UTF-8"],
  ["a member's name as long as that", `{"${BASE64}":1}`, "a member's name has more than 262144 characters"],
])("refuses %s", async (_, text, fact) => {
  await expect(parse(text)).rejects.toThrow(fact);
});
