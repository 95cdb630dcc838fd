/**
 * Warnings about a valid config: settings that are never used, never fit, or have another effect than they seem to.
 * Pure: the caller passes facts about the model, and a rule is skipped if a fact that it needs is missing.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type BudgetRange, type EncoderBudgets, resolveEncoderBudgets } from "./budgets.js";
import { type EncoderOptions, encoderOptions } from "./encoder-options.js";
import { type Repair, remove, set } from "./fix.js";
import type { CompilationConfig } from "./generated/types.js";

/** Bounds of a model's image tokens, for images of any size. */
export interface ImageFacts {
  /** Patches along one side of a merged token. */
  readonly spatialMergeSize: number;
  /** Fewest and most tokens that an image takes of a budget. */
  readonly minTokens: number;
  readonly maxTokens: number;
}

/** An image that will be sent. */
export interface SentImage {
  /** In pixels, before the processor's resize. */
  readonly height: number;
  readonly width: number;
  /** Tokens that it takes of a budget. */
  readonly tokens: number;
}

/** Facts about the model and the host. All are optional. */
export interface LintFacts {
  /** `model_type` of config.json, for messages. */
  readonly modelType?: string;
  /** False if `compile_mm_encoder` has no effect for this model. */
  readonly compileSupported?: boolean;
  /** False if `cudagraph_mm_encoder` has no effect for this model. */
  readonly cudagraphSupported?: boolean;
  readonly images?: ImageFacts;
  /** Tokens that the longest video takes of a budget. Absent: unknown, and rules about the largest item are skipped. */
  readonly maxVideoTokens?: number;
  readonly budgetRange?: BudgetRange;
  readonly maxFramesPerVideo?: number;
  /** Videos allowed in a prompt; 0: images only. */
  readonly videoLimit?: number;
  readonly sentImages?: readonly SentImage[];
}

/** The rules of {@link lintCompilationConfig}. */
export type LintRule =
  | "budget-duplicate"
  | "budget-unreachable"
  | "budgets-invalid"
  | "budgets-unused"
  | "cudagraph-mode-none"
  | "compile-unsupported"
  | "cudagraph-unsupported"
  | "frames-below-items"
  | "frames-unreachable"
  | "image-never-fits"
  | "items-above-budget"
  | "merge-size"
  | "too-many-graphs";

/** A valid but doubtful setting. */
export interface LintFinding {
  readonly rule: LintRule;
  /** `error`: it will not run. `warning`: it runs, but probably not as intended. */
  readonly severity: "error" | "warning";
  /** JSON pointer of the value; `ResolvedConfig.origin` knows its place. */
  readonly pointer: string;
  readonly message: string;
  readonly remedy: string;
  /** The remedy as a change of the config, if it is unambiguous. */
  readonly repair?: Repair;
}

/** Input of the rules. */
interface Subject {
  readonly config: CompilationConfig;
  readonly encoder: EncoderOptions;
  readonly facts: LintFacts;
  /** The engine's budgets; undefined if they are invalid, or cannot be known without the model. */
  readonly budgets: EncoderBudgets | undefined;
  /** Why they are invalid. */
  readonly budgetError: VitgraphError | undefined;
}

/** All findings, in the order of the rules. */
export function lintCompilationConfig(config: CompilationConfig, facts: LintFacts = {}): LintFinding[] {
  const encoder = encoderOptions(config);
  const subject: Subject = { config, encoder, facts, ...inferBudgets(encoder, facts) };
  return Object.entries(RULES).flatMap(([rule, check]) =>
    check(subject).map((finding) => ({ rule: rule as LintRule, severity: "warning" as const, ...finding })),
  );
}

const BUDGETS = "/encoder_cudagraph_token_budgets";
const GRAPHS = "/cudagraph_mm_encoder";
const ITEMS = "/encoder_cudagraph_max_vision_items_per_batch";
const FRAMES = "/encoder_cudagraph_max_frames_per_batch";

/** Above this vLLM warns: each graph costs start-up time and memory. */
const MANY_GRAPHS = 64;

type Check = (
  subject: Subject,
) => readonly (Omit<LintFinding, "rule" | "severity"> & Partial<Pick<LintFinding, "severity">>)[];

const RULES: Readonly<Record<LintRule, Check>> = {
  "budgets-invalid": ({ budgetError, encoder }) =>
    budgetError === undefined || !encoder.cudagraph
      ? []
      : [
          {
            severity: "error",
            pointer: encoder.maxItems > 0 ? ITEMS : BUDGETS,
            message: budgetError.fact,
            remedy: budgetError.remedy ?? "give budgets and items yourself",
          },
        ],

  "items-above-budget"({ encoder }) {
    const smallest = Math.min(...encoder.tokenBudgets);
    // With graphs on, this is an error that the parser reports.
    if (encoder.cudagraph || encoder.maxItems <= smallest) return [];
    return [
      {
        pointer: ITEMS,
        message: `${encoder.maxItems} items never fit the smallest token budget, ${smallest}`,
        remedy:
          "raise the smallest budget, or lower the items: with cudagraph_mm_encoder on, this is an error",
        repair: set(ITEMS, smallest, `lower the items to ${smallest}`),
      },
    ];
  },

  "budgets-unused"({ encoder }) {
    if (encoder.cudagraph || encoder.tokenBudgets.length === 0) return [];
    return [
      {
        pointer: BUDGETS,
        message: "token budgets are given, and no graphs are captured",
        remedy: "set cudagraph_mm_encoder to true, or remove the budgets",
        repair: set(GRAPHS, true, "set cudagraph_mm_encoder to true"),
      },
    ];
  },

  "budget-duplicate": ({ encoder: { tokenBudgets } }) =>
    tokenBudgets.flatMap((budget, index) =>
      tokenBudgets.indexOf(budget) === index
        ? []
        : [
            {
              pointer: `${BUDGETS}/${index}`,
              message: `token budget ${budget} is listed twice`,
              remedy: "remove one: it counts once here, and vLLM captures it twice",
              repair: remove(`${BUDGETS}/${index}`, `remove the second ${budget}`),
            },
          ],
    ),

  "budget-unreachable"({ encoder, facts, budgets }) {
    if (budgets === undefined) return [];
    const smallestBatch = facts.images?.minTokens ?? 1;
    const largestBatch = mostTokensInBatch(facts, budgets);
    return encoder.tokenBudgets.flatMap((budget, index) => {
      const below = budgets.tokenBudgets.findLast((other) => other < budget) ?? 0;
      const pointer = `${BUDGETS}/${index}`;
      // A duplicate has its own finding.
      if (encoder.tokenBudgets.indexOf(budget) !== index) return [];
      if (budget < smallestBatch) {
        return [
          {
            pointer,
            message: `no image can reach token budget ${budget}: the smallest has ${smallestBatch} tokens`,
            remedy: "remove it",
            repair: remove(pointer, `remove ${budget}`),
          },
        ];
      }
      if (largestBatch !== undefined && below >= largestBatch) {
        return [
          {
            pointer,
            message: `no batch can reach token budget ${budget}: the largest has ${largestBatch} tokens, and fits ${below}`,
            remedy: "remove it",
            repair: remove(pointer, `remove ${budget}`),
          },
        ];
      }
      return [];
    });
  },

  "image-never-fits"({ encoder, facts, budgets }) {
    if (budgets === undefined || !encoder.cudagraph || facts.images === undefined) return [];
    const largest = budgets.tokenBudgets.at(-1)!;
    const pointer = BUDGETS;
    const sent = (facts.sentImages ?? []).flatMap(({ width, height, tokens }) =>
      tokens <= largest
        ? []
        : [
            {
              pointer,
              message: `an image of ${width} × ${height} pixels has ${tokens} tokens, and fits no token budget`,
              remedy: `add a budget of ${tokens} or more: it runs eagerly otherwise`,
            },
          ],
    );
    const { maxTokens } = facts.images;
    if (sent.length > 0 || maxTokens <= largest) return sent;
    return [
      {
        pointer,
        message: `images have up to ${maxTokens} tokens, and the largest token budget is ${largest}`,
        remedy:
          "add a larger budget, or lower the processor's limit of pixels: larger ones run eagerly otherwise",
      },
    ];
  },

  "frames-below-items"({ encoder, budgets }) {
    if (budgets === undefined || encoder.maxFrames === null) return [];
    if (encoder.maxFrames === 0 || encoder.maxFrames >= budgets.maxItems) return [];
    return [
      {
        pointer: FRAMES,
        message: `${encoder.maxFrames} frames in a batch leave room for ${encoder.maxFrames} of ${budgets.maxItems} items: an image counts as one frame`,
        remedy: `raise the frames to ${budgets.maxItems}, or lower the items`,
        repair: set(FRAMES, budgets.maxItems, `raise the frames to ${budgets.maxItems}`),
      },
    ];
  },

  "frames-unreachable"({ encoder, budgets }) {
    if (budgets === undefined || encoder.maxFrames === null) return [];
    const largest = budgets.tokenBudgets.at(-1)!;
    if (encoder.maxFrames <= largest) return [];
    return [
      {
        pointer: FRAMES,
        message: `${encoder.maxFrames} frames never fit one batch: each has a token at least, and the largest token budget is ${largest}`,
        remedy: `lower the frames to ${largest}, or add a larger budget`,
        repair: set(FRAMES, largest, `lower the frames to ${largest}`),
      },
    ];
  },

  "too-many-graphs"({ budgets, encoder }) {
    const count = budgets?.tokenBudgets.length ?? 0;
    if (!encoder.cudagraph || count <= MANY_GRAPHS) return [];
    return [
      {
        pointer: BUDGETS,
        message: `${count} graphs will be captured: each takes start-up time and memory`,
        remedy: "use fewer budgets; a handful wastes little",
      },
    ];
  },

  "cudagraph-mode-none": ({ config, encoder }) =>
    encoder.cudagraph && config.cudagraph_mode === "NONE"
      ? [
          {
            pointer: "/cudagraph_mode",
            message:
              "encoder graphs are asked for while cudagraph_mode is NONE: vLLM then silently captures none",
            remedy:
              "set another cudagraph_mode, or cudagraph_mm_encoder to false; vitgraph captures them all the same",
          },
        ]
      : [],

  "compile-unsupported": ({ encoder, facts }) =>
    encoder.compile && facts.compileSupported === false
      ? [
          {
            pointer: "/compile_mm_encoder",
            message: `the encoder of ${modelName(facts)} is not compiled: compile_mm_encoder has no effect`,
            remedy: "remove it, or set it to false",
            repair: set("/compile_mm_encoder", false),
          },
        ]
      : [],

  "cudagraph-unsupported": ({ encoder, facts }) =>
    encoder.cudagraph && facts.cudagraphSupported === false
      ? [
          {
            pointer: GRAPHS,
            message: `the encoder of ${modelName(facts)} is not captured: cudagraph_mm_encoder has no effect`,
            remedy: "remove it, or set it to false",
            repair: set(GRAPHS, false),
          },
        ]
      : [],

  "merge-size"({ config, facts }) {
    const given = config.encoder_spatial_merge_size;
    const actual = facts.images?.spatialMergeSize;
    if (given === null || actual === undefined || given === actual) return [];
    return [
      {
        severity: "error",
        pointer: "/encoder_spatial_merge_size",
        message: `encoder_spatial_merge_size is ${given}, and the checkpoint's is ${actual}`,
        remedy: "remove it: the checkpoint's is used",
        repair: remove("/encoder_spatial_merge_size"),
      },
    ];
  },
};

function modelName(facts: LintFacts): string {
  return facts.modelType === undefined ? "this model" : `model type ${facts.modelType}`;
}

/** Tokens of the fullest batch that packing can make; undefined where an item's most tokens are not known. */
function mostTokensInBatch(facts: LintFacts, budgets: EncoderBudgets): number | undefined {
  const scheduled = facts.budgetRange?.max;
  const images = facts.images?.maxTokens;
  const videos = facts.videoLimit === 0 || budgets.maxFrames === 0 ? 0 : facts.maxVideoTokens;
  if (images === undefined || videos === undefined) return scheduled;
  return Math.min(Math.max(images, videos) * budgets.maxItems, scheduled ?? Number.POSITIVE_INFINITY);
}

function inferBudgets(encoder: EncoderOptions, facts: LintFacts): Pick<Subject, "budgets" | "budgetError"> {
  const isComplete = encoder.tokenBudgets.length > 0 && encoder.maxItems > 0;
  if (!isComplete && facts.budgetRange === undefined) return { budgets: undefined, budgetError: undefined };
  try {
    const budgets = resolveEncoderBudgets({
      ...encoder,
      range: facts.budgetRange ?? { min: 1, max: 1 },
      ...(facts.maxFramesPerVideo === undefined ? {} : { maxFramesPerVideo: facts.maxFramesPerVideo }),
      ...(facts.videoLimit === undefined ? {} : { videoLimit: facts.videoLimit }),
    });
    return { budgets, budgetError: undefined };
  } catch (error) {
    if (!VitgraphError.is(error)) throw error;
    return { budgets: undefined, budgetError: error };
  }
}
