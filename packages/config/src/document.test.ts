import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ConfigDocument, parseJsonDocument } from "./document.js";
import { toPointer } from "./pointer.js";
import { problemsOf } from "./problem.js";

function syntaxProblems(text: string) {
  try {
    parseJsonDocument(text, "c.json");
  } catch (error) {
    return problemsOf(error);
  }
  throw new Error("expected problems, and there are none");
}

describe("parseJsonDocument", () => {
  const text = `{
  "a": {"b/c": [10, 20]},
  "d": "x"
}`;
  const document = parseJsonDocument(text, "c.json");

  test.each([
    ["", "value", 1, 1],
    ["/a", "value", 2, 8],
    ["/a", "key", 2, 3],
    ["/a/b~1c", "key", 2, 9],
    ["/a/b~1c/1", "value", 2, 21],
    ["/d", "value", 3, 8],
    ["/a/missing/deeper", "value", 2, 8],
    ["/missing", "value", 1, 1],
  ] as const)("locates %j (%s) at %i:%i", (pointer, part, line, column) => {
    expect(document.locate(pointer, part)).toEqual({ source: "c.json", line, column });
  });

  test("gives what JSON.parse gives", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(parseJsonDocument(json, "c.json").value).toEqual(JSON.parse(json));
      }),
    );
  });

  test("locates every member of an object at its text", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), (object) => {
        const json = JSON.stringify(object, null, 2);
        const lines = json.split("\n");
        const { locate } = bound(parseJsonDocument(json, "c.json"));
        for (const [key, value] of Object.entries(object)) {
          const { line = 0, column = 0 } = locate(toPointer([key]));
          expect(lines[line - 1]?.slice(column - 1)).toMatch(new RegExp(`^${value},?$`));
        }
      }),
    );
  });

  test("lists keys that occur twice, once each", () => {
    const twice = parseJsonDocument('{"a": 1, "b": {"c": 1, "c": 2, "c": 3}, "a": 4}', "c.json");
    expect(twice.duplicates).toEqual(["/a", "/b/c"]);
    expect(twice.value).toEqual({ a: 4, b: { c: 3 } });
    expect(twice.locate("/a")).toEqual({ source: "c.json", line: 1, column: 46 });
  });

  test("reads over a byte order mark, without moving columns", () => {
    const marked = parseJsonDocument('\uFEFF{"a": 1}', "c.json");
    expect(marked.value).toEqual({ a: 1 });
    expect(marked.locate("/a")).toEqual({ source: "c.json", line: 1, column: 8 });
  });

  test("opens a value as a document of its own", () => {
    const inner = document.open("/a");
    expect(inner.value).toEqual({ "b/c": [10, 20] });
    expect(inner.locate("/b~1c/0")).toEqual({ source: "c.json", line: 2, column: 17 });
  });

  test("opens a string as the JSON that it holds, all at the string's place", () => {
    const inner = parseJsonDocument('{"cc": "{\\"a\\": 1}"}', "c.json").open("/cc");
    expect(inner.value).toEqual({ a: 1 });
    expect(inner.locate("/a")).toEqual({ source: "c.json", line: 1, column: 8 });
  });
});

describe("syntax errors", () => {
  test.each([
    ["", 1, 1, "the text is empty", "write {} for the defaults"],
    ["  \n", 1, 1, "the text is empty", "write {} for the defaults"],
    [
      "{'a': 1}",
      1,
      2,
      "this is not JSON: found 'a' where a JSON value should be",
      "write strings and keys in double quotes, and true, false and null in lower case",
    ],
    [
      '{"a": True}',
      1,
      7,
      "this is not JSON: found True where a JSON value should be",
      "write strings and keys in double quotes, and true, false and null in lower case",
    ],
    [
      '{"a": 1,}',
      1,
      9,
      "this is not JSON: found } where a key in double quotes should be",
      "quote the key, or remove the comma before the closing brace",
    ],
    [
      '{"a": [1,]}',
      1,
      10,
      "this is not JSON: found ] where a value should be",
      "add the value, or remove the comma before the closing bracket",
    ],
    [
      '{"a" 1}',
      1,
      6,
      "this is not JSON: found 1 where a colon after the key should be",
      'write "key": value',
    ],
    [
      '{"a": 1\n "b": 2}',
      2,
      2,
      'this is not JSON: found "b" where a comma between two entries should be',
      "add the comma",
    ],
    ['{"a": 1', 1, 8, "this is not JSON: the text ends where a closing brace should be", "add }"],
    ['{"a": [1', 1, 9, "this is not JSON: the text ends where a closing bracket should be", "add ]"],
    [
      '{"a": 1} x',
      1,
      10,
      "this is not JSON: found x where a JSON value should be",
      "write strings and keys in double quotes, and true, false and null in lower case",
    ],
    [
      "{} {}",
      1,
      4,
      "this is not JSON: found { where the end of the text should be",
      "remove what follows the JSON value",
    ],
    [
      '{"a": 1} // x',
      1,
      10,
      "this is not JSON: found // x where JSON without comments should be",
      "remove the comment: vLLM reads strict JSON",
    ],
    ['{"a": "x}', 1, 7, 'this is not JSON: found "x} where a closing double quote should be', 'add "'],
  ])("%j", (text, line, column, message, remedy) => {
    expect(syntaxProblems(text)[0]).toMatchObject({ source: "c.json", line, column, message, remedy });
  });

  test("one for each line that has some", () => {
    expect(syntaxProblems('{\'a\': 1,\n "b": [1,],\n "c": }').map((problem) => problem.line)).toEqual([
      1, 2, 3,
    ]);
  });

  test("nesting beyond any reason is refused, not a crash", () => {
    const [problem] = syntaxProblems("[".repeat(200_000));
    expect(problem?.message).toBe("the JSON is nested too deeply to be read");
  });
});

function bound(document: ConfigDocument) {
  return { locate: document.locate.bind(document) };
}
