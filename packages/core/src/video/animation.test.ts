import sharp from "sharp";
import { expect, test } from "vitest";
import { openAnimation } from "./animation.js";

test("the frames of an animated WebP lose their alpha without blending, as in Pillow", async () => {
  const [width, pageHeight] = [16, 8];
  const colours = [
    [250, 10, 30, 128],
    [20, 200, 40, 64],
  ];
  const rgba = Buffer.from(
    colours.flatMap((colour) =>
      Array(width * pageHeight)
        .fill(colour)
        .flat(),
    ),
  );
  const raw = { width, height: 2 * pageHeight, channels: 4, pageHeight } as const;
  const webp = await sharp(rgba, { raw }).webp({ lossless: true }).toBuffer();
  const { info, frames } = await openAnimation(webp, 1e6);
  expect(info).toMatchObject({ frames: 2, width, height: pageHeight });
  const found: number[][] = [];
  for await (const frame of frames([0, 1])) found.push([...frame.subarray(0, 3)]);
  expect(found).toEqual(colours.map((colour) => colour.slice(0, 3)));
});
