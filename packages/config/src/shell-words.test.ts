import fc from "fast-check";
import { expect, test } from "vitest";
import { editWord, shellWords } from "./shell-words.js";

const words = (line: string) => shellWords(line).map(({ text }) => text);

test.each([
  ["a b  c\n", ["a", "b", "c"]],
  [`-cc '{"mode": 3}' --port 1`, ["-cc", '{"mode": 3}', "--port", "1"]],
  [`-cc "{\\"mode\\": 3}"`, ["-cc", '{"mode": 3}']],
  [`--compilation-config='{"mode": 3}'`, ['--compilation-config={"mode": 3}']],
  ["a\\ b \\\n c", ["a b", "c"]],
  ["''", [""]],
  ["'unclosed quote", ["unclosed quote"]],
  ["", []],
])("%j", (line, expected) => {
  expect(words(line)).toEqual(expected);
});

test("an edit of a word changes that word alone", () => {
  const line = `a "b\\"c" 'd e' f`;
  const [, double, single, plain] = shellWords(line);
  const apply = (edit: ReturnType<typeof editWord>) =>
    edit === undefined ? undefined : line.slice(0, edit.start) + edit.text + line.slice(edit.end);
  expect(apply(editWord(double!, { start: 1, end: 2, text: '"x"' }))).toBe(`a "b\\"x\\"c" 'd e' f`);
  expect(apply(editWord(single!, { start: 3, end: 3, text: "!" }))).toBe(`a "b\\"c" 'd e!' f`);
  expect(apply(editWord(plain!, { start: 0, end: 1, text: "g" }))).toBe(`a "b\\"c" 'd e' g`);
  expect(apply(editWord(single!, { start: 0, end: 0, text: "it's" }))).toBeUndefined();
  expect(apply(editWord(plain!, { start: 0, end: 0, text: "two words" }))).toBeUndefined();
});

test("words that are quoted come back as they were", () => {
  const word = fc.string({ minLength: 1 });
  fc.assert(
    fc.property(fc.array(word), (list) => {
      const line = list.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(" ");
      expect(words(line)).toEqual(list);
    }),
  );
});
