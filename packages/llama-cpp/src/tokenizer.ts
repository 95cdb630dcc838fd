/**
 * Text to tokens and back, by the model's vocabulary. Text never becomes a control token: those are looked up by name, so
 * that only a chat template can place them.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type Binding, CONTROL_TOKEN, callAsync, type Vocab } from "./binding.js";
import { PRE_TOKENIZERS } from "./families.js";

export class Tokenizer {
  readonly size: number;
  /** Control tokens by their text: `<|im_start|>`, `<|image_pad|>`. */
  readonly controls: ReadonlyMap<string, number>;
  /** The token that every prompt begins with; null if the model has none. */
  readonly firstToken: number | null;
  readonly bosText: string;
  readonly eosText: string;
  readonly #llama: Binding;
  readonly #vocab: Vocab;
  readonly #isNormalized: boolean;
  #piece = new Uint8Array(64);

  /** @param pretokenizer `tokenizer.ggml.pre` of the GGUF */
  constructor(llama: Binding, vocab: Vocab, pretokenizer: string) {
    this.#llama = llama;
    this.#vocab = vocab;
    this.#isNormalized = Object.values(PRE_TOKENIZERS).includes(pretokenizer);
    this.size = llama.llama_vocab_n_tokens(vocab);
    const controls = new Map<string, number>();
    for (let token = 0; token < this.size; token++) {
      if ((llama.llama_vocab_get_attr(vocab, token) & CONTROL_TOKEN) === 0) continue;
      const text = llama.llama_vocab_get_text(vocab, token);
      if (text !== "") controls.set(text, token);
    }
    this.controls = controls;
    const [bos, eos] = [llama.llama_vocab_bos(vocab), llama.llama_vocab_eos(vocab)];
    this.firstToken = llama.llama_vocab_get_add_bos(vocab) && bos >= 0 ? bos : null;
    this.bosText = bos < 0 ? "" : llama.llama_vocab_get_text(vocab, bos);
    this.eosText = eos < 0 ? "" : llama.llama_vocab_get_text(vocab, eos);
  }

  /** Runs off the main thread: a long text takes tens of milliseconds. */
  async encode(text: string): Promise<readonly number[]> {
    if (text === "") return [];
    const bytes = Buffer.from(this.#isNormalized ? text.normalize("NFC") : text);
    // Each token has at least one byte; some vocabularies put a space before the text.
    const tokens = new Int32Array(bytes.length + 8);
    const count = await callAsync(
      this.#llama.llama_tokenize,
      this.#vocab,
      bytes,
      bytes.length,
      tokens,
      tokens.length,
      false,
      false,
    );
    if (count < 0) {
      throw new VitgraphError(
        "VG_INTERNAL",
        `llama.cpp needs room for ${-count} tokens of ${bytes.length} bytes`,
      );
    }
    return [...tokens.subarray(0, count)];
  }

  /** Bytes of a token's text; empty for a control token, unless `withControls`. Characters may be split over several tokens. */
  bytesOf(token: number, withControls = false): Uint8Array {
    const call = () =>
      this.#llama.llama_token_to_piece(this.#vocab, token, this.#piece, this.#piece.length, 0, withControls);
    let count = call();
    if (count < 0) {
      this.#piece = new Uint8Array(-count);
      count = call();
    }
    return this.#piece.slice(0, count);
  }

  endsGeneration(token: number): boolean {
    return this.#llama.llama_vocab_is_eog(this.#vocab, token);
  }
}
