/**
 * The options of `vllm serve`, by their long names without dashes. A `--config` file and a command line may hold any of
 * them; an option that is none of them is misspelt, or newer than the list.
 */
import { editDistance, nearestKey } from "@vitgraph/errors";
import list from "../../schema/vllm-serve-options.json" with { type: "json" };

const NAMES: ReadonlySet<string> = new Set(Object.keys(list.options));

/** Options that vitgraph reads. A misspelling of one is an error, since it would change the outcome. */
const OWN_NAMES = [
  "compilation-config",
  "optimization-level",
  "enforce-eager",
  "cudagraph-capture-sizes",
  "max-cudagraph-capture-size",
  "mm-processor-kwargs",
  "config",
] as const;

/** Short names, which a file may not have. */
const LONG_NAMES: Readonly<Record<string, (typeof OWN_NAMES)[number]>> = {
  cc: "compilation-config",
  O: "optimization-level",
};

/** Most wrong letters in a misspelling; beyond that it may be a new option of vLLM: quantization-config is six from compilation-config. */
const MOST_EDITS = 3;

/** The long name without dashes in front: "compilation-config" for `--compilation_config`. */
export function optionName(option: string): string {
  return option.replace(/^-+/, "").replaceAll("_", "-");
}

/** True if `vllm serve` has the option; flags may be negated. @param name from `optionName` */
export function isServeOption(name: string): boolean {
  return NAMES.has(name) || (name.startsWith("no-") && NAMES.has(name.slice(3)));
}

/** The option that vitgraph reads and that a misspelt name most resembles. Cheap, since a file may have many keys. */
export function nearestOwnOption(name: string): string | undefined {
  if (Object.hasOwn(LONG_NAMES, name)) return LONG_NAMES[name];
  return OWN_NAMES.find((own) => {
    const limit = Math.min(MOST_EDITS, Math.floor(own.length / 3));
    return editDistance(name, own, limit + 1) <= limit;
  });
}

/** The option of `vllm serve` that a misspelt name most resembles. */
export function nearestServeOption(name: string): string | undefined {
  return nearestKey(name, [...NAMES]);
}
