/**
 * The command-line forms of a compilation config, as `vllm serve` takes them:
 *
 *     --compilation-config '{"mode": 3}'   -cc '{…}'   -cc='{…}'
 *     -cc.mode=3   -cc.pass_config.enable_sp true   -cc.custom_ops+=+rms_norm,-silu   -cc.key=16k
 *     -O2   -O 2   --enforce-eager   --config serve.yaml
 *
 * It is not a command-line library: unknown arguments are returned in order, for a library to parse.
 *
 * One difference from vLLM may surprise: there, dotted arguments replace the JSON, and both replace the file's config.
 * Here all of them merge, key by key, and a note tells where the outcome differs.
 */
import type { ConfigDocument } from "../document.js";
import { GivenSettings } from "./given.js";
import { readArguments } from "./read-arguments.js";
import { hasOptions, readConfigFile, readFileDocument } from "./read-file.js";
import { resolveGiven } from "./resolve.js";
import type { ServeArguments, ServeArgumentsOptions } from "./types.js";

/**
 * Reads serving arguments (without the program's and the command's name).
 *
 * @throws VG_CONFIG_INVALID with every problem found in arguments, file and config.
 */
export function parseServeArguments(
  argv: readonly string[],
  options: ServeArgumentsOptions = {},
): ServeArguments {
  const given = new GivenSettings();
  readArguments(argv, given, options.textOf);
  readConfigFile(given, options);
  return resolveGiven(given);
}

/**
 * Reads a file's compilation config: the file is one itself, or a `--config` file with one under
 * `compilation-config`, as an object or as a string of JSON. Without one the defaults apply, and a note says so.
 *
 * @throws VG_CONFIG_INVALID with every problem found.
 */
export function parseConfigFile(document: ConfigDocument): ServeArguments {
  const given = new GivenSettings();
  // Unknown keys count as keys of a compilation config, so that they are problems.
  if (document.value === null || hasOptions(document.value)) readFileDocument(document, given);
  else given.layers.file.push({ rank: "file", form: "json", document });
  return resolveGiven(given);
}
