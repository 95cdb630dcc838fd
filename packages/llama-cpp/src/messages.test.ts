import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { type Message, readMessages, readSource } from "./messages.js";

test("images and videos are taken out in their order, and the template sees their types", () => {
  const { messages, media } = readMessages([
    { role: "system", content: "short" },
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "a.png" } },
        { type: "text", text: "and" },
        { type: "video", video: "b.gif", fps: 2 },
      ],
    },
  ]);
  expect(messages[1]?.content).toEqual([{ type: "image" }, { type: "text", text: "and" }, { type: "video" }]);
  expect(media).toEqual([
    { type: "image", image: "a.png" },
    { type: "video", video: "b.gif", fps: 2 },
  ]);
});

test("parts of text alone are one text", () => {
  const content = [{ type: "text", text: "a" } as const, { type: "text", text: "b" } as const];
  expect(readMessages([{ role: "user", content }]).messages[0]?.content).toBe("ab");
});

test("arguments of tool calls become objects for the template", () => {
  const call = (text: string) => ({
    id: "1",
    type: "function",
    function: { name: "f", arguments: text },
  });
  const { messages } = readMessages([
    { role: "assistant", content: null, tool_calls: [call('{"a": 1}'), call("{a")] },
  ]);
  expect(messages[0]?.tool_calls).toEqual([
    { id: "1", type: "function", function: { name: "f", arguments: { a: 1 } } },
    call("{a"),
  ]);
});

test("what is wrong is named with its place", () => {
  const wrong = (message: unknown) => () => readMessages([message as Message]);
  expect(wrong({ role: "bot", content: "" })).toThrow('messages[0].role is "bot"');
  expect(wrong({ role: "user", content: 3 })).toThrow("messages[0].content is 3");
  expect(wrong({ role: "user", content: [{ type: "audio" }] })).toThrow(
    'messages[0].content[0] is { type } with type "audio"',
  );
  expect(() => readMessages([])).toThrow("messages are an empty list");
});

test("a file comes as bytes, a path, a file URL or a data URL", async () => {
  const path = new URL(import.meta.url).pathname;
  const bytes = await readSource(path);
  expect(await readSource(pathToFileURL(path))).toEqual(bytes);
  expect(Buffer.from(await readSource("data:image/png;base64,aGk=")).toString()).toBe("hi");
  expect(await readSource(new Blob(["hi"]))).toEqual(new Uint8Array(Buffer.from("hi")));
  await expect(readSource("data:image/png,hi")).rejects.toThrow("it has no ;base64, in it");
  await expect(readSource("https://a/b.png")).rejects.toThrow("is not fetched");
  expect(Buffer.from(await readSource("DATA:image/png;base64,aGk=")).toString()).toBe("hi");
  await expect(readSource("file://host/a.png")).rejects.toThrow(
    'the URL "file://host/a.png" names no file: use file:///absolute/path',
  );
  await expect(readSource(undefined)).rejects.toThrow("an image or video is undefined");
});
