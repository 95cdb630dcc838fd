/** config.json's numbers about the language model, checked when they are read: from `text_config`, or else from the top level. */
import { join } from "node:path";
import { describe, isRecord, VitgraphError } from "@vitgraph/errors";

type JsonObject = Readonly<Record<string, unknown>>;

/** Larger than in any published model, and small enough that tables of this size are made quickly. */
const MAX_COUNT = 2 ** 24;

export class TextConfig {
  readonly #path: string;
  readonly #values: JsonObject;

  private constructor(path: string, values: JsonObject) {
    this.#path = path;
    this.#values = values;
  }

  static of(directory: string, config: JsonObject, defaults: JsonObject): TextConfig {
    const inner = isRecord(config.text_config) ? config.text_config : {};
    // transformers reads the top level's value; text_config may have the default.
    const tied = config.tie_word_embeddings === true ? { tie_word_embeddings: true } : {};
    return new TextConfig(join(directory, "config.json"), { ...defaults, ...config, ...inner, ...tied });
  }

  value(name: string): unknown {
    return this.#values[name] ?? undefined;
  }

  /** @throws VG_MODEL_INVALID */
  object(name: string): TextConfig | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (!isRecord(value)) throw this.#invalid(name, value, "an object");
    return new TextConfig(this.#path, value);
  }

  /** A whole number above 0. @throws VG_MODEL_INVALID */
  count(name: string, fallback?: number, largest = MAX_COUNT): number {
    const value = this.value(name) ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= largest)
      return value as number;
    throw this.#invalid(name, value, `a whole number from 1 to ${largest}`);
  }

  /** @throws VG_MODEL_INVALID */
  number(name: string): number {
    const value = this.value(name);
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.#invalid(name, value, "a number");
  }

  /** @throws VG_MODEL_INVALID */
  counts(name: string): readonly number[] {
    const value = this.value(name);
    const isCount = (entry: unknown) =>
      Number.isSafeInteger(entry) && (entry as number) >= 0 && (entry as number) <= MAX_COUNT;
    if (Array.isArray(value) && value.every(isCount)) return value;
    throw this.#invalid(name, value, "a list of whole numbers");
  }

  /**
   * Checks that config.json asks for the one variant that llama.cpp computes.
   * @throws VG_MODEL_UNSUPPORTED where config.json asks for another
   */
  require(name: string, allowed: readonly unknown[]): void {
    const value = this.value(name);
    if (value === undefined || allowed.some((one) => JSON.stringify(one) === JSON.stringify(value))) return;
    throw this.unsupported(`sets ${name} to ${describe(value)}`);
  }

  /** @param fact a clause about config.json */
  unsupported(fact: string): VitgraphError {
    return new VitgraphError("VG_MODEL_UNSUPPORTED", `${this.#path} ${fact}`, {
      remedy: "llama.cpp has no form for that: run this language model in another engine",
      details: { path: this.#path },
    });
  }

  #invalid(name: string, value: unknown, wanted: string): VitgraphError {
    const fact = value === undefined ? `has no ${name}` : `has ${name} ${describe(value)}, not ${wanted}`;
    return new VitgraphError("VG_MODEL_INVALID", `${this.#path} ${fact}`, {
      remedy: "copy or download it again",
      details: { path: this.#path, name },
    });
  }
}
