/** Converts rendered text, control tokens, images and videos to the units of a sequence. */
import { describe, VitgraphError } from "@vitgraph/errors";
import type { RenderedPart } from "./chat-template.js";
import type { PromptFamily, PromptText } from "./families.js";
import type { ImagePart, MediaPart, VideoPart } from "./messages.js";
import type { Tokenizer } from "./tokenizer.js";
import type { MediaUnit, Unit } from "./units.js";
import type { EncodedMedia } from "./vision.js";

/** A piece of a prompt without a template. Text never becomes control tokens; they are named, or given as tokens. */
export type PromptPart =
  | string
  | { readonly tokens: readonly number[] }
  | { readonly control: string }
  | ImagePart
  | VideoPart;

/** A piece of a prompt before its images and videos are encoded: `media` is the index of one. */
export type PromptPiece = PromptText | { readonly tokens: readonly number[] } | { readonly media: number };

/** @throws VG_ARGUMENT_INVALID */
export function readPrompt(prompt: string | readonly PromptPart[]): {
  readonly pieces: readonly PromptPiece[];
  readonly media: readonly MediaPart[];
} {
  const media: MediaPart[] = [];
  const parts = typeof prompt === "string" ? [prompt] : prompt;
  if (!Array.isArray(parts) || parts.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the prompt is ${describe(prompt)}`, {
      remedy: "pass text, or a list of parts",
    });
  }
  const pieces = parts.map((part: PromptPart, index): PromptPiece => {
    if (typeof part === "string") return { text: part };
    if (typeof part === "object" && part !== null) {
      if ("tokens" in part && Array.isArray(part.tokens)) return part;
      if ("control" in part && typeof part.control === "string") return part;
      if ("type" in part && (part.type === "image" || part.type === "video"))
        return { media: media.push(part) - 1 };
    }
    throw new VitgraphError("VG_ARGUMENT_INVALID", `prompt[${index}] is ${describe(part)}`, {
      remedy: 'pass text, { tokens }, { control }, { type: "image", image } or { type: "video", video }',
    });
  });
  return { pieces, media };
}

/**
 * Replaces the template's image and video tokens by the media.
 * @throws VG_ARGUMENT_INVALID if their counts differ
 */
export function placeMedia(
  rendered: readonly RenderedPart[],
  family: PromptFamily | undefined,
  media: readonly MediaPart[],
): readonly PromptPiece[] {
  if (family === undefined && media.length > 0) throw noVisionModel();
  if (family !== undefined && family.video === undefined && media.some(({ type }) => type === "video")) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "the model takes no videos", {
      remedy: "pass frames as images",
    });
  }
  const tokens: readonly unknown[] = [family?.image.token, family?.video?.token];
  let placed = 0;
  const pieces = rendered.map((part): PromptPiece => {
    if (part.kind === "text") return { text: part.text };
    if (!tokens.includes(part.text)) return { control: part.text };
    return { media: placed++ };
  });
  if (placed === media.length) return pieces;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `the chat template has places for ${placed} images and videos, and the messages have ${media.length}`,
    { remedy: "use a GGUF whose chat template knows images" },
  );
}

export function noVisionModel(): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", "the engine has no vision model", {
    remedy: "pass visionModel to createLlamaEngine",
  });
}

/** @throws VG_ARGUMENT_INVALID for unknown tokens */
export async function promptUnits(
  pieces: readonly PromptPiece[],
  media: readonly EncodedMedia[],
  family: PromptFamily | undefined,
  tokenizer: Tokenizer,
): Promise<readonly Unit[]> {
  const units: Unit[] = [];
  // One at a time: a call takes some 120 000 arguments, and a prompt has more tokens.
  const addAll = (tokens: readonly number[]) => {
    for (const token of tokens) units.push(token);
  };
  for (const piece of joinText(family === undefined ? pieces : insertMedia(pieces, media, family))) {
    if ("rows" in piece) units.push(piece);
    else if ("text" in piece) addAll(await tokenizer.encode(piece.text));
    else if ("control" in piece) units.push(controlToken(piece.control, tokenizer));
    else if ("tokens" in piece) addAll(checkTokens(piece.tokens, tokenizer.size));
  }
  const { firstToken } = tokenizer;
  return firstToken === null || units[0] === firstToken ? units : [firstToken, ...units];
}

type Inserted = PromptPiece | MediaUnit;

function insertMedia(
  pieces: readonly PromptPiece[],
  media: readonly EncodedMedia[],
  family: PromptFamily,
): readonly Inserted[] {
  const inserted: Inserted[] = [];
  for (let index = 0; index < pieces.length; index++) {
    const piece = pieces[index] as PromptPiece;
    if (!("media" in piece)) {
      inserted.push(piece);
      continue;
    }
    const { type, pieces: parts } = media[piece.media] as EncodedMedia;
    const { before, after } = (type === "video" ? family.video : undefined) ?? family.image;
    if (parts[0]?.seconds === undefined) {
      for (const { unit } of parts) inserted.push(...before, unit, ...after);
      continue;
    }
    // Each temporal patch gets its own start and end token, in place of those that the template wrote around the video.
    if (isControl(inserted.at(-1), FRAME_START)) inserted.pop();
    for (const { unit, seconds = 0 } of parts) {
      const time = { text: `<${seconds.toFixed(1)} seconds>` };
      inserted.push(time, { control: FRAME_START }, unit, { control: FRAME_END });
    }
    if (isControl(pieces[index + 1], FRAME_END)) index++;
  }
  return inserted;
}

const FRAME_START = "<|vision_start|>";
const FRAME_END = "<|vision_end|>";

function isControl(piece: Inserted | undefined, control: string): boolean {
  return piece !== undefined && "control" in piece && piece.control === control;
}

/** Joins neighbouring text, so that the tokenizer sees it as one. */
function joinText(pieces: readonly Inserted[]): readonly Inserted[] {
  const joined: Inserted[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if ("text" in piece && last !== undefined && "text" in last) {
      joined[joined.length - 1] = { text: last.text + piece.text };
    } else joined.push(piece);
  }
  return joined;
}

function controlToken(name: string, { controls }: Tokenizer): number {
  const token = controls.get(name);
  if (token !== undefined) return token;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the model has no control token ${describe(name)}`, {
    remedy: "use one of its own vocabulary; the vision model and the GGUF must be of one model",
  });
}

function checkTokens(tokens: readonly number[], size: number): readonly number[] {
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= size);
  if (wrong === undefined) return tokens;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the prompt has the token ${wrong}`, {
    remedy: `give whole numbers from 0 to ${size - 1}`,
  });
}
