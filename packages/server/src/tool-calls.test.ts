import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type AnswerPiece, ToolCallParser } from "./tool-calls.js";

const WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>';
const CALL = { type: "call", call: { name: "weather", arguments: '{"city":"Oslo"}' } } as const;

/** Pieces with neighbouring text joined. */
function parse(parts: readonly string[], names: readonly string[] = ["weather"]): readonly AnswerPiece[] {
  const parser = new ToolCallParser(names);
  const joined: AnswerPiece[] = [];
  for (const piece of [...parts.flatMap((part) => parser.push(part)), ...parser.end()]) {
    const last = joined.at(-1);
    if (piece.type === "text" && last?.type === "text")
      joined[joined.length - 1] = { type: "text", text: last.text + piece.text };
    else joined.push(piece);
  }
  return joined;
}
const text = (value: string) => ({ type: "text", text: value });

test("calls and the text around them are told apart", () => {
  expect(parse([`Let me look.\n${WEATHER}\n${WEATHER}\nDone`])).toEqual([
    text("Let me look.\n"),
    CALL,
    CALL,
    text("Done"),
  ]);
});

test("however the text is cut, the pieces are the same", () => {
  const whole = `a <tool ${WEATHER} \n b <tool_call>{"name": 1}</tool_call> <tool_call>c</tool_call>${WEATHER}<tool_cal`;
  const expected = parse([whole]);
  expect(expected.filter(({ type }) => type === "call")).toHaveLength(2);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), whole.length];
      expect(parse(at.slice(1).map((end, index) => whole.slice(at[index], end)))).toEqual(expected);
    }),
  );
});

test("text goes out at once, but for what may open a call", () => {
  const parser = new ToolCallParser(["weather"]);
  expect(parser.push("hello <to")).toEqual([text("hello ")]);
  expect(parser.push("p>")).toEqual([text("<top>")]);
});

test.each([
  ["is no JSON", "<tool_call>{</tool_call>"],
  ["names a tool that was not offered", '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'],
  ["has no name", "<tool_call>null</tool_call>"],
  ["is cut off", '<tool_call>{"name": "weat'],
])("a block that %s stays text", (_, block) => {
  expect(parse([block])).toEqual([text(block)]);
});

test("a whole call that is not closed is a call, and arguments may be left out", () => {
  expect(parse(['<tool_call>{"name": "weather"}'])).toEqual([
    { type: "call", call: { name: "weather", arguments: "{}" } },
  ]);
});

test("without tools all is text", () => {
  expect(parse([WEATHER], [])).toEqual([text(WEATHER)]);
});
