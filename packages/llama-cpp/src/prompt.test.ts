import { expect, test } from "vitest";
import { promptFamily } from "./families.js";
import type { LanguageModel } from "./language-model.js";
import { placeMedia, promptUnits, readPrompt } from "./prompt.js";
import { Request } from "./request.js";
import type { Tokenizer } from "./tokenizer.js";
import type { MediaUnit } from "./units.js";

/** One token a character; control tokens from 1000 on. */
const CONTROLS = ["<|vision_start|>", "<|vision_end|>", "<start_of_image>", "<end_of_image>"];
const tokenizer = {
  firstToken: null,
  size: 2000,
  controls: new Map(CONTROLS.map((text, index) => [text, 1000 + index])),
  encode: async (text: string) => [...text].map((character) => character.codePointAt(0) as number),
} as unknown as Tokenizer;
const unit = (key: string): MediaUnit => ({ key, count: 4, rows: new Float32Array(4), span: 2 });
const read = (units: readonly (number | MediaUnit)[]) =>
  units
    .map((one) =>
      typeof one === "object"
        ? `{${one.key}}`
        : one < 1000
          ? String.fromCodePoint(one)
          : CONTROLS[one - 1000],
    )
    .join("");

test("a temporal patch of Qwen3-VL has its time and its own marks, in the place of the video's", async () => {
  const family = promptFamily("qwen3_vl");
  const rendered = ["<|vision_start|>", "<|video_pad|>", "<|vision_end|>"].map(
    (text) => ({ kind: "control", text }) as const,
  );
  const pieces = placeMedia([...rendered, { kind: "text", text: "why?" }], family, [
    { type: "video", video: "" },
  ]);
  const video = {
    type: "video",
    pieces: [
      { unit: unit("a"), seconds: 0.25 },
      { unit: unit("b"), seconds: 1 },
    ],
  } as const;
  expect(read(await promptUnits(pieces, [video], family, tokenizer))).toBe(
    "<0.3 seconds><|vision_start|>{a}<|vision_end|><1.0 seconds><|vision_start|>{b}<|vision_end|>why?",
  );
});

test("an image of Qwen stands between the template's marks, one of Gemma 3 brings its own", async () => {
  const encoded = [{ type: "image", pieces: [{ unit: unit("a") }] } as const];
  const media = [{ type: "image", image: "" } as const];
  const qwen = promptFamily("qwen2_5_vl");
  const marked = ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"].map(
    (text) => ({ kind: "control", text }) as const,
  );
  expect(read(await promptUnits(placeMedia(marked, qwen, media), encoded, qwen, tokenizer))).toBe(
    "<|vision_start|>{a}<|vision_end|>",
  );
  const gemma = promptFamily("gemma3");
  const soft = placeMedia([{ kind: "control", text: "<start_of_image>" }], gemma, media);
  expect(read(await promptUnits(soft, encoded, gemma, tokenizer))).toBe(
    "\n\n<start_of_image>{a}<end_of_image>\n\n",
  );
});

test("a template without a place for an image is an error", () => {
  const family = promptFamily("qwen3_vl");
  expect(() => placeMedia([{ kind: "text", text: "hi" }], family, [{ type: "image", image: "" }])).toThrow(
    "the chat template has places for 0 images and videos, and the messages have 1",
  );
});

test("the first token of a model is not doubled", async () => {
  const withFirst = { ...tokenizer, firstToken: 2 } as Tokenizer;
  const units = (tokens: number[]) => promptUnits([{ tokens }], [], undefined, withFirst);
  expect(await units([5])).toEqual([2, 5]);
  expect(await units([2, 5])).toEqual([2, 5]);
  await expect(units([2000])).rejects.toThrow(
    "the prompt has the token 2000: give whole numbers from 0 to 1999",
  );
});

test("images without a vision model are refused for that reason, and not for the chat template", () => {
  const rendered = [{ kind: "text", text: "why?" }] as const;
  expect(() => placeMedia(rendered, undefined, [{ type: "image", image: "" }])).toThrow(
    "the engine has no vision model: pass visionModel to createLlamaEngine",
  );
});

test.each([
  [null, "prompt[0] is null"],
  [5, "prompt[0] is 5"],
  [{ tokens: "abc" }, "prompt[0] is { tokens }"],
  [{ control: 7 }, "prompt[0] is { control }"],
  [{ type: "audio" }, "prompt[0] is { type }"],
])("the prompt's part %j is refused by name", (part, message) => {
  expect(() => readPrompt([part as never])).toThrow(expect.objectContaining({ code: "VG_ARGUMENT_INVALID" }));
  expect(() => readPrompt([part as never])).toThrow(message);
});

test("a prompt may have more tokens than a call has arguments", async () => {
  const count = 300_000;
  const pieces = [{ text: "a".repeat(count) }, { tokens: new Array<number>(count).fill(5) }];
  const units = await promptUnits(pieces, [], undefined, tokenizer);
  expect(units.length).toBe(2 * count);
  const model = { tokenizer, createChain: () => 0n, freeChain() {} } as unknown as LanguageModel;
  const request = new Request({}, () => {});
  request.setPrompt(units, units.length + 1, model);
  expect(request.units.length).toBe(units.length);
});
