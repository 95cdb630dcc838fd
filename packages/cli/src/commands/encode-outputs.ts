/** The output file of `vitgraph encode`: safetensors, `.npy` or JSON lines, by its ending. */
import { embeddingBytes, embeddingPieces, encodeNpy, type NamedEmbedding } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { CliIo } from "../cli-io.js";
import { writeOutput } from "../files.js";

export const OUTPUT_ENDINGS = [".safetensors", ".npy", ".jsonl"] as const;
type OutputEnding = (typeof OUTPUT_ENDINGS)[number];

export type OutputDType = "f32" | "bf16";

/** The formats, for --help. */
export const OUTPUT_FORMATS = `The extension of the output file selects its format:
  .safetensors   a tensor [tokens, columns] for each file. The metadata has "NAME.grid_thw", the patches as [frames, height, width], and for videos "NAME.timestamps", the seconds of each temporal patch.
  .npy           the embedding of one file, f32 [tokens, columns]
  .jsonl         a line for each file: {"name", "shape", "grid_thw", "timestamps"?, "embedding"}, the numbers row by row
An embedding has the name of its file, "photo.jpg", or of the last part of a URL's path; standard input is "stdin", a data URL "data". If two files share a name, the path as given is used. A name that is taken gets the suffix #2, #3, …`;

export function outputEnding(path: string): OutputEnding {
  return OUTPUT_ENDINGS.find((ending) => path.toLowerCase().endsWith(ending)) as OutputEnding;
}

/**
 * Checks before encoding that the output format holds this many embeddings.
 * @throws VG_ARGUMENT_INVALID for an .npy of several
 */
export function checkFitsOutput(path: string | undefined, files: number): void {
  if (path === undefined || files === 1 || outputEnding(path) !== ".npy") return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `an .npy holds one embedding, and there are ${files} files`,
    {
      remedy: "give --output a name that ends in .safetensors or .jsonl",
      details: { path, files },
    },
  );
}

/** @param dtype of safetensors. The other formats have f32. */
export async function writeEmbeddings(
  path: string,
  embeddings: readonly NamedEmbedding[],
  dtype: OutputDType,
  io: CliIo,
): Promise<void> {
  const content: Readonly<Record<OutputEnding, () => Uint8Array | Iterable<string | Uint8Array>>> = {
    ".safetensors": () => embeddingPieces(embeddings, dtype),
    ".npy": () => encodeNpy((embeddings[0] as NamedEmbedding).embedding),
    ".jsonl": () => jsonLines(embeddings),
  };
  await writeOutput(path, content[outputEnding(path)](), io);
}

/** Numbers in a piece of text: a line may have more than a string can hold. */
const NUMBERS_A_PIECE = 65_536;

function* jsonLines(embeddings: readonly NamedEmbedding[]): Generator<string> {
  for (const { name, embedding, timestamps } of embeddings) {
    const { tokens, columns, grid } = embedding;
    const { buffer, byteOffset, byteLength } = embeddingBytes(embedding, "f32");
    const data = new Float32Array(buffer, byteOffset, byteLength / 4);
    const fields = { name, shape: [tokens, columns], grid_thw: [grid.t, grid.h, grid.w], timestamps };
    yield `${JSON.stringify(fields).slice(0, -1)},"embedding":[`;
    for (let at = 0; at < data.length; at += NUMBERS_A_PIECE)
      yield (at === 0 ? "" : ",") + data.subarray(at, at + NUMBERS_A_PIECE).join(",");
    yield "]}\n";
  }
}
