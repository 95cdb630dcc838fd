import { expect, test, vi } from "vitest";
import { decoderVersions } from "./decoders.js";
import { blockUnusedLoaders } from "./images/block-loaders.js";

vi.mock("sharp", () => {
  throw new Error("libvips.so.42: cannot open shared object file");
});

test("a sharp that cannot be loaded is reported, and only what needs it fails", async () => {
  blockUnusedLoaders();
  const { images } = await decoderVersions();
  expect(images).toMatchObject({
    reason: expect.stringContaining("decoding images needs the package sharp, which cannot be loaded"),
    remedy: "npm install sharp",
  });
});
