/** Keys and values of a compilation config where the cursor stands, from its schema. */
import {
  compilationConfigSchema,
  describeExpected,
  type SchemaNode,
  schemaAt,
  typesOf,
  writableKeys,
} from "@vitgraph/config";
import { findNodeAtLocation, getLocation, type Node, parseTree } from "jsonc-parser";

export interface ConfigCompletion {
  readonly label: string;
  readonly detail?: string;
  readonly description?: string;
  /** The text to insert between `from` and `to`. */
  readonly insert: string;
  readonly isEncoders: boolean;
}

export interface ConfigCompletions {
  readonly from: number;
  readonly to: number;
  readonly options: readonly ConfigCompletion[];
}

/** Undefined where nothing is to be completed. */
export function completeConfig(text: string, offset: number): ConfigCompletions | undefined {
  const { path, previousNode, isAtPropertyKey } = getLocation(text, offset);
  const isInside =
    previousNode !== undefined &&
    offset > previousNode.offset &&
    offset <= previousNode.offset + previousNode.length;
  const from = isInside ? previousNode.offset : wordStart(text, offset);
  const to = isInside ? previousNode.offset + previousNode.length : offset;
  const segments = path.map(String);
  if (isAtPropertyKey) {
    const parent = segments.slice(0, -1);
    const isFollowed = /^\s*:/.test(text.slice(to));
    const options = keyCompletions(parent, givenKeys(text, parent, from), isFollowed);
    return options.length === 0 ? undefined : { from, to, options };
  }
  const schema = schemaAt(segments);
  if (schema === undefined || segments.length === 0) return undefined;
  const options = valueCompletions(schema);
  return options.length === 0 ? undefined : { from, to, options };
}

/** Of a bare word before the cursor, which has no quotes yet. */
function wordStart(text: string, offset: number): number {
  return offset - (/[\w$.-]*$/.exec(text.slice(0, offset))?.[0].length ?? 0);
}

/** Keys that the object has, but the one at `except`. */
function givenKeys(text: string, path: readonly string[], except: number): ReadonlySet<string> {
  const root = parseTree(text);
  const object = root && findNodeAtLocation(root, [...path]);
  const keys = (object?.children ?? []).flatMap(
    ({ children }): readonly Node[] => children?.slice(0, 1) ?? [],
  );
  return new Set(keys.filter(({ offset }) => offset !== except).map(({ value }) => String(value)));
}

function keyCompletions(
  path: readonly string[],
  given: ReadonlySet<string>,
  isFollowed: boolean,
): readonly ConfigCompletion[] {
  const object = path.length === 0 ? compilationConfigSchema : schemaAt(path);
  if (object === undefined) return [];
  return writableKeys(object)
    .filter((key) => !given.has(key))
    .map((key) => {
      const schema = schemaAt([...path, key]) ?? {};
      return {
        label: key,
        description: `Takes ${describeExpected(schema)}. ${schema.description ?? ""}`,
        insert: isFollowed ? JSON.stringify(key) : `${JSON.stringify(key)}: `,
        isEncoders: schema["x-vitgraph-scope"] === "encoder",
      };
    });
}

function valueCompletions(schema: SchemaNode): readonly ConfigCompletion[] {
  const values = [
    ...(schema["x-vitgraph-names"] ?? schema.enum ?? []),
    ...(typesOf(schema).includes("boolean") ? [true, false] : []),
    ...(typesOf(schema).includes("null") ? [null] : []),
    ...(schema.default === undefined ? [] : [schema.default]),
    ...(schema.examples ?? []),
    ...(schema.anyOf ?? []).flatMap(({ enum: names = [] }) => names),
  ];
  const texts = new Set(values.map((value) => JSON.stringify(value)));
  return [...texts].map((insert) => ({
    label: insert,
    ...(insert === JSON.stringify(schema.default) ? { detail: "the default" } : {}),
    insert,
    isEncoders: true,
  }));
}
