/** Unknown options and keys of files: none is ignored silently. */
import { describe, expect, test } from "vitest";
import { parseJsonDocument } from "../document.js";
import { type ConfigProblem, problemsOf } from "../problem.js";
import { parseYamlDocument } from "../yaml.js";
import { parseConfigFile, parseServeArguments } from "./arguments.js";
import type { ServeArguments } from "./types.js";

function serve(argv: readonly string[], file = ""): ServeArguments {
  return parseServeArguments(argv, { readFile: () => file, parseYaml: parseYamlDocument });
}

const fromFile = (file: string) => serve(["--config", "serve.yaml"], file);
const check = (file: string) => parseConfigFile(parseYamlDocument(file, "serve.yaml"));

function problems(run: () => unknown): readonly ConfigProblem[] {
  try {
    run();
  } catch (error) {
    return problemsOf(error);
  }
  throw new Error("expected problems, and there are none");
}

function notes({ compilationConfig }: ServeArguments, ...kinds: string[]): string[] {
  return compilationConfig.notes.filter((note) => kinds.includes(note.kind)).map((note) => note.message);
}

describe("dotted options", () => {
  test.each([
    [
      "-O.cudagraph_mm_encoder=true",
      "-O takes a level, 0 to 3, and has no keys",
      "did you mean -cc.cudagraph_mm_encoder?",
    ],
    ["-O.mode=3", "-O takes a level, 0 to 3, and has no keys", "did you mean -cc.mode?"],
    ["--enforce-eager.mode=3", "--enforce-eager has no keys", "did you mean -cc.mode?"],
    ["--config.mode=3", "--config has no keys", "did you mean -cc.mode?"],
    [
      "--compilation-confg.mode=3",
      "unknown option --compilation-confg",
      "did you mean --compilation-config.mode?",
    ],
    [
      "--compilation_cfg.pass_config.enable_sp=1",
      "unknown option --compilation_cfg",
      "did you mean --compilation-config.pass_config.enable_sp?",
    ],
    [
      "--mm-procesor-kwargs.max_pixels=1",
      "unknown option --mm-procesor-kwargs",
      "did you mean --mm-processor-kwargs.max_pixels?",
    ],
    // Meant for the compilation config by its key, whatever the option is called.
    ["-c.mode=3", "unknown option -c", "did you mean -cc.mode?"],
    [
      "--vision.cudagraph_mm_encoder=true",
      "unknown option --vision",
      "did you mean -cc.cudagraph_mm_encoder?",
    ],
  ])("%s is refused", (argument, message, remedy) => {
    expect(problems(() => serve([argument]))).toMatchObject([{ source: argument, message, remedy }]);
  });

  test("of vLLM pass, under their names there", () => {
    const parsed = serve(["--hf_overrides.a=1", "--speculative-config.model", "m", "-ac.backend=x"]);
    expect(parsed.dotted).toEqual({
      "hf-overrides": { a: 1 },
      "speculative-config": { model: "m" },
      "attention-config": { backend: "x" },
    });
    expect(parsed.compilationConfig.notes).toEqual([]);
  });

  test("that are in no list are noted, since a newer vLLM may have them", () => {
    const parsed = serve(["--kernel-confg.a=1", "--zzz.a=1"]);
    expect(Object.keys(parsed.dotted)).toEqual(["kernel-confg", "zzz"]);
    expect(notes(parsed, "unknown-option")).toEqual([
      "unknown option --kernel-confg, which is ignored: did you mean kernel-config?",
      "unknown option --zzz, which is ignored",
    ]);
  });
});

describe("plain options", () => {
  test.each(["--compilation-confg", "--compilation_cnfig", "--enforce-eagr", "--optimisation-level"])(
    "%s would change the outcome, and is refused",
    (argument) => {
      expect(problems(() => serve([argument, "{}"]))[0]).toMatchObject({
        source: argument,
        message: "unknown option",
        remedy: expect.stringMatching(
          /^did you mean --(compilation-config|enforce-eager|optimization-level)\?$/,
        ),
      });
    },
  );

  test("of others are handed back", () => {
    const argv = ["--output", "x", "--compilation", "{}", "--max-model-len=3", "--modl", "m"];
    expect(serve(argv).rest).toEqual(argv);
  });

  test("-O was short for the compilation config until vLLM 0.11", () => {
    expect(problems(() => serve(["-O", '{"mode": 3}']))[0]?.remedy).toBe("use -cc for a compilation config");
  });
});

describe("keys of a --config file", () => {
  test.each([
    [
      "compilation-confg: {mode: 3}",
      '"compilation-confg" is not an option',
      'did you mean "compilation-config"?',
    ],
    [
      "compilation_conifg.mode: 3",
      '"compilation_conifg.mode" is not an option',
      'did you mean "compilation-config"?',
    ],
    [
      "--compilation-config: {mode: 3}",
      'the option "--compilation-config" begins with a dash',
      'write "compilation-config"',
    ],
    ["-cc: {mode: 3}", 'the option "-cc" begins with a dash', 'write "compilation-config"'],
    ["cc: {mode: 3}", '"cc" is not an option', 'did you mean "compilation-config"?'],
    ["enforce-eagr: true", '"enforce-eagr" is not an option', 'did you mean "enforce-eager"?'],
    [
      "mm-processr-kwargs: {}",
      '"mm-processr-kwargs" is not an option',
      'did you mean "mm-processor-kwargs"?',
    ],
    [
      "model: m\ncudagraph_mm_encoder: true",
      '"cudagraph_mm_encoder" is a key of the compilation config',
      "put it under compilation-config",
    ],
    ["compilation-config..mode: 3", '"compilation-config..mode" has empty or too many keys', "write a map"],
  ])("%j is refused, in both ways of reading the file", (file, message, remedy) => {
    for (const read of [fromFile, check]) {
      expect(problems(() => read(file))).toMatchObject([{ source: "serve.yaml", message, remedy }]);
    }
  });

  test("of vLLM pass in dashes, underscores, negated and dotted", () => {
    const file =
      "model: m\nmax_model_len: 4096\nno-enable-prefix-caching: true\nhf-overrides.a: 1\nhost: h\n";
    expect(Object.keys(fromFile(file).fileOptions)).toEqual([
      "model",
      "max_model_len",
      "no-enable-prefix-caching",
      "hf-overrides.a",
      "host",
    ]);
    expect(notes(fromFile(file), "unknown-option")).toEqual([]);
  });

  test.each(["quantization-config", "vision-config", "compile-config", "mm-encoder-kwargs"])(
    "%s may be an option of a newer vLLM, and is only noted",
    (name) => {
      expect(notes(fromFile(`model: m\n${name}: {}\n`), "unknown-option")).toHaveLength(1);
    },
  );

  test("that are in no list are noted, with their places", () => {
    const parsed = fromFile("model: m\nmax-model-length: 1\nzzz: 1\n");
    expect(parsed.compilationConfig.notes).toMatchObject([
      {
        line: 2,
        column: 1,
        kind: "unknown-option",
        level: "warning",
        message: "unknown option max-model-length, which is ignored: did you mean max-model-len?",
      },
      { line: 3, message: "unknown option zzz, which is ignored" },
      { kind: "file" },
    ]);
  });
});

describe("the form of the file", () => {
  const NONE = "the file has no compilation-config: the defaults apply";
  const BARE =
    "the file is a compilation config itself; a --config file of vLLM has it under compilation-config";

  test.each(["model: m\n", "model: m\nmax-model-len: 4096\n", "optimization-level: 1\n", ""])(
    "%j is valid without a compilation config, and a note says so",
    (file) => {
      for (const read of [fromFile, check]) {
        expect(notes(read(file), "file")).toEqual([NONE]);
        expect(read(file).compilationConfig.config.cudagraph_mm_encoder).toBe(false);
      }
    },
  );

  test("a bare compilation config after --config counts, and a note says so", () => {
    const parsed = parseServeArguments(["--config", "bare.json", "-cc.compile_mm_encoder=true"], {
      readFile: () => '{"cudagraph_mm_encoder": true, "cudagraph_capture_sizes": [1]}',
    });
    expect(parsed.compilationConfig.config).toMatchObject({
      cudagraph_mm_encoder: true,
      compile_mm_encoder: true,
      cudagraph_capture_sizes: [1],
    });
    expect(notes(parsed, "file")).toEqual([BARE]);
  });

  test("a bare one is checked where it stands", () => {
    expect(problems(() => fromFile("cudagraph_mm_encoder: maybe\n"))[0]).toMatchObject({
      line: 1,
      column: 23,
    });
    expect(check("cudagraph_mm_encoder: true\n").compilationConfig.config.cudagraph_mm_encoder).toBe(true);
  });

  test("keys that options and config share are options, where nothing else says otherwise", () => {
    const parsed = fromFile("cudagraph_capture_sizes: [1, 2]\n");
    expect(parsed.compilationConfig.config.cudagraph_capture_sizes).toEqual([1, 2]);
    expect(notes(parsed, "file")).toEqual([NONE]);
  });

  test("a file to check whose keys nobody knows is a compilation config with unknown keys", () => {
    const file = '{"mod": 3}';
    expect(problems(() => parseConfigFile(parseJsonDocument(file, "c.json")))[0]?.message).toBe(
      '"mod" is not a key of the compilation config',
    );
  });

  test("YAML's off and no are NONE, as PyYAML and pydantic read them", () => {
    const { config } = fromFile("compilation-config:\n  cudagraph_mode: off\n  mode: no\n").compilationConfig;
    expect(config).toMatchObject({ cudagraph_mode: "NONE", mode: "NONE" });
  });
});
