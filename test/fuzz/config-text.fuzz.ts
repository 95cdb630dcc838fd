/**
 * Any text as JSON, as YAML, as a `--config` file and as arguments: the answer is a value or a VitgraphError with bounded
 * text, and no prototype is changed.
 */
import {
  parseCompilationConfig,
  parseConfigFile,
  parseJsonDocument,
  parseServeArguments,
} from "@vitgraph/config";
import { extractJson, parseYamlDocument } from "@vitgraph/config/yaml";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";

/** Twenty problems, each of a few hundred characters. */
const MAX_MESSAGE_LENGTH = 20_000;

const KEYS = [
  "compilation-config",
  "compilation_config",
  "--compilation-config",
  "compilation-confg",
  "cudagraph_mm_encoder",
  "encoder_cudagraph_token_budgets",
  "encoder_cudagraph_max_images_per_batch",
  "pass_config",
  "enable_noop",
  "custom_ops",
  "mode",
  "model",
  "optimization-level",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "<<",
  "",
];

const key = fc.oneof(fc.constantFrom(...KEYS), fc.string({ maxLength: 8 }));

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom(
      null,
      true,
      false,
      0,
      -1,
      1.5,
      64,
      2 ** 53,
      "on",
      "64",
      "none",
      "+a",
      "{}",
      '{"mode": 3}',
    ),
    fc.string({ maxLength: 20 }),
    fc.array(tie("any"), { maxLength: 5 }),
    fc.dictionary(key, tie("any"), { maxKeys: 5, noNullPrototype: false }),
  ),
})).any;

/** Pieces of JSON, YAML and shells, in any order and sometimes very often. */
const piece = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      "[",
      "]",
      "{",
      "}",
      ",",
      ":",
      ": ",
      "- ",
      "? ",
      "\n",
      "  ",
      '"',
      "'",
      "\\",
      "|",
      ">",
      "#",
      "%",
    ),
    fc.constantFrom(
      "&a ",
      "*a",
      "!!int ",
      "!x ",
      "<<: *a",
      "---\n",
      "...\n",
      "\t",
      "\uFEFF",
      "\u0000",
      "\u2028",
    ),
    fc.constantFrom("{{ x }}", "$X", "“", "`", "^", "//", "/*", "1e999", "NaN", "0x1", "~", "off", "."),
    fc.constantFrom(...KEYS),
  ),
  fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.integer({ min: 2, max: 3000 })),
);

const text = fc.oneof(
  fc
    .array(piece, { maxLength: 40 })
    .map((pieces) => pieces.map(([part, times]) => part.repeat(times)).join("")),
  value.map((any) => JSON.stringify(any) ?? ""),
  // One character of good text replaced.
  fc.tuple(value, fc.nat(), fc.string({ maxLength: 2 })).map(([any, at, other]) => {
    const good = JSON.stringify(any, null, 2) ?? "";
    const offset = at % (good.length + 1);
    return good.slice(0, offset) + other + good.slice(offset + 1);
  }),
);

const argument = fc.oneof(
  fc.constantFrom(
    "-cc",
    "--compilation-config",
    "-O",
    "-O2",
    "--config",
    "serve.yaml",
    "serve.json",
    "--",
    "—cc",
  ),
  fc.constantFrom("--enforce-eager", "--cudagraph-capture-sizes", "1"),
  fc
    .tuple(
      fc.constantFrom("-cc", "-O", "--compilation_config", "--compilation-confg", "--hf-overrides", "--x"),
      fc.array(key, { maxLength: 3 }),
      fc.constantFrom("", "+", "=", "+=", " "),
      text,
    )
    .map(([option, keys, sign, given]) => `${[option, ...keys].join(".")}${sign}${given}`),
  text,
);

const prototypes = [Object.prototype, Array.prototype, Function.prototype];
const namesOf = () => prototypes.map((prototype) => Reflect.ownKeys(prototype).length);

export default {
  name: "config-text",
  property: fc.property(text, fc.array(argument, { maxLength: 6 }), (given, argv) => {
    const before = namesOf();
    const options = { readFile: () => given, parseYaml: parseYamlDocument };
    answers(() => parseCompilationConfig(given));
    answers(() => parseConfigFile(parseJsonDocument(given, "serve.json")));
    answers(() => parseConfigFile(parseYamlDocument(given, "serve.yaml")));
    answers(() => parseServeArguments(["--config", "serve.yaml"], options));
    answers(() => parseServeArguments(argv, options));
    answers(() => extractJson(given, ["compilation-config"]));
    if (namesOf().some((count, index) => count !== before[index])) throw new Error("a prototype was changed");
  }),
} satisfies FuzzTarget;

function answers(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!VitgraphError.is(error) || error.code === "VG_INTERNAL") throw error;
    const message = (error as Error).message;
    if (message.length > MAX_MESSAGE_LENGTH) throw new Error(`a message of ${message.length} characters`);
  }
}
