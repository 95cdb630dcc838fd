/** Writes the miniature checkpoint to a temporary directory and loads it, for tests of the runtime. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadedModel, loadModel } from "../models/load-model.js";
import { type MiniatureOptions, writeMiniatureCheckpoint } from "./miniature-checkpoint.js";

/** A loaded model of two narrow layers, with its checkpoint in a temporary directory. */
export interface MiniatureModel extends AsyncDisposable {
  readonly model: LoadedModel;
  /** The temporary directory. Disposing deletes it, with all files in it. */
  readonly directory: string;
}

/** Writes a miniature checkpoint to a temporary directory and loads it. Dispose of it when done. */
export async function openMiniatureModel(options: MiniatureOptions = {}): Promise<MiniatureModel> {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory, options);
  const model = await loadModel(directory);
  return {
    model,
    directory,
    async [Symbol.asyncDispose]() {
      await model[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}
