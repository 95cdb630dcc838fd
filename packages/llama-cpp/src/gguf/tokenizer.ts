/**
 * A checkpoint's tokenizer as GGUF metadata: tokens, their types, merges or scores, special ids, chat template. It is a
 * tokenizer.json (byte-level BPE) or a tokenizer.model (SentencePiece).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readJsonObject } from "@vitgraph/core";
import { describe, isRecord, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { PRE_TOKENIZERS } from "../families.js";
import { bool, f32, i32, type Metadata, type MetadataValue, string, u32 } from "./gguf-header.js";
import type { GgufFamily } from "./language-model.js";
import { readSentencePieces } from "./sentencepiece.js";

type JsonObject = Readonly<Record<string, unknown>>;

/** llama.cpp's kinds of tokens. */
const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface Vocabulary {
  readonly tokens: string[];
  readonly types: number[];
  readonly scores?: number[];
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

interface TokenizerFiles {
  readonly directory: string;
  /** config.json: it or its `text_config` has the special ids. */
  readonly config: JsonObject;
  readonly json: JsonObject | undefined;
  readonly settings: JsonObject;
}

/** @throws VG_FILE_UNREADABLE, VG_MODEL_INVALID, VG_MODEL_UNSUPPORTED */
export async function readTokenizer(
  directory: string,
  config: JsonObject,
  kind: GgufFamily["tokenizer"],
  vocabSize: number,
): Promise<Metadata> {
  const files: TokenizerFiles = {
    directory,
    config,
    json: await readJsonObject(directory, "tokenizer.json", { optional: true }),
    settings: (await readJsonObject(directory, "tokenizer_config.json", { optional: true })) ?? {},
  };
  const keys = kind === "bpe" ? bpe(files, vocabSize) : await sentencePiece(files, vocabSize);
  return new Map([...keys, ...specialTokens(files), ...(await chatTemplate(files))]);
}

type Keys = readonly (readonly [string, MetadataValue])[];

// ---- BPE

function bpe(files: TokenizerFiles, vocabSize: number): Keys {
  const { json, directory } = files;
  const path = join(directory, "tokenizer.json");
  if (json === undefined) {
    throw new VitgraphError("VG_FILE_UNREADABLE", `${path} does not exist`, {
      remedy: "download tokenizer.json and tokenizer_config.json of the checkpoint into its directory",
      details: { path },
    });
  }
  const model = isRecord(json.model) ? json.model : {};
  if (model.type !== "BPE" || !isRecord(model.vocab) || !Array.isArray(model.merges)) {
    throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${path} is not a BPE tokenizer`, {
      remedy: "use the tokenizer that was published with the model",
      details: { path, type: model.type },
    });
  }
  const pre = preTokenizer(json, path);
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types: number[] = new Array(vocabSize).fill(TOKEN_TYPES.unused);
  const set = (id: unknown, token: string, type: number) => {
    checkId(id, token, vocabSize, path);
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(model.vocab)) set(id, token, TOKEN_TYPES.normal);
  for (const { id, content, special } of addedTokens(files)) {
    if (isControl(content, special)) set(id, content, TOKEN_TYPES.control);
    else set(id, content.replaceAll("▁", " "), TOKEN_TYPES.userDefined);
  }
  return [
    ["tokenizer.ggml.model", string("gpt2")],
    ["tokenizer.ggml.pre", string(pre)],
    ...vocabulary({ tokens, types }),
    ["tokenizer.ggml.merges", string(model.merges.map((merge) => mergeText(merge, path)))],
  ];
}

const vocabulary = ({ tokens, types, scores }: Vocabulary): Keys => [
  ["tokenizer.ggml.tokens", string(tokens)],
  ...(scores === undefined ? [] : [["tokenizer.ggml.scores", f32(scores)] as const]),
  ["tokenizer.ggml.token_type", i32(types)],
];

function checkId(id: unknown, token: string, vocabSize: number, path: string): asserts id is number {
  if (Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < vocabSize) return;
  throw new VitgraphError(
    "VG_MODEL_INVALID",
    `${path} gives ${describe(token)} the id ${describe(id)}, but config.json has vocab_size ${vocabSize}`,
    { remedy: "tokenizer and config.json belong to different checkpoints", details: { path, token, id } },
  );
}

/** tokenizer.json's pre-tokenizer: a split by a regular expression, then bytes. */
function preTokenizer(json: JsonObject, path: string): string {
  const pre = isRecord(json.pre_tokenizer) ? json.pre_tokenizer : {};
  const steps = (Array.isArray(pre.pretokenizers) ? pre.pretokenizers : [pre]).filter(isRecord);
  const pattern = steps.flatMap(({ type, pattern }) =>
    type === "Split" && isRecord(pattern) ? [pattern.Regex] : [],
  );
  const name = PRE_TOKENIZERS[String(pattern[0])];
  if (name !== undefined && pattern.length === 1) return name;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `${path} splits text by ${describe(pattern[0] ?? pre.type)}`,
    {
      remedy: `the converter knows the pre-tokenizers ${Object.values(PRE_TOKENIZERS).join(" and ")}: use the tokenizer that was published with the model`,
      details: { path },
    },
  );
}

/** A merge is "a b", or since tokenizers 0.20 ["a", "b"]. Spaces in those parts become GPT-2's character for a space. */
function mergeText(merge: unknown, path: string): string {
  if (typeof merge === "string") return merge;
  if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === "string"))
    return merge.map((part: string) => part.replaceAll(" ", "Ġ")).join(" ");
  throw new VitgraphError("VG_MODEL_INVALID", `${path} has the merge ${describe(merge)}`, {
    remedy: "copy or download it again",
    details: { path },
  });
}

/** The added tokens of tokenizer.json, then those that only tokenizer_config.json has. */
function addedTokens({ json, settings }: TokenizerFiles): readonly AddedToken[] {
  const listed = Array.isArray(json?.added_tokens) ? json.added_tokens.filter(isRecord) : [];
  const decoder = isRecord(settings.added_tokens_decoder) ? settings.added_tokens_decoder : {};
  const byId = new Map<number, AddedToken>();
  const add = (id: number, token: JsonObject) => {
    if (typeof token.content === "string")
      byId.set(id, { id, content: token.content, special: token.special === true });
  };
  for (const token of listed) add(Number(token.id), token);
  for (const [id, token] of Object.entries(decoder))
    if (isRecord(token) && !byId.has(Number(id))) add(Number(id), token);
  return [...byId.values()];
}

/** Some checkpoints don't mark all control tokens as special. */
const isControl = (token: string, special: boolean): boolean =>
  special || /^<\|.*\|>$|^<unused.*>$|^<pad>$|^<mask>$/s.test(token);

// ---- SentencePiece

async function sentencePiece(files: TokenizerFiles, vocabSize: number): Promise<Keys> {
  const path = join(files.directory, "tokenizer.model");
  const bytes = await readFile(path).catch((cause) => {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot read ${path}`,
      "download the checkpoint's tokenizer.model into its directory",
    );
  });
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const scores: number[] = new Array(vocabSize).fill(-10_000);
  const types: number[] = new Array(vocabSize).fill(TOKEN_TYPES.unused);
  const set = (id: number, token: string, score: number, type: number) => {
    checkId(id, token, vocabSize, path);
    tokens[id] = token;
    scores[id] = score;
    types[id] = type;
  };
  // llama.cpp's converter writes user-defined pieces as normal ones; added tokens overwrite them below.
  readSentencePieces(bytes, path).forEach(({ piece, score, type }, id) => {
    set(id, piece, score, type === TOKEN_TYPES.userDefined ? TOKEN_TYPES.normal : type);
  });
  const added = (await readJsonObject(files.directory, "added_tokens.json", { optional: true })) ?? {};
  for (const [token, id] of Object.entries(added)) set(id as number, token, -1000, TOKEN_TYPES.userDefined);
  for (const { id, content, special } of addedTokens({ ...files, json: undefined })) {
    if (isControl(content, special)) set(id, content, -1000, TOKEN_TYPES.control);
    else set(id, content.replaceAll("▁", " "), -1000, TOKEN_TYPES.userDefined);
  }
  return [
    ["tokenizer.ggml.model", string("llama")],
    ["tokenizer.ggml.pre", string("default")],
    ...vocabulary({ tokens, types, scores }),
    ["tokenizer.ggml.add_space_prefix", bool(false)],
  ];
}

// ---- special tokens, chat template

/** transformers' names of special tokens, and GGUF's. The third is misspelt in the format. */
const SPECIAL_TOKENS = {
  bos: "bos",
  eos: "eos",
  unk: "unknown",
  sep: "seperator",
  pad: "padding",
  mask: "mask",
} as const;

function specialTokens(files: TokenizerFiles): Keys {
  const { settings, config, json } = files;
  const added = addedTokens(files);
  const textConfig = isRecord(config.text_config) ? config.text_config : {};
  const keys: [string, MetadataValue][] = [];
  for (const [name, ggufName] of Object.entries(SPECIAL_TOKENS)) {
    const token = settings[`${name}_token`];
    const content = isRecord(token) ? token.content : token;
    const fromConfig = config[`${name}_token_id`] ?? textConfig[`${name}_token_id`];
    const id = added.find((one) => one.content === content)?.id ?? fromConfig;
    if (Number.isSafeInteger(id)) keys.push([`tokenizer.ggml.${ggufName}_token_id`, u32(id as number)]);
  }
  for (const name of ["bos", "eos"] as const) {
    const isAdded = settings[`add_${name}_token`] ?? addedByPostProcessor(json, settings, name);
    if (typeof isAdded === "boolean") keys.push([`tokenizer.ggml.add_${name}_token`, bool(isAdded)]);
  }
  return keys;
}

/** True if tokenizer.json's template begins (or ends) with the token; undefined if it has no template. */
function addedByPostProcessor(
  json: JsonObject | undefined,
  settings: JsonObject,
  name: "bos" | "eos",
): boolean | undefined {
  const post = isRecord(json?.post_processor) ? json.post_processor : {};
  const processors = (Array.isArray(post.processors) ? post.processors : [post]).filter(isRecord);
  const single = processors.find(({ type }) => type === "TemplateProcessing")?.single;
  if (!Array.isArray(single) || single.length < 2) return undefined;
  const entry: unknown = single.at(name === "bos" ? 0 : -1);
  const token = isRecord(entry) && isRecord(entry.SpecialToken) ? entry.SpecialToken.id : undefined;
  return token === undefined ? undefined : token === settings[`${name}_token`];
}

/** The chat template: from tokenizer_config.json, or from its own file. */
async function chatTemplate({ directory, settings }: TokenizerFiles): Promise<Keys> {
  const template = settings.chat_template ?? (await templateFile(directory));
  if (typeof template === "string") return [["tokenizer.chat_template", string(template)]];
  if (!Array.isArray(template)) return [];
  const named = template.filter(isRecord).filter(({ template }) => typeof template === "string");
  const others = named.filter(({ name }) => name !== "default");
  return [
    ...named.map(({ name, template }): readonly [string, MetadataValue] => [
      name === "default" ? "tokenizer.chat_template" : `tokenizer.chat_template.${String(name)}`,
      string(template as string),
    ]),
    ...(others.length === 0
      ? []
      : [["tokenizer.chat_templates", string(others.map(({ name }) => String(name)))] as const]),
  ];
}

async function templateFile(directory: string): Promise<unknown> {
  const jinja = await readFile(join(directory, "chat_template.jinja"), "utf8").catch((error) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw toVitgraphError(
      error,
      "VG_FILE_UNREADABLE",
      `cannot read ${join(directory, "chat_template.jinja")}`,
    );
  });
  return jinja ?? (await readJsonObject(directory, "chat_template.json", { optional: true }))?.chat_template;
}
