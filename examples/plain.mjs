/**
 * Plain JavaScript for Node 20: embeddings of images, printed.
 *
 *     node plain.mjs CHECKPOINT_DIR photo.jpg other.png
 */
import { readFile } from "node:fs/promises";
import { EncoderEngine } from "@vitgraph/core";

const [model, ...paths] = process.argv.slice(2);
if (model === undefined || paths.length === 0) {
  console.error("usage: node plain.mjs CHECKPOINT_DIR IMAGE…");
  process.exit(2);
}

const engine = await EncoderEngine.create({ model });
try {
  const images = await Promise.all(paths.map((path) => readFile(path)));
  const outcomes = await engine.encode(images.map((image) => ({ image })));
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === "rejected") console.error(`${paths[index]}: ${outcome.reason.message}`);
    else console.log(`${paths[index]}: ${outcome.value.tokens} tokens of ${outcome.value.columns} numbers`);
  }
} finally {
  await engine.close();
}
