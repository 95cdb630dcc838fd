/** A resolved config as a table: each key, its value, its origin, and its scope: the encoder or the language model. */
import { isResolvedKey } from "./check.js";
import type { ConfigOrigin, ResolvedConfig } from "./parse.js";
import { fromPointer, toPointer } from "./pointer.js";
import { formatPlace } from "./problem.js";
import { compilationConfigSchema, dereference, type SchemaNode } from "./schema.js";
import { valueAt } from "./value.js";

/** A key of a resolved config: its value, and the origin of that value. */
export interface ExplainedKey {
  /** JSON pointer: "/pass_config/enable_sp". */
  readonly pointer: string;
  /** The key as in dotted arguments: "pass_config.enable_sp". */
  readonly key: string;
  readonly value: unknown;
  readonly origin: ConfigOrigin;
  readonly scope: "encoder" | "language-model";
  readonly description: string;
}

/** Every key of the config, the encoder's first. Keys inside pass_config and similar objects have their own rows. */
export function explainConfig(resolved: ResolvedConfig): ExplainedKey[] {
  return explainFields(resolved, compilationConfigSchema, []);
}

function explainFields(
  resolved: ResolvedConfig,
  schema: SchemaNode,
  path: readonly string[],
): ExplainedKey[] {
  return Object.entries(dereference(schema).properties ?? {}).flatMap(([name, key]) => {
    if (!isResolvedKey(name, key)) return [];
    const here = [...path, name];
    const node = dereference(key);
    if (node.properties !== undefined) return explainFields(resolved, node, here);
    const pointer = toPointer(here);
    return [
      {
        pointer,
        key: fromPointer(pointer).join("."),
        value: valueAt(resolved.config, pointer),
        origin: resolved.origin(pointer),
        scope: node["x-vitgraph-scope"] === "encoder" ? "encoder" : "language-model",
        description: node.description ?? "",
      },
    ];
  });
}

/** "default", "serve.yaml:3:5", "-cc.mode=3", "optimization level 2". */
export function formatOrigin(origin: ConfigOrigin): string {
  switch (origin.kind) {
    case "default":
      return "default";
    case "optimization-level":
      return `optimization level ${origin.level}`;
    case "enforce-eager":
      return "--enforce-eager";
    default:
      return formatPlace(origin.place);
  }
}
