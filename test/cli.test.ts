/** The command line as a user meets it, run in this process. */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SafetensorsFile } from "@vitgraph/core";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { main } from "vitgraph";
import { createFakeIo, type FakeIoOptions } from "vitgraph/testing";
import { CASES, fixture, TINY } from "./fixtures.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return runWith({}, ...args);
}

async function runWith(options: FakeIoOptions, ...args: string[]) {
  const io = createFakeIo(options);
  const code = await main(args, io);
  const short = (text: string) => text.replaceAll(directory, "DIR");
  return { code, out: short(io.out), err: short(io.err) };
}

/**
 * The names in a safetensors file, by the rules of the format's reference reader: the tensors' ranges follow each other and
 * cover the data, and `__metadata__` maps text to text.
 */
async function tensorNames(path: string): Promise<readonly string[]> {
  const bytes = await readFile(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const text = bytes.subarray(8, 8 + headerBytes).toString("utf8");
  const header = new Map<string, unknown>(Object.entries(JSON.parse(text)));
  const metadata = (header.get("__metadata__") ?? {}) as Record<string, string>;
  header.delete("__metadata__");
  for (const value of Object.values(metadata)) expect(value).toBeTypeOf("string");
  const tensors = [...header] as [string, { data_offsets: [number, number]; shape: number[] }][];
  const entries = tensors.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  let end = 0;
  for (const [, { data_offsets, shape }] of entries) {
    expect(data_offsets).toEqual([end, end + 4 * shape.reduce((product, size) => product * size, 1)]);
    end = data_offsets[1];
  }
  expect(8 + headerBytes + end).toBe(bytes.length);
  return entries.map(([name]) => name);
}

const image = fixture("images/image0_224x224.png");
const other = fixture("images/image3_57x301.png");

describe("encode", () => {
  test("prints a row an image and writes a tensor an image, the grid in the metadata", async () => {
    const output = join(directory, "e.safetensors");
    const config = '{"compile_mm_encoder": true, "cudagraph_mm_encoder": true}';
    const { code, out } = await run(
      "encode",
      image,
      other,
      "--model",
      TINY,
      "--output",
      output,
      "--compilation-config",
      config,
    );
    expect(code).toBe(0);
    const rows = out.split("\n").map((line) => line.split(/\s{2,}/));
    expect(rows[0]).toEqual(["image", "grid", "tokens", "batch", "budget", "padding", "batch ms"]);
    expect(rows[2]?.slice(0, 6)).toEqual(["image0_224x224.png", "1×16×16", "64", "0", "256", "45.3 %"]);
    expect(rows[3]?.slice(0, 6)).toEqual(["image3_57x301.png", "1×38×8", "76", "0", "256", "45.3 %"]);
    await using file = await SafetensorsFile.open(output);
    expect(file.tensor("image0_224x224.png")).toMatchObject({ dtype: "F32", shape: [64, 192] });
    expect(file.metadata).toEqual({
      "image0_224x224.png.grid_thw": "[1,16,16]",
      "image3_57x301.png.grid_thw": "[1,38,8]",
    });
  });

  test("prints both grids of an image whose tiles and thumbnail differ in size", async () => {
    const { code, out } = await run("encode", other, "--model", fixture("models/minicpmv4-6-tiny"));
    expect(code).toBe(0);
    expect(out.split("\n")[2]).toMatch(/^image3_57x301\.png {2}1×8×4 \+ 3×4×4 {2,}5 /);
  });

  test("--dtype bf16 halves the file", async () => {
    const output = join(directory, "e.safetensors");
    expect((await run("encode", image, "--model", TINY, "--output", output, "--dtype", "bf16")).code).toBe(0);
    await using file = await SafetensorsFile.open(output);
    expect(file.tensor("image0_224x224.png")).toMatchObject({ dtype: "BF16", sizeBytes: 64 * 192 * 2 });
  });

  test("encode takes videos, samples them, and writes their timestamps", async () => {
    const output = join(directory, "clip.safetensors");
    const args = [
      "--model",
      TINY,
      "--backend",
      "cpu",
      "--video",
      "--media-io-kwargs",
      '{"video": {"num_frames": 4}}',
    ];
    const { code, out } = await run("encode", fixture("videos/animated.webp"), ...args, "--output", output);
    expect(code).toBe(0);
    expect(out).toMatch(/^animated\.webp +2×10×14 +70 /m);
    await using file = await SafetensorsFile.open(output);
    expect(file.metadata["animated.webp.timestamps"]).toBe("[0.15,0.85]");
    const refused = await run(
      "encode",
      "clip.mp4",
      "--model",
      TINY,
      "--media-io-kwargs",
      '{"video": {"frames": 4}}',
    );
    expect(refused.err).toContain('"video" of --media-io-kwargs has no option "frames"');
  });

  test("a bad image is named, the others are written, and the exit code says so", async () => {
    const bad = join(directory, "bad.png");
    await writeFile(bad, "not an image");
    const output = join(directory, "e.safetensors");
    const { code, out, err } = await run(
      "encode",
      bad,
      image,
      join(directory, "gone.png"),
      "--model",
      TINY,
      "--output",
      output,
    );
    expect(code).toBe(1);
    expect(out).toContain("wrote 1 embedding to");
    expect(err).toContain("error: DIR/bad.png: ");
    expect(err).toContain("[VG_IMAGE_INVALID]");
    expect(err).toMatch(/gone.png: cannot read .* check the path \[VG_FILE_UNREADABLE\]/);
  });

  test("files of equal names, the same file twice, and a reserved name are tensors of different names", async () => {
    const [a, b, reserved, proto] = ["a", "b", "__metadata__", "__proto__"].map((name) =>
      join(directory, name),
    );
    await mkdir(a!);
    await mkdir(b!);
    const [inA, inB] = [join(a!, "x.png"), join(b!, "x.png")];
    for (const path of [inA, inB, reserved!, proto!]) await copyFile(image, path);
    const output = join(directory, "e.safetensors");
    const { code, out } = await run(
      "encode", image, image, inA, inB, reserved!, proto!, "--model", TINY, "--output", output,
    ); // biome-ignore format: a command line
    expect(code).toBe(0);
    const names = ["image0_224x224.png", "image0_224x224.png#2", inA, inB, "__metadata__#2", "__proto__"];
    expect(await tensorNames(output)).toEqual(names);
    const rows = out.split("\n").slice(2, 8);
    expect(rows.map((row) => row.split(/\s{2,}/)[0])).toEqual(
      names.map((name) => name.replace(directory, "DIR")),
    );
  });

  test("a directory stands for its images, and - for standard input", async () => {
    await copyFile(image, join(directory, "b.png"));
    await copyFile(other, join(directory, "a.png"));
    const output = join(directory, "e.safetensors");
    const stdin = await readFile(image);
    const { code } = await runWith({ stdin }, "encode", directory, "-", "--model", TINY, "--output", output);
    expect(code).toBe(0);
    expect(await tensorNames(output)).toEqual(["a.png", "b.png", "stdin"]);
  });

  test("where no image is left, no file is written", async () => {
    const output = join(directory, "e.safetensors");
    const gone = join(directory, "gone.png");
    expect((await run("encode", gone, "--model", TINY, "--output", output)).code).toBe(1);
    expect(await readdir(directory)).toEqual([]);
  });

  test("an output without a directory is refused before the model is loaded", async () => {
    const output = join(directory, "gone", "e.safetensors");
    const { code, err } = await run("encode", image, "--model", "no-model", "--output", output);
    expect(code).toBe(1);
    expect(err).toBe(
      "error: cannot write DIR/gone/e.safetensors (there is no directory DIR/gone): make it first [VG_FILE_UNWRITABLE]\n",
    );
  });

  test("an image above --max-pixels is answered with that option", async () => {
    const { code, err } = await run("encode", image, "--model", TINY, "--max-pixels", "1000");
    expect(code).toBe(1);
    expect(err).toContain("raise --max-pixels");
  });

  test("takes vLLM's --mm-processor-kwargs as an argument, dotted, and from a --config file", async () => {
    const file = join(directory, "serve.yaml");
    await writeFile(file, "mm-processor-kwargs:\n  min_pixels: 4096\n  max_pixels: 16384\n");
    const tokens = async (...args: string[]) => {
      const { out } = await run("encode", image, "--model", TINY, ...args);
      return Number(out.split("\n")[2]?.split(/\s{2,}/)[2]);
    };
    expect(await tokens()).toBe(64);
    expect(await tokens("--mm-processor-kwargs", '{"min_pixels": 4096, "max_pixels": 16384}')).toBe(16);
    expect(await tokens("--config", file)).toBe(16);
    expect(await tokens("--config", file, "--mm-processor-kwargs.max_pixels=9216")).toBe(9);
  });

  test("--rgba-background-color stands behind transparent pixels; without it alpha is dropped", async () => {
    const color = (name: string, background: { r: number; g: number; b: number; alpha: number }) =>
      sharp({ create: { width: 64, height: 64, channels: 4, background } }).toFile(join(directory, name));
    await color("clear-red.png", { r: 255, g: 0, b: 0, alpha: 0 });
    await color("white.png", { r: 255, g: 255, b: 255, alpha: 1 });
    await color("red.png", { r: 255, g: 0, b: 0, alpha: 1 });
    const output = join(directory, "e.safetensors");
    const same = async (other: string, ...args: string[]) => {
      await run("encode", directory, "--model", TINY, "--output", output, ...args);
      await using file = await SafetensorsFile.open(output);
      const [a, b] = await Promise.all(["clear-red.png", other].map((name) => file.read(name)));
      return Buffer.compare(a!.bytes, b!.bytes) === 0;
    };
    expect(await same("red.png")).toBe(true);
    expect(await same("white.png")).toBe(false);
    expect(await same("white.png", "--rgba-background-color", "#ffffff")).toBe(true);
    expect(await same("white.png", "--rgba-background-color", "255,255,255")).toBe(true);
  });

  test("an unknown setting of the processor is refused with the known ones", async () => {
    const { code, err } = await run(
      "encode",
      image,
      "--model",
      TINY,
      "--mm-processor-kwargs",
      '{"max_pixel": 1}',
    );
    expect(code).toBe(1);
    expect(err).toMatch(/"max_pixel".*max_pixels/);
  });

  test("writes the same numbers as safetensors, .npy and JSON lines", async () => {
    const outputs = ["e.safetensors", "e.npy", "e.jsonl"].map((name) => join(directory, name));
    for (const output of outputs)
      expect((await run("encode", other, "--model", TINY, "--output", output)).code).toBe(0);
    const [safetensors, npy, lines] = outputs as [string, string, string];
    await using file = await SafetensorsFile.open(safetensors);
    const { info, bytes } = await file.read("image3_57x301.png");
    const numbers = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const array = await readFile(npy);
    expect(array.subarray(10 + array.readUInt16LE(8))).toEqual(Buffer.from(bytes));
    expect(array.toString("latin1")).toContain(`'shape': (${info.shape.join(", ")})`);
    const { embedding, ...fields } = JSON.parse(await readFile(lines, "utf8"));
    expect(Float32Array.from(embedding)).toEqual(numbers);
    expect(fields).toEqual({
      name: "image3_57x301.png",
      shape: info.shape,
      grid_thw: JSON.parse(file.metadata["image3_57x301.png.grid_thw"] as string),
    });
  });

  test("a line of JSON for each file; one .npy holds one, which is said before the work", async () => {
    const lines = join(directory, "e.jsonl");
    const { out } = await run("encode", image, other, "--model", TINY, "--output", lines);
    expect(out).toContain("wrote 2 embeddings to DIR/e.jsonl\n");
    const names = (await readFile(lines, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).name);
    expect(names).toEqual(["image0_224x224.png", "image3_57x301.png"]);
    const npy = await run("encode", image, other, "--model", TINY, "--output", join(directory, "e.npy"));
    expect(npy).toEqual({
      code: 1,
      out: "",
      err: "error: an .npy holds one embedding, and there are 2 files: give --output a name that ends in .safetensors or .jsonl [VG_ARGUMENT_INVALID]\n",
    });
  });

  test("takes globs and data URLs", async () => {
    const bytes = await readFile(image);
    const url = `data:image/png;base64,${bytes.toString("base64")}`;
    const { code, out } = await run("encode", fixture("images/image[03]_*.png"), url, "--model", TINY);
    expect(code).toBe(0);
    const names = out
      .trimEnd()
      .split("\n")
      .slice(2)
      .map((row) => row.split(" ")[0]);
    expect(names).toEqual(["image0_224x224.png", "image3_57x301.png", "data"]);
  });

  test.each([
    ["that is not base64", "data:image/png,hi", "a data URL cannot be read (it has no ;base64, in it)"],
    ["of text", `data:text/plain;base64,${btoa("hi, I am text")}`, "unknown image format"],
    ["of a cut image", "data:image/png;base64,iVBORw0KGgo=", "PNG image of 8 bytes is truncated or damaged"],
    ["of a video that is none", `data:video/mp4;base64,${btoa("no video")}`, "check that it is a video file"],
    [
      "of a megabyte that is no image",
      `data:image/png;base64,${"A".repeat(2 ** 20)}`,
      "unknown image format",
    ],
  ])("a data URL %s fails alone, in a line that does not repeat it", async (_name, url, fact) => {
    const { code, out, err } = await run("encode", image, url, "--model", TINY);
    expect(code).toBe(1);
    expect(out).toMatch(/^image0_224x224\.png +1×16×16/m);
    expect(err).toContain(fact);
    expect(err.split("\n").find((line) => line.includes(fact))!.length).toBeLessThan(300);
  });

  test("shows on a terminal that it is at work, and that it is done", async () => {
    const { err } = await runWith({ terminalColumns: 40 }, "encode", image, other, "--model", TINY);
    const last = err.split("\r\x1b[K").at(-1);
    expect(err).toContain("\r\x1b[Kencoding 2 files");
    expect(last).toMatch(/^encoding 2 files \d+\.\d\d s\n$/);
    expect((await run("encode", image, "--model", TINY)).err).not.toContain("\r");
  });

  test("encoder_cudagraph_verbose prints a line a batch", async () => {
    const config = '{"cudagraph_mm_encoder": true, "encoder_cudagraph_verbose": true}';
    const { err } = await run("encode", image, "--model", TINY, "--compilation-config", config);
    expect(err).toContain("ViT BUDGET BATCH: 1 images, 64 tokens, budget=64, waste=0.0%, graph_key=64\n");
    expect(err).toContain("Embedding cache miss for grids: [(1, 16, 16)] (computed on-the-fly)\n");
  });

  test("takes the configuration key by key, from a file, and turned off by --enforce-eager", async () => {
    const file = join(directory, "serve.yaml");
    await writeFile(file, "compilation-config:\n  cudagraph_mm_encoder: true\n");
    const budgetOf = async (...args: string[]) => {
      const { out } = await run("encode", image, "--model", TINY, ...args);
      return out.split("\n")[2]?.split(/\s{2,}/)[4];
    };
    expect(await budgetOf("--config", file)).toBe("64");
    expect(await budgetOf("--config", file, "-cc.encoder_cudagraph_token_budgets=[96]")).toBe("96");
    expect(await budgetOf("-cc.cudagraph_mm_encoder=true", "--enforce-eager")).toBe("eager");
  });

  test.each<[string, string[], RegExp]>([
    ["a missing option", [image], /required option '--model <dir-or-id>' not specified/],
    [
      "an unknown option, with the nearest",
      [image, "--modl", TINY],
      /unknown option '--modl'\n\(Did you mean --model\?\)/,
    ],
    [
      "an abbreviated option",
      [image, "--model", TINY, "--compilation", "{}"],
      /unknown option '--compilation'/,
    ],
    [
      "an option twice",
      [image, "--model", TINY, "--model", TINY],
      /'--model <dir-or-id>' is given twice: give it once/,
    ],
    [
      "an output of another format",
      [image, "--model", TINY, "--output", "e.parquet"],
      /give a name that ends in \.safetensors, \.npy or \.jsonl/,
    ],
    [
      "a dtype that the output's format has not",
      [image, "--model", TINY, "--dtype", "bf16", "--output", "e.npy"],
      /--dtype has no effect without --output FILE\.safetensors/,
    ],
    [
      "a dtype that has no effect",
      [image, "--model", TINY, "--dtype", "bf16"],
      /--dtype has no effect without --output/,
    ],
    [
      "a dotted option that is unknown",
      [image, "--model", TINY, "-O.cudagraph_mm_encoder=true"],
      /-O\.cudagraph_mm_encoder.*-cc/,
    ],
    [
      "processor settings that are no object",
      [image, "--model", TINY, "--mm-processor-kwargs", "[]"],
      /expected a JSON object/,
    ],
    [
      "a wrong configuration, with the place",
      [image, "--model", TINY, "--compilation-config", '{"cudagraph_mm_encodr": true}'],
      /--compilation-config:1:2: "cudagraph_mm_encodr" .*did you mean "cudagraph_mm_encoder"\? \[VG_CONFIG_INVALID\]/,
    ],
  ])("refuses %s as an error of the command line", async (_, args, message) => {
    const { code, out, err } = await run("encode", ...args);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });
});

test.each([
  [
    "a misspelt key",
    "compilation-confg: {cudagraph_mm_encoder: true}\n",
    /compilation-confg.*compilation-config/,
  ],
  ["a key with dashes before it", "--compilation-config: {}\n", /--compilation-config/],
])("%s of a --config file is refused, whatever the command", async (_, text, message) => {
  const file = join(directory, "serve.yaml");
  await writeFile(file, text);
  for (const command of ["encode", "verify", "print", "bench"]) {
    const { code, err } = await run(command, "--config", file);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  }
});

describe("verify", () => {
  test("--json prints each case's errors, and the exit code says whether all passed", async () => {
    const args = ["verify", "--model", TINY, "--reference", CASES, "--json"];
    const { code, out } = await run(...args);
    const { device, cases } = JSON.parse(out);
    expect(code).toBe(0);
    expect(device).toEqual(expect.any(String));
    expect(cases[0]).toMatchObject({
      passed: true,
      verdict: "ok",
      error: { relativeL2: expect.any(Number) },
    });
    const strict = await run(...args, "--tolerance", "1e-9");
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.out).cases.some(({ passed }: { passed: boolean }) => !passed)).toBe(true);
  });

  test("prints each case's errors and passes on the fixtures", async () => {
    const { code, out } = await run("verify", "--model", TINY, "--reference", CASES);
    expect(out).toContain("5 of 5 cases within 0.00001 on ");
    expect(code).toBe(0);
  });

  test.each(["hunyuan-vl", "internvl-chat", "gemma4", "glm-ocr", "llava-onevision", "llama4"])(
    "%s: answers that are not patches / merge², tiles, and pixels as their own processor has them",
    async (family) => {
      const directory = fixture(`models/${family}-tiny`);
      const reference = join(directory, "cases.safetensors");
      const { code, out } = await run("verify", "--model", directory, "--reference", reference);
      expect(out).toMatch(/\n(\d) of \1 cases within 0\.00001 on /);
      expect(code).toBe(0);
    },
  );

  test("fails where the tolerance is not met", async () => {
    const { code, out } = await run("verify", "--model", TINY, "--reference", CASES, "--tolerance", "1e-9");
    expect(out).toContain("0 of 5 cases within 1e-9");
    expect(code).toBe(1);
  });

  test("a file without cases is answered with what it must have", async () => {
    const { code, err } = await run(
      "verify",
      "--model",
      TINY,
      "--reference",
      join(TINY, "model.safetensors"),
    );
    expect(code).toBe(1);
    expect(err).toContain(
      "it must have tensors 0.pixel_values, 0.grid_thw and 0.output [VG_ARGUMENT_INVALID]",
    );
  });
});

test.each([
  ["graph", "blocks.3.attn.qkv"],
  ["fused", "# rope-qk at blocks.3.attn.attention"],
  ["plan", "scratch"],
  ["program", "linear_rope"],
])("print %s", async (stage, part) => {
  const { code, out } = await run("print", stage, "--model", TINY);
  expect(code).toBe(0);
  expect(out).toContain(part);
});

test.each(["plan", "program"])("print %s of a tower with windows", async (stage) => {
  const { code, out } = await run("print", stage, "--model", fixture("models/qwen2-5-vl-tiny"));
  expect(code).toBe(0);
  expect(out).toContain("windows");
});

test.each([
  ["graph", "nodes"],
  ["fused", "trace"],
  ["plan", "placements"],
  ["program", "instructions"],
])("print %s --json", async (stage, key) => {
  const { out } = await run("print", stage, "--model", TINY, "--json");
  expect(JSON.parse(out)[key]).toEqual(expect.arrayContaining([expect.anything()]));
});

test("print refuses a budget for a stage without one", async () => {
  const { code, err } = await run("print", "graph", "--model", TINY, "--budget", "128");
  expect(code).toBe(2);
  expect(err).toContain("--budget has no effect on print graph");
});

test("print shows what runs over a grid cache", async () => {
  const rows = ["--model", TINY, "--grid-cache-rows", "500"];
  const fused = await run("print", "fused", ...rows);
  expect(fused.out).toContain("cache.pos_embed, grid_rows)");
  expect(fused.out).toContain("# linear-gather-rows at embeddings");
  expect((await run("print", "program", ...rows)).out).toContain("cache.positions:i32[500,2]@cache+");
});

test.each([
  ["encode", image],
  ["encode", "-"],
  ["verify", "--reference", CASES],
  ["print", "graph"],
])("Ctrl-C while %s loads the model ends it with 130 and one line", async (...args) => {
  const io = createFakeIo();
  const { onInterrupt } = io;
  io.onInterrupt = (stop) => {
    setImmediate(io.interrupt);
    return onInterrupt(stop);
  };
  expect(await main([...args, "--model", TINY, "--backend", "cpu"], io)).toBe(130);
  expect(io.err).toBe("\ninterrupted\n");
});

test("doctor says what is chosen, and what decodes", async () => {
  const { code, out } = await run("doctor");
  expect(code).toBe(0);
  expect(out).toMatch(/^chosen +(cpu|cuda) /m);
  expect(out).toMatch(/^images +sharp \d+\.\d+\.\d+, libvips \d+\.\d+\.\d+$/m);
  expect(out).toMatch(/^videos +(ffmpeg \S+|GIF and WebP; .*)$/m);
});

test("--help lists the commands; a command that does not exist is refused", async () => {
  const help = await run("--help");
  expect(help.code).toBe(0);
  for (const name of ["encode", "verify", "print", "bench", "config", "plan", "doctor"])
    expect(help.out).toContain(name);
  expect((await run("encod")).code).toBe(2);
});
