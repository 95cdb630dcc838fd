import { expect, test } from "vitest";
import { contentParts } from "./content-parts.js";

/** The parts by JSON.parse, which the spans must hold. */
function parsedParts(json: string): readonly unknown[] {
  const { messages } = JSON.parse(json) as { messages?: unknown };
  if (!Array.isArray(messages)) return [];
  return messages.flatMap((message) => (Array.isArray(message?.content) ? message.content : []));
}

test.each([
  '{"messages":[{"role":"user","content":[{"type":"text"},{"type":"image_url"}]}]}',
  ' {\n "model" : "a" , "messages" : [ { "content" : [ 1 , "two" , null , true , -1.5e3 , [ ] , { } ] } ]\t} \n',
  '{"messages":[{"content":"[{\\"type\\":1}]"},{"content":null},{"content":[]},{},{"content":[{"a":"]}"}]}]}',
  '{"messages":[{"content":[{"a":"\\\\"},{"b":"\\\\\\""},{"c":"\\u005d"}]}]}',
  '{"me\\u0073sages":[{"content":[1,2]}]}',
  '{"messages":[{"content":[1]}],"messages":[{"content":[2],"content":[3,4]}]}',
  '{"tools":[{"messages":[{"content":[9]}]}],"messages":[[{"content":[8]}],5,"content",{"content":{"content":[7]}}]}',
  '{"messages":{"content":[1]}}',
  "{}",
  "[]",
  '"messages"',
  "12",
])("the spans hold what JSON.parse finds: %s", (json) => {
  const expected = json.startsWith("{") || json.startsWith(" ") ? parsedParts(json) : [];
  expect(contentParts(json).map(({ start, end }) => JSON.parse(json.slice(start, end)))).toEqual(expected);
});

test("parts of random chats, written with random spaces", () => {
  let seed = 1;
  const random = (most: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % most;
  };
  const strings = ["", "messages", "content", '"', "\\", "]", "}", '{"content":[1]}', "ä\u2028", "\n"];
  const value = (depth: number): unknown => {
    const kind = random(depth > 3 ? 4 : 6);
    if (kind === 0) return random(1000) / 8;
    if (kind < 3) return strings[random(strings.length)];
    if (kind === 3) return [null, true, false][random(3)];
    if (kind === 4) return Array.from({ length: random(4) }, () => value(depth + 1));
    return Object.fromEntries(
      Array.from({ length: random(4) }, () => [strings[random(strings.length)], value(depth + 1)]),
    );
  };
  for (let round = 0; round < 300; round++) {
    const messages = Array.from({ length: random(4) }, () => ({
      [strings[random(3)] as string]: value(1),
      ...(random(2) === 0 ? {} : { content: Array.from({ length: random(4) }, () => value(2)) }),
    }));
    const json = JSON.stringify({ model: value(2), messages, other: value(1) }, undefined, random(3));
    expect(contentParts(json).map(({ start, end }) => JSON.parse(json.slice(start, end)))).toEqual(
      parsedParts(json),
    );
  }
});
