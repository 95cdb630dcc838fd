import { expect, test } from "vitest";
import { type GenerationResult, GenerationStream } from "./generation.js";

test("an answer that is cancelled while its last token is drawn stays cancelled", async () => {
  const stream = new GenerationStream(() => {});
  stream.fail(new Error("cancelled"));
  stream.push({ text: "the last token" });
  stream.finish({} as GenerationResult);
  const texts: string[] = [];
  const reading = (async () => {
    for await (const { text } of stream) texts.push(text);
  })();
  await expect(reading).rejects.toThrow("cancelled");
  await expect(stream.result).rejects.toThrow("cancelled");
});
