/**
 * The JSON schema of a compilation config, and what vitgraph reads from it at run time: the keys, the scope of each
 * (encoder or language model), and the text of expected values. Validation is compiled ahead of time
 * (src/generated/validate.js).
 */
import schema from "../schema/compilation-config.source.json" with { type: "json" };

/** A schema node: the keywords in use of JSON schema, of editors, and of vitgraph. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly markdownDescription?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly deprecated?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly maxItems?: number;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly definitions?: Readonly<Record<string, SchemaNode>>;
  /** The part that reads the key: the encoder, the language model, or only editors. */
  readonly "x-vitgraph-scope"?: "encoder" | "language-model" | "editor";
  /** The key is an old name of this one. */
  readonly "x-vitgraph-alias-of"?: string;
  /** Why the key cannot be used, and what to use instead; `renamedTo` where the other key takes the same values. */
  readonly "x-vitgraph-refused"?: {
    readonly reason: string;
    readonly remedy: string;
    readonly renamedTo?: string;
  };
  /** The key is accepted and has no effect, for this reason. */
  readonly "x-vitgraph-ignored"?: string;
  /** The names of an enum, in the order of their numbers: vLLM accepts both. */
  readonly "x-vitgraph-names"?: readonly string[];
  /** The expected value, for messages, if the schema's keywords do not describe it well. */
  readonly "x-vitgraph-expected"?: { readonly text: string; readonly remedy: string };
  /** vLLM's current schema does not have the key. */
  readonly "x-vitgraph-vllm"?: "refused";
}

/** The schema with the keywords of editors and of vitgraph. `@vitgraph/config/schema.json` has the standard ones alone. */
export const compilationConfigSchema: SchemaNode = schema as unknown as SchemaNode;

const dereferenced = new WeakMap<SchemaNode, SchemaNode>();

/** The node itself, or the definition that it refers to, with the node's own keywords in front. */
export function dereference(node: SchemaNode): SchemaNode {
  if (node.$ref === undefined) return node;
  let whole = dereferenced.get(node);
  if (whole === undefined) {
    const name = node.$ref.slice("#/definitions/".length);
    whole = { ...compilationConfigSchema.definitions?.[name], ...node };
    dereferenced.set(node, whole);
  }
  return whole;
}

/** The schema of the value at a path of keys and indices; undefined where no key of the schema leads. */
export function schemaAt(segments: readonly string[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = compilationConfigSchema;
  for (const segment of segments) {
    if (node === undefined) return undefined;
    const { properties, additionalProperties, items }: SchemaNode = dereference(node);
    const below: SchemaNode | boolean | undefined =
      (properties !== undefined && Object.hasOwn(properties, segment) ? properties[segment] : undefined) ??
      additionalProperties ??
      items;
    node = typeof below === "object" ? below : undefined;
  }
  return node === undefined ? undefined : dereference(node);
}

/** Keys of an object's schema that a user may write: neither refused nor old names. */
export function writableKeys(node: SchemaNode): string[] {
  return Object.entries(dereference(node).properties ?? {})
    .filter(([, key]) => key["x-vitgraph-refused"] === undefined && key.deprecated !== true)
    .map(([name]) => name);
}

/** The types a value may have: ["integer", "null"]. */
export function typesOf(node: SchemaNode): readonly string[] {
  return typeof node.type === "string" ? [node.type] : (node.type ?? []);
}

/** The expected value as a phrase: "a list of positive integers, or null". */
export function describeExpected(node: SchemaNode): string {
  const special = node["x-vitgraph-expected"];
  if (special !== undefined) return special.text;
  const values = node["x-vitgraph-names"] ?? node.enum;
  if (values !== undefined) {
    const names = values.filter((value) => value !== null).map((value) => String(value));
    const numbered =
      node["x-vitgraph-names"] === undefined ? "" : `, or its number 0 to ${highestNumber(node)}`;
    return `one of ${names.join(", ")}${numbered}`;
  }
  if (node.anyOf !== undefined) return node.anyOf.map(describeExpected).join(" or ");
  if (node.const !== undefined) return JSON.stringify(node.const);
  const phrases = typesOf(node).map((type) => describeType(type, node));
  return phrases.join(", or ");
}

function highestNumber(node: SchemaNode): number {
  return Math.max(...(node.enum ?? []).filter((value) => typeof value === "number"));
}

function describeType(type: string, node: SchemaNode): string {
  switch (type) {
    case "boolean":
      return "true or false";
    case "integer":
      if (node.exclusiveMinimum === 0) return "a positive integer";
      return node.minimum === 0 ? "an integer of 0 or more" : "an integer";
    case "number":
      return "a number";
    case "string":
      return "a string";
    case "array":
      return `a list of ${plural(describeExpected(node.items ?? {}))}`;
    case "object":
      return typeof node.additionalProperties === "object"
        ? `an object of ${plural(describeExpected(node.additionalProperties))}`
        : "an object";
    default:
      return type;
  }
}

function plural(phrase: string): string {
  return phrase.replaceAll(/\ban? (positive )?(integer|string|number)\b/g, "$1$2s");
}
