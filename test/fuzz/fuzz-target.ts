/**
 * A fuzz target: a property that must hold for every input. One target a file, `<name>.fuzz.ts`, as its default export.
 *
 *     export default { name: "safetensors", property: fc.asyncProperty(…) } satisfies FuzzTarget;
 *
 * fast-check draws the inputs from a seed, so that a failure repeats anywhere, and shrinks the one that fails.
 */
import { readdir } from "node:fs/promises";
import type { IRawProperty } from "fast-check";

export interface FuzzTarget {
  /** As its file: `<name>.fuzz.ts`. */
  readonly name: string;
  readonly property: IRawProperty<unknown, boolean>;
  /** Inputs of the short run in `npm test`; fewer where one input is slow. Default: {@link SHORT_RUN_INPUTS}. */
  readonly shortRunInputs?: number;
}

export const SHORT_RUN_INPUTS = 200;
/** The short run's. Any number would do; a fixed one makes the run the same everywhere. */
export const SHORT_RUN_SEED = 20_261_126;

/** All targets of this folder, by name. */
export async function loadFuzzTargets(): Promise<readonly FuzzTarget[]> {
  const files = (await readdir(new URL(".", import.meta.url))).filter((file) => file.endsWith(".fuzz.ts"));
  return Promise.all(
    files.sort().map(async (file) => {
      const { default: target } = (await import(/* @vite-ignore */ `./${file}`)) as { default: FuzzTarget };
      if (`${target.name}.fuzz.ts` !== file) throw new Error(`${file} has a target called ${target.name}`);
      return target;
    }),
  );
}
