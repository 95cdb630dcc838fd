/**
 * llama.cpp as the peer of the converter: loads a GGUF, makes tokens, computes logits. Apart from @vitgraph/llama-cpp's own
 * binding, and on llama.cpp's defaults, so that its structs need no layout here.
 */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi from "koffi";

const platform = { darwin: "mac", win32: "win" }[process.platform as string] ?? process.platform;
const metal = process.platform === "darwin" && process.arch === "arm64" ? "-metal" : "";
const PACKAGE = `${platform}-${process.arch}${metal}`;
const entry = createRequire(import.meta.url).resolve(`@node-llama-cpp/${PACKAGE}`);
const directory = join(dirname(dirname(entry)), "bins", PACKAGE);

function load(stem: string) {
  const name = readdirSync(directory).find((file) =>
    new RegExp(`^(lib)?${stem}\\..*(so|dylib|dll)$`).test(file),
  );
  return koffi.load(join(directory, name!), { global: true, lazy: true });
}

load("ggml-base");
const ggml = load("ggml");
const llama = load("llama");
// Larger than each of llama.cpp's two structs of parameters, which pass through unread.
const Params = koffi.struct("TextModelParams", { bytes: koffi.array("uint64", 40) });
koffi.struct("TextModelBatch", {
  tokenCount: "int32",
  token: "void *",
  ...{ embd: "void *", pos: "void *", sequenceCount: "void *", sequence: "void *", logits: "void *" },
});
const silent = koffi.register(
  () => {},
  koffi.pointer(koffi.proto("void TextModelLog(int, const char *, void *)")),
);
llama.func("void llama_log_set(void *, void *)")(silent, null);
ggml.func("void ggml_backend_load_all_from_path(const char *)")(directory);
llama.func("void llama_backend_init()")();

const functions = {
  defaultModel: llama.func("llama_model_default_params", Params, []),
  defaultContext: llama.func("llama_context_default_params", Params, []),
  load: llama.func("llama_model_load_from_file", "void *", ["str", Params]),
  context: llama.func("llama_init_from_model", "void *", ["void *", Params]),
  vocab: llama.func("void *llama_model_get_vocab(void *)"),
  tokenCount: llama.func("int llama_vocab_n_tokens(void *)"),
  tokenize: llama.func("int llama_tokenize(void *, const char *, int, _Out_ int32 *, int, bool, bool)"),
  memory: llama.func("void *llama_get_memory(void *)"),
  clear: llama.func("void llama_memory_clear(void *, bool)"),
  batch: llama.func("TextModelBatch llama_batch_get_one(void *, int)"),
  decode: llama.func("int llama_decode(void *, TextModelBatch)"),
  logits: llama.func("void *llama_get_logits_ith(void *, int)"),
  freeContext: llama.func("void llama_free(void *)"),
  freeModel: llama.func("void llama_model_free(void *)"),
};

export interface TextModel extends Disposable {
  /** With the special tokens that the GGUF asks for; those in the text count as such. */
  tokenize(text: string): number[];
  /** After the last token. */
  logits(ids: readonly number[]): Float32Array;
}

export function openTextModel(path: string): TextModel {
  const model = functions.load(path, functions.defaultModel());
  if (model === null) throw new Error(`llama.cpp cannot load ${path}`);
  const context = functions.context(model, functions.defaultContext());
  const vocab = functions.vocab(model);
  return {
    tokenize(text) {
      const bytes = Buffer.byteLength(text);
      const ids = new Int32Array(bytes + 16);
      return [...ids.subarray(0, functions.tokenize(vocab, text, bytes, ids, ids.length, true, true))];
    },
    logits(ids) {
      functions.clear(functions.memory(context), true);
      const tokens = koffi.alloc("int32", ids.length);
      koffi.encode(tokens, koffi.array("int32", ids.length), Int32Array.from(ids));
      const status = functions.decode(context, functions.batch(tokens, ids.length));
      koffi.free(tokens);
      if (status !== 0) throw new Error(`llama_decode failed: ${status}`);
      const count = functions.tokenCount(vocab);
      return Float32Array.from(koffi.decode(functions.logits(context, -1), koffi.array("float", count)));
    },
    [Symbol.dispose]() {
      functions.freeContext(context);
      functions.freeModel(model);
    },
  };
}
