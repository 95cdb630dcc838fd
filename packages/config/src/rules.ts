/**
 * Rules over several keys, which a schema cannot express, with vLLM's own messages. Each rule sees only keys that are
 * individually valid.
 */
import { shorten } from "@vitgraph/errors";
import { type Repair, remove, set } from "./fix.js";
import type { CompilationConfig } from "./generated/types.js";
import { listed, show } from "./value.js";

/** A breach of a rule: which value, what is wrong, what would be right. */
export interface Breach {
  readonly pointer: string;
  readonly message: string;
  readonly expected: string;
  readonly remedy: string;
  readonly repair?: Repair;
}

interface Rule {
  /** The keys it reads; it is left out when one of them is invalid already. */
  readonly keys: readonly (keyof CompilationConfig)[];
  check(config: CompilationConfig): Breach | undefined;
}

export const RULES: readonly Rule[] = [
  {
    keys: [
      "cudagraph_mm_encoder",
      "encoder_cudagraph_token_budgets",
      "encoder_cudagraph_max_vision_items_per_batch",
    ],
    check(config) {
      const items = config.encoder_cudagraph_max_vision_items_per_batch;
      const budgets = config.encoder_cudagraph_token_budgets;
      const smallest = budgets.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
      // vLLM looks at this when it captures, so never while graphs are off.
      if (!config.cudagraph_mm_encoder || budgets.length === 0 || items <= smallest) return undefined;
      return {
        pointer: "/encoder_cudagraph_max_vision_items_per_batch",
        message: `encoder_cudagraph_max_vision_items_per_batch (${items}) must be <= smallest token budget (${smallest})`,
        expected: `at most ${smallest}`,
        remedy: "raise the smallest budget, or lower the items",
        repair: set(
          "/encoder_cudagraph_max_vision_items_per_batch",
          smallest,
          `lower the items to ${smallest}`,
        ),
      };
    },
  },
  {
    keys: ["custom_ops"],
    check({ custom_ops: ops }) {
      const bases = ops.filter((op) => op === "all" || op === "none");
      if (bases.length <= 1) return undefined;
      return {
        pointer: `/custom_ops/${ops.indexOf(bases[1]!, ops.indexOf(bases[0]!) + 1)}`,
        message: "custom_ops can contain only one base mode: 'all' or 'none'",
        expected: "one base mode",
        remedy: `keep one of ${[...new Set(bases)].map((op) => `'${op}'`).join(" and ")}`,
      };
    },
  },
  {
    keys: ["custom_ops"],
    check({ custom_ops: ops }) {
      const on = new Set(ops.filter((op) => op.startsWith("+")).map((op) => op.slice(1)));
      const both = ops.find((op) => op.startsWith("-") && on.has(op.slice(1)));
      if (both === undefined) return undefined;
      const name = shorten(both.slice(1));
      return {
        pointer: `/custom_ops/${ops.indexOf(both)}`,
        message: `custom_ops cannot both enable and disable the same operation: ${name}`,
        expected: `'+${name}' or '-${name}'`,
        remedy: "remove one of the two",
      };
    },
  },
  {
    keys: ["mode", "backend"],
    check({ mode, backend }) {
      if (mode !== "VLLM_COMPILE" || ["", "eager", "inductor"].includes(backend)) return undefined;
      return {
        pointer: "/backend",
        message: `Invalid backend for piecewise compilation: ${shorten(backend)}`,
        expected: '"", eager or inductor',
        remedy: "use one of these, or mode STOCK_TORCH_COMPILE or DYNAMO_TRACE_ONCE",
      };
    },
  },
  {
    keys: ["cudagraph_capture_sizes", "max_cudagraph_capture_size"],
    check({ cudagraph_capture_sizes: sizes, max_cudagraph_capture_size: largest }) {
      if (sizes === null || sizes.length === 0 || largest === null) return undefined;
      const actual = sizes.reduce((a, b) => Math.max(a, b));
      if (actual === largest) return undefined;
      return {
        pointer: "/max_cudagraph_capture_size",
        message: `max_cudagraph_capture_size (${largest}) is not the largest of cudagraph_capture_sizes (${actual})`,
        expected: `${actual}`,
        remedy: "remove one of the two keys",
        repair: remove("/max_cudagraph_capture_size", "remove max_cudagraph_capture_size"),
      };
    },
  },
];

/** vLLM's words for what the schema finds, where it has its own. By pointer, and the keyword that is broken. */
export const VLLM_TEXTS: readonly {
  readonly pointer: RegExp;
  readonly keyword: string;
  /** The message speaks of the whole list: it is given once for all members. */
  readonly isOfList?: true;
  /** `given` is the value at the key that the pointer begins with. */
  message(given: unknown): string;
}[] = [
  {
    pointer: /^\/encoder_cudagraph_token_budgets\/\d+$/,
    keyword: "exclusiveMinimum",
    isOfList: true,
    message: (given) =>
      `All encoder_cudagraph_token_budgets must be positive, got ${listed(given as unknown[], show)}`,
  },
  {
    pointer: /^\/encoder_cudagraph_max_vision_items_per_batch$/,
    keyword: "minimum",
    message: (given) =>
      `encoder_cudagraph_max_vision_items_per_batch must be non-negative (0 = auto-infer), got ${given}`,
  },
  {
    pointer: /^\/encoder_cudagraph_max_frames_per_batch$/,
    keyword: "minimum",
    message: (given) =>
      `encoder_cudagraph_max_frames_per_batch must be non-negative (None = auto-infer), got ${given}`,
  },
  {
    pointer: /^\/mode$/,
    keyword: "enum",
    message: (given) =>
      `Invalid compilation mode: ${typeof given === "string" ? shorten(given) : show(given)}. Valid modes are: NONE, STOCK_TORCH_COMPILE, DYNAMO_TRACE_ONCE, VLLM_COMPILE`,
  },
  {
    pointer: /^\/custom_ops\/\d+$/,
    keyword: "pattern",
    isOfList: true,
    message: (given) => {
      const wrong = (given as unknown[]).filter(
        (op): op is string => typeof op === "string" && !/^(all|none|[+-].+)$/.test(op),
      );
      return `Invalid syntax ${listed(wrong, (op) => `'${shorten(op)}'`).slice(1, -1)} for custom op, must be 'all', 'none', '+op' or '-op'`;
    },
  },
];
