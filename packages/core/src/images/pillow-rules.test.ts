/**
 * Files at the edges of the formats, decoded by Pillow's rules. `make.py` next to them generates files and
 * expectations.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { decodeImage, openImage } from "./decode.js";

interface Expectation {
  readonly width: number;
  readonly height: number;
  readonly sha256: string;
}

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/pillow-rules/", import.meta.url));
const expected: Readonly<Record<string, Expectation | null>> = JSON.parse(
  readFileSync(`${folder}expected.json`, "utf8"),
);

test.each(Object.entries(expected))("%s: pixels, or refusal, as in Pillow", async (name, row) => {
  const bytes = await readFile(folder + name);
  const outcome = await decodeImage(bytes).catch((error: unknown) => error);
  if (row === null) {
    expect(VitgraphError.is(outcome) && outcome.code).toBe("VG_IMAGE_INVALID");
    return;
  }
  if (outcome instanceof Error) throw outcome;
  const { width, height, rgb } = outcome as Awaited<ReturnType<typeof decodeImage>>;
  expect({ width, height, sha256: createHash("sha256").update(rgb).digest("hex") }).toEqual(row);
  expect(await openImage(bytes)).toMatchObject({ width, height });
});
