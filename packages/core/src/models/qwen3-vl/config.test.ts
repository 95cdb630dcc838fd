import { expect, test } from "vitest";
import { readQwen3VLVisionConfig } from "./config.js";

const codeAndText = (visionConfig: Record<string, unknown>) => {
  try {
    readQwen3VLVisionConfig(visionConfig);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code} ${message}`;
  }
  return "accepted";
};

// The bound of each key, with values of other keys that make the config consistent.
test.each<[key: string, limit: number, others: Record<string, unknown>]>([
  ["depth", 256, {}],
  ["hidden_size", 16_384, {}],
  ["intermediate_size", 131_072, {}],
  ["num_heads", 256, { hidden_size: 1024 }],
  ["in_channels", 16, {}],
  ["patch_size", 128, {}],
  ["spatial_merge_size", 16, {}],
  ["temporal_patch_size", 64, {}],
  ["out_hidden_size", 65_536, {}],
  ["num_position_embeddings", 1_048_576, {}],
])("vision_config.%s is at most %i", (key, limit, others) => {
  expect(codeAndText({ ...others, [key]: limit })).toBe("accepted");
  for (const value of [limit + 1, 1e300]) {
    expect(codeAndText({ ...others, [key]: value })).toBe(
      `VG_MODEL_INVALID vision_config.${key} is ${value}: expected at most ${limit}; check the checkpoint's config.json`,
    );
  }
  for (const value of [0, -1, 1.5, Number.POSITIVE_INFINITY, "4", true, [4]]) {
    expect(codeAndText({ ...others, [key]: value })).toMatch(
      new RegExp(`^VG_MODEL_INVALID vision_config.${key} is .{1,20}: expected a positive integer; `),
    );
  }
});

test.each([
  [{ deepstack_visual_indexes: [3, 3] }, "is a list of 2: expected different layers"],
  [{ deepstack_visual_indexes: [27] }, "is 27: expected layers below depth 27"],
  [{ deepstack_visual_indexes: [-1] }, "is a list of 1: expected a list of layer numbers"],
  [{ hidden_act: 7 }, "is 7: expected a string"],
  [{ hidden_size: 1000 }, "is 16: expected a divisor of hidden_size 1000"],
  [{ hidden_size: 96 }, "is 16: expected a number that makes the head size a multiple of 4"],
  [{ hidden_size: 1028, num_heads: 1 }, "is 1: expected a number that makes the head size at most 1024"],
  [{ num_position_embeddings: 2303 }, "is 2303: expected the square of a whole number"],
  [{ rope_parameters: { rope_theta: Number.POSITIVE_INFINITY } }, "is Infinity: expected a positive number"],
  [{ rope_parameters: { rope_theta: -1 } }, "is -1: expected a positive number"],
  [{ rope_parameters: { rope_theta: "9".repeat(999) } }, "… of 999 characters: expected a positive number"],
])("%o is refused", (visionConfig, text) => {
  const message = codeAndText(visionConfig);
  expect(message).toMatch(/^VG_MODEL_INVALID vision_config\./);
  expect(message).toContain(text);
  expect(message.length).toBeLessThan(300);
});
