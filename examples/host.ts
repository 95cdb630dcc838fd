/**
 * A host engine that takes vitgraph as its multimodal encoder, through the plugin contract. This host only counts rows; a
 * real one writes them at the positions of the image tokens.
 *
 *     pnpm host CHECKPOINT_DIR photo.jpg
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createEncoderPlugin } from "@vitgraph/core";
import type { HostEngine, MultimodalEncoder } from "@vitgraph/core/contract";

const [path, photo] = process.argv.slice(2);
if (path === undefined || photo === undefined) {
  console.error("usage: host CHECKPOINT_DIR IMAGE");
  process.exit(2);
}

const encoders = new Map<string, MultimodalEncoder>();
const host: HostEngine = {
  name: "an example",
  specificationVersions: [1],
  model: { config: JSON.parse(await readFile(join(path, "config.json"), "utf8")), path },
  compilationConfig: { cudagraph_mm_encoder: true, compile_mm_encoder: true },
  takenModalities: () => [...encoders.keys()],
  registerMultimodalEncoder(modality, encoder) {
    if (encoders.has(modality)) throw new Error(`${modality} has an encoder`);
    encoders.set(modality, encoder);
    return () => void (encoders.get(modality) === encoder && encoders.delete(modality));
  },
};

await using registration = await createEncoderPlugin().register(host);
const image = await readFile(photo);
const [spec] = (await encoders.get("image")?.getItemSpecs([{ image }])) ?? [];
const [outcome] = (await encoders.get("image")?.encode([{ image }])) ?? [];
if (outcome?.status !== "fulfilled") throw new Error(outcome?.reason.message);
console.log(`${outcome.value.tokens} rows of ${registration.encoder.out_hidden_size} for`, spec);
