/**
 * Encodes a folder's images to one safetensors file, with progress.
 *
 *     pnpm encode-and-save CHECKPOINT_DIR photos/ embeddings.safetensors
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EncoderEngine, embeddingPieces, type NamedEmbedding } from "@vitgraph/core";

const [model, folder, output] = process.argv.slice(2);
if (model === undefined || folder === undefined || output === undefined) {
  console.error("usage: encode-and-save CHECKPOINT_DIR FOLDER FILE.safetensors");
  process.exit(2);
}

const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp|gif)$/i.test(name)).sort();
const images = await Promise.all(names.map((name) => readFile(join(folder, name))));
await using engine = await EncoderEngine.create({ model });
const embeddings: NamedEmbedding[] = [];
for await (const { index, outcome } of engine.encodeEach(images.map((image) => ({ image })))) {
  const name = names[index] as string;
  if (outcome.status === "rejected") {
    console.error(`${name}: ${outcome.reason.message}`);
    process.exitCode = 1;
    continue;
  }
  embeddings.push({ name, embedding: outcome.value });
  console.log(`${embeddings.length} of ${names.length}: ${name}`);
}
await writeFile(output, embeddingPieces(embeddings, "bf16"));
