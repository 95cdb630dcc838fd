/**
 * The options of `vllm serve`, by their long names without dashes. A `--config` file and a command line may hold any of
 * them; an option that is none of them is misspelt, or newer than the list.
 */
import { nearestKey } from "@vitgraph/errors";
import list from "../../schema/vllm-serve-options.json" with { type: "json" };

const NAMES: ReadonlySet<string> = new Set(Object.keys(list.options));

/** Those that decide what vitgraph does: a misspelling of one is an error, since it would change the outcome. */
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

/** Names beyond this length are no typos of an option. */
const LONGEST_TYPO = 100;

/** The long name without dashes in front: "compilation-config" for `--compilation_config`. */
export function optionName(option: string): string {
  return option.replace(/^-+/, "").replaceAll("_", "-");
}

/** Whether `vllm serve` has the option; flags may be negated. The name is as {@link optionName} gives it. */
export function isServeOption(name: string): boolean {
  return NAMES.has(name) || (name.startsWith("no-") && NAMES.has(name.slice(3)));
}

/** The option of `vllm serve` that was meant, and whether it is one that decides what vitgraph does. */
export function nearestServeOption(
  name: string,
): { readonly name: string; readonly isOwn: boolean } | undefined {
  if (name.length > LONGEST_TYPO) return undefined;
  const nearest = Object.hasOwn(LONG_NAMES, name) ? LONG_NAMES[name] : nearestKey(name, [...NAMES]);
  if (nearest === undefined) return undefined;
  return { name: nearest, isOwn: (OWN_NAMES as readonly string[]).includes(nearest) };
}
