/** The nodes that YAML's aliases stand for. */
import { type Alias, type Document, isAlias, type Node, visit } from "yaml";

const TARGETS = new WeakMap<Document, ReadonlyMap<Alias, Node>>();

/**
 * The node itself, or the one that an alias stands for: the last before it with its anchor. Undefined if there is none.
 * The document is walked once; `Alias.resolve` would walk it each time.
 */
export function resolveAlias(node: Node, document: Document): Node | undefined {
  if (!isAlias(node)) return node;
  let targets = TARGETS.get(document);
  if (targets === undefined) {
    targets = aliasTargets(document);
    TARGETS.set(document, targets);
  }
  return targets.get(node);
}

function aliasTargets(document: Document): ReadonlyMap<Alias, Node> {
  const targets = new Map<Alias, Node>();
  const anchored = new Map<string, Node>();
  visit(document, {
    Alias(_, alias) {
      const target = anchored.get(alias.source);
      if (target !== undefined) targets.set(alias, target);
    },
    Value(_, node) {
      if (node.anchor !== undefined) anchored.set(node.anchor, node);
    },
  });
  return targets;
}
