/**
 * The rewrite engine: rules are data, and only this file applies them.
 *
 * It guarantees for every rule: inner values of a match have no other use, a name that occurs twice in a pattern binds
 * one value, rewriting terminates, and a trace lists the steps. A rule sees only its match.
 */
import { VitgraphError } from "@vitgraph/errors";
import {
  type AnyNode,
  countUses,
  type Graph,
  GraphBuilder,
  type Node,
  nodeOf,
  type ValueId,
} from "../graph/graph.js";
import { OPS, type OpAttributes, type OpKind } from "../graph/ops.js";

/**
 * A tree of ops. A string binds any value; `null` requires an optional input to be absent. `as` names the matched node
 * for `when` and `replace`.
 */
export interface Pattern {
  readonly op: OpKind;
  readonly as: string;
  readonly inputs: readonly (Pattern | string | null)[];
  /** Also try the first two inputs the other way round. */
  readonly commutative?: true;
}

export interface Match {
  /** The value bound to a name. */
  value(name: string): ValueId;
  /** False for an optional name of the pattern ("bias?") whose input is absent. */
  has(name: string): boolean;
  /** The node that defines a value, of any op. */
  producer(value: ValueId): AnyNode;
  /** The node bound to a name, known to have this op. */
  node<K extends OpKind>(name: string, op: K): Node<K>;
}

/** The builder of a rule: values of the old graph may be used as inputs. */
export interface Replacement {
  add<K extends OpKind>(
    op: K,
    inputs: readonly (ValueId | null)[],
    attributes: OpAttributes[K],
    name: string,
  ): ValueId;
}

export interface RewriteRule {
  readonly name: string;
  readonly match: Pattern;
  /** An extra condition, called after the pattern matched. `kernels` are those of the target. */
  when?(match: Match, kernels: ReadonlySet<string>): boolean;
  replace(match: Match, build: Replacement): ValueId;
}

/** One application of a rewrite rule. */
export interface RewriteStep {
  readonly rule: string;
  /** The name of the node that was replaced. */
  readonly at: string;
}

export interface RewriteResult {
  readonly graph: Graph;
  readonly trace: readonly RewriteStep[];
}

/** Each rewrite must shrink the graph or change an op permanently; otherwise rewriting would not terminate. */
const REWRITES_PER_NODE = 8;

/** Applies the rules, in order, to every node until none matches. */
export function rewrite(
  graph: Graph,
  rules: readonly RewriteRule[],
  kernels: ReadonlySet<string>,
): RewriteResult {
  const trace: RewriteStep[] = [];
  const limit = graph.nodes.length * REWRITES_PER_NODE;
  for (;;) {
    const pass = rewriteOnce(graph, rules, kernels);
    if (pass.trace.length === 0) return { graph, trace };
    trace.push(...pass.trace);
    graph = pass.graph;
    if (trace.length > limit) {
      const last = trace.slice(-3).map(({ rule, at }) => `${rule} at ${at}`);
      throw new VitgraphError("VG_INTERNAL", `fusion rules do not terminate (last: ${last.join(", ")})`);
    }
  }
}

/** One pass over the graph: replaces each node at most once. Matches of one pass do not overlap. */
function rewriteOnce(
  graph: Graph,
  rules: readonly RewriteRule[],
  kernels: ReadonlySet<string>,
): RewriteResult {
  const uses = countUses(graph);
  const builder = new GraphBuilder();
  const renamed = new Map<ValueId, ValueId>();
  const consumed = new Set<ValueId>();
  const trace: RewriteStep[] = [];
  const rename = (id: ValueId | null): ValueId | null => (id === null ? null : (renamed.get(id) as ValueId));

  for (const node of graph.nodes) {
    const found = firstMatch(graph, node, rules, uses, consumed, kernels);
    if (found === undefined) {
      renamed.set(node.id, copyNode(builder, node, node.inputs.map(rename)));
      continue;
    }
    const { rule, match, inner } = found;
    const build: Replacement = {
      add(op, inputs, attributes, name) {
        const translated = inputs.map((id) => (isFresh(id) ? unfresh(id) : rename(id)));
        return fresh(builder.add(op, translated, attributes, name));
      },
    };
    const result = rule.replace(match, build);
    renamed.set(node.id, (isFresh(result) ? unfresh(result) : rename(result)) as ValueId);
    for (const id of inner) consumed.add(id);
    trace.push({ rule: rule.name, at: node.name });
  }
  const rewritten = builder.build(graph.outputs.map((id) => rename(id) as ValueId));
  return { graph: removeDead(rewritten), trace };
}

// Ids of values that a rule builds are negative (-1 - id), to distinguish them from values of the old graph.
const fresh = (id: ValueId): ValueId => (-1 - id) as ValueId;
const isFresh = (id: ValueId | null): boolean => id !== null && id < 0;
const unfresh = (id: ValueId | null): ValueId => (-1 - (id as number)) as ValueId;

function copyNode(builder: GraphBuilder, node: AnyNode, inputs: readonly (ValueId | null)[]): ValueId {
  return builder.add(node.op, inputs, node.attributes as never, node.name);
}

/** Removes nodes without uses; keeps the order of the rest. */
export function removeDead(graph: Graph): Graph {
  const alive = new Set<ValueId>(graph.outputs);
  for (const node of [...graph.nodes].reverse()) {
    if (!alive.has(node.id)) continue;
    for (const input of node.inputs) if (input !== null) alive.add(input);
  }
  const builder = new GraphBuilder();
  const renamed = new Map<ValueId, ValueId>();
  for (const node of graph.nodes) {
    if (!alive.has(node.id)) continue;
    const inputs = node.inputs.map((id) => (id === null ? null : (renamed.get(id) as ValueId)));
    renamed.set(node.id, copyNode(builder, node, inputs));
  }
  return builder.build(graph.outputs.map((id) => renamed.get(id) as ValueId));
}

interface Found {
  readonly rule: RewriteRule;
  readonly match: Match;
  /** The matched nodes other than the root. */
  readonly inner: readonly ValueId[];
}

function firstMatch(
  graph: Graph,
  node: AnyNode,
  rules: readonly RewriteRule[],
  uses: readonly number[],
  consumed: ReadonlySet<ValueId>,
  kernels: ReadonlySet<string>,
): Found | undefined {
  for (const rule of rules) {
    if (rule.match.op !== node.op) continue;
    for (const bound of bindings(graph, rule.match, node, new Map())) {
      const inner = innerNodes(rule.match, bound);
      if (inner.some((id) => uses[id] !== 1 || consumed.has(id))) continue;
      const match = asMatch(graph, rule, bound);
      if (rule.when?.(match, kernels) ?? true) return { rule, match, inner };
    }
  }
  return undefined;
}

type Bound = ReadonlyMap<string, ValueId>;

/** All bindings of the pattern at the node: several if an op commutes. */
function* bindings(graph: Graph, pattern: Pattern, node: AnyNode, bound: Bound): Generator<Bound> {
  if (node.op !== pattern.op || OPS[node.op].inputs.length < pattern.inputs.length) return;
  const withNode = bind(bound, pattern.as, node.id);
  if (withNode === undefined) return;
  yield* bindInputs(graph, pattern.inputs, node.inputs, withNode);
  if (pattern.commutative && node.inputs.length >= 2) {
    const [a, b, ...rest] = node.inputs;
    yield* bindInputs(graph, pattern.inputs, [b as ValueId | null, a as ValueId | null, ...rest], withNode);
  }
}

function* bindInputs(
  graph: Graph,
  patterns: Pattern["inputs"],
  inputs: readonly (ValueId | null)[],
  bound: Bound,
): Generator<Bound> {
  const [pattern, ...rest] = patterns;
  if (pattern === undefined) {
    yield bound;
    return;
  }
  const input = inputs[0] ?? null;
  const others = inputs.slice(1);
  if (pattern === null) {
    if (input === null) yield* bindInputs(graph, rest, others, bound);
  } else if (typeof pattern === "string") {
    // A name that ends in "?" also matches an absent input, and is then not bound.
    const next = input === null ? (pattern.endsWith("?") ? bound : undefined) : bind(bound, pattern, input);
    if (next !== undefined) yield* bindInputs(graph, rest, others, next);
  } else if (input !== null) {
    for (const next of bindings(graph, pattern, nodeOf(graph, input), bound)) {
      yield* bindInputs(graph, rest, others, next);
    }
  }
}

function bind(bound: Bound, name: string, id: ValueId): Bound | undefined {
  const before = bound.get(name);
  if (before !== undefined) return before === id ? bound : undefined;
  return new Map(bound).set(name, id);
}

function innerNodes(root: Pattern, bound: Bound): ValueId[] {
  const found: ValueId[] = [];
  const visit = (pattern: Pattern) => {
    for (const input of pattern.inputs) {
      if (input === null || typeof input === "string") continue;
      found.push(bound.get(input.as) as ValueId);
      visit(input);
    }
  };
  visit(root);
  return found;
}

function asMatch(graph: Graph, rule: RewriteRule, bound: Bound): Match {
  const value = (name: string): ValueId => {
    const id = bound.get(name);
    if (id === undefined)
      throw new VitgraphError("VG_INTERNAL", `rule ${rule.name} binds nothing named ${name}`);
    return id;
  };
  return {
    value,
    has: (name) => bound.has(name),
    producer: (id) => nodeOf(graph, id),
    node<K extends OpKind>(name: string, op: K): Node<K> {
      const node = nodeOf(graph, value(name));
      if (node.op !== op) {
        throw new VitgraphError("VG_INTERNAL", `rule ${rule.name}: ${name} is ${node.op}, not ${op}`);
      }
      return node as unknown as Node<K>;
    },
  };
}
