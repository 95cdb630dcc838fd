/**
 * Generates from schema/compilation-config.source.json: the validator, compiled ahead of time by ajv, the types, and the
 * published schemas of a compilation config and of a `--config` file. `pnpm generate` runs it; a test calls
 * {@link generate} and fails if the committed files differ.
 *
 * The source has keywords of VS Code and of vitgraph. The published schemas only have those of draft 07, and unions of
 * types only with null: ajv's strict mode rejects others.
 *
 * The validator must run without `eval` and `require`, so the schema only uses keywords that need no runtime of ajv (not
 * minLength or uniqueItems); others stop the generation.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import { compile } from "json-schema-to-typescript";

const root = new URL("../", import.meta.url);
const SCHEMA = "schema/compilation-config.source.json";
const SERVE_OPTIONS = "schema/vllm-serve-options.json";
const BANNER = `// Generated from ${SCHEMA} by \`pnpm generate\`. Do not edit: change the schema and generate again.`;

/** Keywords for people, editors or vitgraph, which do not affect validation. ajv rejects any other. */
const ANNOTATIONS = new Set([
  "title",
  "description",
  "default",
  "examples",
  "markdownDescription",
  "deprecated",
  "deprecationMessage",
  "doNotSuggest",
  "enumDescriptions",
  "errorMessage",
  "defaultSnippets",
  "x-vitgraph-scope",
  "x-vitgraph-alias-of",
  "x-vitgraph-expected",
  "x-vitgraph-ignored",
  "x-vitgraph-names",
  "x-vitgraph-refused",
  "x-vitgraph-vllm",
]);

/** Text of every generated file, by its path in the package. */
export async function generate() {
  const schema = JSON.parse(await readFile(new URL(SCHEMA, root), "utf8"));
  const serveOptions = JSON.parse(await readFile(new URL(SERVE_OPTIONS, root), "utf8"));
  return new Map([
    ["src/generated/validate.js", validatorSource(schema)],
    ["src/generated/validate.d.ts", VALIDATOR_TYPES],
    ["src/generated/types.ts", await typesSource(schema)],
    ["schema/generated/compilation-config.schema.json", jsonSource(published(schema))],
    ["schema/generated/serve-config.schema.json", jsonSource(serveSchema(schema, serveOptions))],
  ]);
}

function validatorSource(schema) {
  const ajv = new Ajv({
    allErrors: true,
    allowUnionTypes: true,
    code: { source: true, esm: true, lines: true },
  });
  const code = standalone(ajv, ajv.compile(withoutAnnotations(schema)));
  if (/\brequire\(|\bimport\b/.test(code)) {
    throw new Error("the compiled validator needs ajv at run time: find the keyword and say it another way");
  }
  return `${BANNER}\n${code}`;
}

const VALIDATOR_TYPES = `${BANNER}
/** One broken keyword, as ajv reports it. */
export interface ValidationError {
  /** JSON pointer of the value. */
  instancePath: string;
  schemaPath: string;
  keyword: string;
  params: Record<string, unknown>;
  message?: string;
}
/** True when \`data\` follows the schema; otherwise \`validate.errors\` lists every breach until the next call. */
export declare const validate: {
  (data: unknown): boolean;
  errors?: ValidationError[] | null;
};
`;

function jsonSource(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Keywords that the published schemas copy from a node unchanged, after its title; its text and nested schemas are rewritten. */
const KEPT = [
  "$ref",
  "type",
  "enum",
  "const",
  "not",
  "pattern",
  "minimum",
  "exclusiveMinimum",
  "maximum",
  "maxItems",
  "default",
  "examples",
];

/** The node in standard keywords. */
function published(node) {
  if (typeof node !== "object") return node;
  const kept = Object.fromEntries(KEPT.filter((key) => key in node).map((key) => [key, node[key]]));
  const description = publishedText(node);
  return {
    ...(node.$schema && { $schema: node.$schema, $id: node.$id }),
    ...(node.title && { title: node.title }),
    ...(description === "" ? {} : { description }),
    ...kept,
    // A refused key is an error already; `deprecated` would repeat it.
    ...(node.deprecated && !node["x-vitgraph-refused"] ? { deprecated: true } : {}),
    ...(node.items && { items: published(node.items) }),
    ...(node.anyOf && { anyOf: node.anyOf.map(published) }),
    ...("additionalProperties" in node && { additionalProperties: published(node.additionalProperties) }),
    ...(node.properties && publishedProperties(node.properties)),
    ...(node.definitions && { definitions: mapValues(node.definitions, published) }),
  };
}

/**
 * Editors complete the names in `properties`. Refused and renamed keys are patterns instead: an editor explains and
 * underlines them, but does not complete them.
 */
function publishedProperties(properties) {
  const entries = Object.entries(properties).map(([name, node]) => [
    name,
    published(node),
    node.doNotSuggest,
  ]);
  const offered = entries.filter(([, , hidden]) => !hidden);
  const hidden = entries.filter(([, , hidden]) => hidden);
  return {
    properties: Object.fromEntries(offered.map(([name, node]) => [name, node])),
    ...(hidden.length > 0 && {
      patternProperties: Object.fromEntries(hidden.map(([name, node]) => [`^${name}$`, node])),
    }),
  };
}

/** Text of a hover: the description without markup, the values of an enum, and the replacement of an old key. */
function publishedText({ enum: values = [], enumDescriptions = [], ...node }) {
  if (node["x-vitgraph-refused"]) return node.errorMessage;
  const text = plainText(node.markdownDescription ?? node.description ?? "");
  // A number is described by its name; null and names have their own descriptions.
  const listed = values.flatMap((value, index) =>
    typeof value === "string" && enumDescriptions[index] && !text.includes(`${value}: `)
      ? [`${value}: ${enumDescriptions[index]}`]
      : [],
  );
  return [text, listed.join("\n"), node.deprecationMessage ?? ""].filter((part) => part !== "").join("\n\n");
}

/** Markdown without markup: editors show a description as plain text. */
function plainText(markdown) {
  return markdown
    .replaceAll(/^\|(?: \||-+\|)+\n/gm, "")
    .replaceAll(/^\| (.*?) \| (.*?) \|$/gm, "$1: $2")
    .replaceAll(/\*\*|`/g, "");
}

/**
 * The schema of a `--config` file, for editors: options by their long names, with dashes or underscores. An option that
 * vLLM does not have is underlined.
 */
function serveSchema(source, { options, documentation }) {
  const { $id: _, $schema, definitions, properties: keys, ...config } = published(source);
  const { $schema: _inner, ...properties } = keys;
  const foreign = Object.entries(options).map(([name, text]) => [
    name,
    {
      description: `${text || "An option of vllm serve that does not concern the compilation config."}\n\nDocumentation: ${documentation}#--${name}`,
    },
  ]);
  const names = Object.keys(options).join("|").replaceAll("-", "[-_]");
  const { title, description, examples, ...shape } = config;
  return {
    $schema,
    $id: "urn:vitgraph:schema:serve-config",
    title: "Serving options",
    description: "A --config file: command-line options by their long names.",
    type: "object",
    additionalProperties: false,
    properties: {
      ...Object.fromEntries(foreign),
      "compilation-config": {
        title,
        description,
        examples,
        anyOf: [{ ...shape, properties }, { type: "string" }],
      },
      compilation_config: { $ref: "#/properties/compilation-config" },
      "optimization-level": {
        description:
          "How much start-up time to spend on speed. It decides mode and cudagraph_mode where they are unset.",
        enum: [0, 1, 2, 3],
        default: 2,
      },
      "enforce-eager": {
        description: "Compile and capture nothing of the language model.",
        type: "boolean",
        default: false,
      },
    },
    // Underscores, the negation of a flag, and keys in dotted form.
    patternProperties: { [`^(no-)?(${names})(\\..+)?$`]: {} },
    definitions,
  };
}

async function typesSource(schema) {
  const options = {
    bannerComment: "",
    additionalProperties: false,
    style: { printWidth: 110, singleQuote: false },
  };
  const input = await compile(inputShape(schema), "CompilationConfigInput", options);
  const resolved = await compile(resolvedShape(schema), "CompilationConfig", options);
  return `${BANNER}\n\n${readonlyFields(input)}\n${readonlyFields(resolved)}`;
}

/** What a user may write: every key optional, refused ones absent. */
function inputShape(schema) {
  const shape = mapProperties(schema, (node) => (node["x-vitgraph-refused"] ? undefined : typed(node)));
  shape.description = "A compilation config as it is written: every key is optional.";
  return renameDefinitions(shape, "Input");
}

/** What {@link parseCompilationConfig} returns: every key present, by its current name, in one spelling. */
function resolvedShape(schema) {
  const shape = mapProperties(schema, (node, name) => {
    if (name === "$schema" || node["x-vitgraph-refused"] || node["x-vitgraph-alias-of"]) return undefined;
    if (node["x-vitgraph-ignored"] && name !== "encoder_spatial_merge_size") return undefined;
    const names = node["x-vitgraph-names"];
    return typed(names === undefined ? node : { ...node, enum: [null, ...names] });
  });
  shape.description =
    "A compilation config after parsing: every key is present, under its current name and in one spelling.";
  for (const object of [shape, ...Object.values(shape.definitions)]) {
    object.required = Object.keys(object.properties);
  }
  return shape;
}

function mapProperties(schema, map) {
  const mapped = (properties) =>
    Object.fromEntries(
      Object.entries(properties).flatMap(([name, node]) => {
        const result = map(node, name);
        return result === undefined ? [] : [[name, result]];
      }),
    );
  const { $id: _, ...rest } = structuredClone(schema);
  const definitions = Object.fromEntries(
    Object.entries(rest.definitions).map(([name, definition]) => [
      name,
      { ...definition, properties: mapped(definition.properties) },
    ]),
  );
  return { ...rest, properties: mapped(rest.properties), definitions };
}

/** The node with its title dropped (json-schema-to-typescript would make a type of it) and lists made readonly. */
function typed({ title: _title, ...node }) {
  const types = [node.type].flat();
  const orNull = types.includes("null") ? " | null" : "";
  if (types.includes("array")) {
    const item = node.items.anyOf ? '(number | "cudagraph_capture_sizes")' : tsName(node.items.type);
    return { ...node, tsType: `readonly ${item}[]${orNull}` };
  }
  if (types.includes("object")) {
    return { ...node, tsType: `Readonly<Record<string, ${tsName(node.additionalProperties?.type)}>>` };
  }
  return node;
}

function tsName(type) {
  return { integer: "number", number: "number", string: "string" }[type] ?? "unknown";
}

function renameDefinitions(schema, suffix) {
  const text = JSON.stringify(schema).replaceAll(/#\/definitions\/(\w+)/g, `#/definitions/$1${suffix}`);
  const renamed = JSON.parse(text);
  renamed.definitions = Object.fromEntries(
    Object.entries(renamed.definitions).map(([name, definition]) => [
      `${name}${suffix}`,
      { ...definition, title: `${name}${suffix}` },
    ]),
  );
  renamed.title = `${renamed.title}${suffix}`;
  return renamed;
}

function readonlyFields(source) {
  return source.replaceAll(/^(\s*)("?[$\w]+"?\??): /gm, "$1readonly $2: ");
}

/** What ajv shall check. Integers end where JavaScript would start to round them. */
function withoutAnnotations(node) {
  if (Array.isArray(node)) return node.map(withoutAnnotations);
  if (typeof node !== "object" || node === null) return node;
  const bounds = [node.type].flat().includes("integer") ? { maximum: Number.MAX_SAFE_INTEGER } : {};
  const rest = Object.fromEntries(
    Object.entries(node).flatMap(([keyword, value]) => {
      // Below these two stand names, not keywords: a property may well be called "title".
      if (keyword === "properties" || keyword === "definitions") {
        return [[keyword, mapValues(value, withoutAnnotations)]];
      }
      return ANNOTATIONS.has(keyword) ? [] : [[keyword, withoutAnnotations(value)]];
    }),
  );
  return { ...bounds, ...rest };
}

function mapValues(object, map) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of await generate()) {
    await mkdir(new URL(".", new URL(path, root)), { recursive: true });
    await writeFile(new URL(path, root), text);
    console.log(`wrote ${path} (${text.length} characters)`);
  }
}
