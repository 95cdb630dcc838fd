/**
 * Splits OpenAI's messages into the template's input and the images and videos in their order. Nothing is fetched: an
 * image is bytes, a path, or a data URL. A server that forwards its clients' messages must reject paths itself.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readDataUrl } from "@vitgraph/core";
import { describe, LONGEST_PATH, shorten, toVitgraphError, VitgraphError } from "@vitgraph/errors";

/** Bytes of a file, its path, a `file:` URL, or a data URL. */
export type FileSource = Uint8Array | ArrayBuffer | Blob | string | URL;

/** An image of a message. */
export interface ImagePart {
  readonly type: "image";
  readonly image: FileSource;
}

/** Frames are sampled by `fps` or `numFrames`, or as the model's processor says. */
export interface VideoPart {
  readonly type: "video";
  readonly video: FileSource;
  readonly fps?: number;
  readonly numFrames?: number;
}

/** A part of a message: text, an image or a video, in OpenAI's form or with the file itself. */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } | string }
  | ImagePart
  | VideoPart;

export type MediaPart = ImagePart | VideoPart;

/** A message of a chat. */
export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | null | readonly ContentPart[];
  /** Fields of the model's template: `tool_calls`, `reasoning_content`, `name`, … Their text is escaped like content. */
  readonly [field: string]: unknown;
}

const ROLES: readonly unknown[] = ["system", "user", "assistant", "tool"];

export interface ReadMessages {
  /** The template's input: parts of images and videos only have their type. */
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly media: readonly MediaPart[];
}

/** @throws VG_ARGUMENT_INVALID naming the message */
export function readMessages(messages: readonly Message[]): ReadMessages {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw invalid(`messages are ${describe(messages)}`, "pass a list of { role, content }");
  }
  const media: MediaPart[] = [];
  const read = messages.map((message: Message, index) => {
    const at = `messages[${index}]`;
    const { role, content } = message ?? {};
    if (!ROLES.includes(role)) {
      throw invalid(`${at}.role is ${describe(role)}`, `give one of ${ROLES.join(", ")}`);
    }
    const calls = message.tool_calls;
    return {
      ...message,
      content: readContent(content, at, media),
      ...(Array.isArray(calls) ? { tool_calls: calls.map(readToolCall) } : {}),
    };
  });
  return { messages: read, media };
}

/** Parses arguments that are a JSON string, as in OpenAI's API: templates expect an object. */
function readToolCall(call: unknown): unknown {
  const { function: called } = (call ?? {}) as { readonly function?: { readonly arguments?: unknown } };
  if (typeof called?.arguments !== "string") return call;
  try {
    return { ...(call as object), function: { ...called, arguments: JSON.parse(called.arguments) } };
  } catch {
    return call;
  }
}

function readContent(content: unknown, at: string, media: MediaPart[]): unknown {
  if (typeof content === "string" || content === null || content === undefined) return content ?? "";
  if (!Array.isArray(content)) {
    throw invalid(`${at}.content is ${describe(content)}`, "pass text, or a list of parts");
  }
  const parts = content.map((part: ContentPart, index) => readPart(part, `${at}.content[${index}]`, media));
  // Some templates only accept a string.
  const isText = parts.every(({ type }) => type === "text");
  return isText ? parts.map(({ text }) => text).join("") : parts;
}

function readPart(
  part: ContentPart,
  at: string,
  media: MediaPart[],
): { readonly type: string; readonly text?: string } {
  switch (part?.type) {
    case "text":
      if (typeof part.text === "string") return { type: "text", text: part.text };
      throw invalid(`${at}.text is ${describe(part.text)}`, "pass a string");
    case "image_url": {
      const { image_url } = part;
      media.push({ type: "image", image: typeof image_url === "string" ? image_url : image_url?.url });
      return { type: "image" };
    }
    case "image":
    case "video":
      media.push(part);
      return { type: part.type };
    default:
      throw invalid(
        `${at} is ${describe(part)} with type ${describe((part as { type?: unknown } | undefined)?.type)}`,
        "give one of the types text, image_url, image, video",
      );
  }
}

/** @throws VG_FILE_UNREADABLE, VG_MEDIA_UNAVAILABLE, VG_ARGUMENT_INVALID */
export async function readSource(source: unknown): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const address = source instanceof URL ? source.href : source;
  if (typeof address !== "string") {
    throw invalid(`an image or video is ${describe(source)}`, "pass bytes, a path, or a data URL");
  }
  if (/^data:/i.test(address)) return readDataUrl(address);
  if (/^https?:/i.test(address)) {
    throw invalid(
      `${describe(address)} is not fetched`,
      "pass the bytes: await (await fetch(url)).arrayBuffer()",
    );
  }
  const path = /^file:/i.test(address) ? pathOf(address) : address;
  try {
    return await readFile(path);
  } catch (cause) {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot read ${shorten(path, LONGEST_PATH)}`,
      "check that the file exists and can be read",
    );
  }
}

function pathOf(fileUrl: string): string {
  try {
    return fileURLToPath(fileUrl);
  } catch {
    throw invalid(`the URL ${describe(fileUrl)} names no file`, "use file:///absolute/path");
  }
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
