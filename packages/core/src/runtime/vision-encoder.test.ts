import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { expect, test } from "vitest";
import { openMiniatureModel } from "../testing/miniature-model.js";
import { VisionEncoder } from "./vision-encoder.js";

test("a callback that throws is reported, and costs no answer", async () => {
  const warnings: string[] = [];
  const listen = (warning: Error) => warnings.push(warning.message);
  process.on("warning", listen);
  await using miniature = await openMiniatureModel();
  using device = createNullDevice();
  const fail = () => {
    throw new Error("of no use");
  };
  using encoder = await VisionEncoder.create({
    model: miniature.model,
    device,
    onBatch: fail,
    onGridMiss: fail,
  });
  const item = { format: "u8_still", grid: { t: 1, h: 2, w: 4 }, pixels: new Uint8Array(96) } as const;
  for (let run = 0; run < 2; run++) {
    const [outcome] = await encoder.encode([item]);
    expect(outcome).toMatchObject({ status: "fulfilled", value: { tokens: 2 } });
  }
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toContain("a callback of the vision encoder threw: Error: of no use");
  process.off("warning", listen);
});
