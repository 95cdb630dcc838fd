/** For editors: completions of a compilation config's keys and values at the cursor, and hover texts. */
import { findNodeAtLocation, getLocation, type Node, parseTree } from "jsonc-parser";
import { isTextReadable } from "./document.js";
import {
  compilationConfigSchema,
  describeExpected,
  type SchemaNode,
  schemaAt,
  typesOf,
  writableKeys,
} from "./schema.js";

/** A key or a value that can be inserted at the cursor. */
export interface ConfigCompletion {
  readonly label: string;
  readonly detail?: string;
  readonly description?: string;
  /** The text to insert between `from` and `to`. */
  readonly insert: string;
  readonly isEncoders: boolean;
}

/** The completions at a cursor, and the part of the text that they replace: offsets from `from` to `to`. */
export interface ConfigCompletions {
  readonly from: number;
  readonly to: number;
  readonly options: readonly ConfigCompletion[];
}

/** The documentation of the key or value under a cursor, in Markdown. */
export interface ConfigHover {
  /** The key or the value under the cursor: offsets in the text. */
  readonly from: number;
  readonly to: number;
  readonly markdown: string;
}

/** Undefined if there is nothing to complete. */
export function completeConfig(text: string, offset: number): ConfigCompletions | undefined {
  if (!isTextReadable(text)) return undefined;
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

/** The description of the key at the offset, which may be in its name or value; undefined elsewhere. */
export function hoverConfig(text: string, offset: number): ConfigHover | undefined {
  if (!isTextReadable(text)) return undefined;
  const { path, previousNode: node } = getLocation(text, offset);
  if (node === undefined || offset < node.offset || offset > node.offset + node.length) return undefined;
  const markdown = path.length === 0 ? undefined : describeKey(path.map(String));
  return markdown === undefined ? undefined : { from: node.offset, to: node.offset + node.length, markdown };
}

/** Markdown: the key, its description, the values that it takes and its default. */
export function describeKey(path: readonly string[]): string | undefined {
  const keys = path.filter((segment) => !/^\d+$/.test(segment));
  const schema = schemaAt(keys);
  if (schema === undefined) return undefined;
  const refused = schema["x-vitgraph-refused"];
  const value = schema.default === undefined ? "" : ` Default: \`${JSON.stringify(schema.default)}\`.`;
  const takes =
    refused === undefined ? `Takes ${describeExpected(schema)}.${value}` : `Refused: ${refused.remedy}.`;
  return `**${keys.join(".")}**\n\n${schema.markdownDescription ?? schema.description ?? ""}\n\n${takes}`;
}

/** Start of an unquoted word before the cursor. */
function wordStart(text: string, offset: number): number {
  return offset - (/[\w$.-]*$/.exec(text.slice(0, offset))?.[0].length ?? 0);
}

/** The object's keys, except the one at offset `except`. */
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
