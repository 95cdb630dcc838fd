/**
 * Renders messages to the parts of a prompt with the GGUF's chat template. Only the template can produce control tokens: a
 * user's `<|im_end|>` stays text.
 */
import { Template } from "@huggingface/jinja";
import { describe, toVitgraphError, VitgraphError } from "@vitgraph/errors";

/** A piece of a rendered prompt. */
export type RenderedPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "control"; readonly text: string };

export class ChatTemplate {
  readonly #template: Template;
  /** Every proper prefix of a control token. */
  readonly #beginnings: ReadonlySet<string>;
  readonly #longest: number;
  readonly #anyControl: RegExp;

  /**
   * @param source Jinja, as `tokenizer.chat_template` of a GGUF has it
   * @param controls texts of the vocabulary's control tokens
   * @throws VG_MODEL_INVALID
   */
  constructor(source: string, controls: Iterable<string>) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw toVitgraphError(cause, "VG_MODEL_INVALID", "the chat template of the GGUF cannot be read");
    }
    // Longest first: a token must not match in the place of a longer one that begins with it.
    const sorted = [...controls].sort((a, b) => b.length - a.length);
    this.#longest = sorted[0]?.length ?? 0;
    this.#beginnings = new Set(
      sorted.flatMap((text) => Array.from({ length: text.length - 1 }, (_, end) => text.slice(0, end + 1))),
    );
    const texts = sorted.map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.#anyControl = texts.length === 0 ? /(?!)/g : new RegExp(texts.join("|"), "g");
  }

  /**
   * @param messages as the template expects them: `role`, and `content` as text or as a list of `{ type, text }`
   * @param variables further variables of the template: `tools`, `enable_thinking`, … Like messages, they never produce
   *   control tokens
   * @param own variables that may produce control tokens: `bos_token`, `add_generation_prompt`, …
   * @throws VG_ARGUMENT_INVALID where the template refuses the messages
   */
  render(
    messages: unknown,
    variables: Readonly<Record<string, unknown>>,
    own: Readonly<Record<string, unknown>> = {},
  ): readonly RenderedPart[] {
    const mark = unusedCharacter([messages, variables]);
    const marked = (value: unknown) =>
      mapText(value, {
        text: (text) => this.#mark(text, mark),
        name: (text) => this.#breakControls(text, mark),
      });
    let text: string;
    try {
      text = this.#template.render({
        ...own,
        ...(marked(variables) as object),
        messages: marked(messages),
      });
    } catch (cause) {
      throw toVitgraphError(cause, "VG_ARGUMENT_INVALID", "the model's chat template refuses the messages");
    }
    const parts: RenderedPart[] = [];
    const addText = (piece: string) => {
      if (piece !== "") parts.push({ kind: "text", text: piece.replaceAll(mark, "") });
    };
    let end = 0;
    for (const { 0: control, index } of text.matchAll(this.#anyControl)) {
      addText(text.slice(end, index));
      parts.push({ kind: "control", text: control });
      end = index + control.length;
    }
    addText(text.slice(end));
    return parts;
  }

  /** Breaks each control token of a user's text by a mark after its first character. */
  #breakControls(text: string, mark: string): string {
    return text.replaceAll(this.#anyControl, (control) => afterFirst(control, mark));
  }

  /** Breaks the beginning of a control token at the end too. */
  #mark(text: string, mark: string): string {
    const broken = this.#breakControls(text, mark);
    // The text that follows in the prompt could complete a control token that begins here. From the end, since a mark shifts
    // the offsets after it.
    let marked = broken;
    for (let start = broken.length - 1; start >= Math.max(0, broken.length - this.#longest + 1); start--) {
      if (!this.#beginnings.has(broken.slice(start))) continue;
      marked = marked.slice(0, start) + afterFirst(marked.slice(start), mark);
    }
    return marked;
  }
}

function afterFirst(text: string, mark: string): string {
  const [first = ""] = text;
  return first + mark + text.slice(first.length);
}

interface TextMap {
  readonly text: (text: string) => string;
  /** Maps keys and values of `type`, which templates compare with their own words. */
  readonly name: (text: string) => string;
}

function mapText(value: unknown, map: TextMap): unknown {
  if (typeof value === "string") return map.text(value);
  if (Array.isArray(value)) return value.map((element) => mapText(element, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      map.name(key),
      key === "type" && typeof inner === "string" ? map.name(inner) : mapText(inner, map),
    ]),
  );
}

/** A Unicode noncharacter that messages and variables do not contain. Noncharacters have no use in text. */
function unusedCharacter(messages: unknown): string {
  const all = JSON.stringify(messages);
  for (let code = 0xfdd0; code <= 0xfdef; code++) {
    const character = String.fromCharCode(code);
    if (!all.includes(character)) return character;
  }
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `the messages have each of Unicode's noncharacters U+FDD0 to U+FDEF: ${describe(all)}`,
    { remedy: "remove them: they stand for nothing" },
  );
}
