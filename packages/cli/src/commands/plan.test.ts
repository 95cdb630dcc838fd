import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";
import { parseTrace } from "./plan-trace.js";

let folder: string;
/** A checkpoint's directory, as far as this command reads it. */
let model: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-plan-"));
  model = modelOf("qwen3_vl");
});

afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function modelOf(type: string, config: object = {}): string {
  const directory = mkdtempSync(join(folder, `${type}-`));
  const content = { model_type: type, vision_config: {}, text_config: {}, ...config };
  writeFileSync(join(directory, "config.json"), JSON.stringify(content));
  return directory;
}

async function plan(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  return planFrom("", ...args);
}

async function planFrom(stdin: string, ...args: string[]) {
  const io = createFakeIo({ stdin });
  const code = await main(["plan", ...args], io);
  return { stdout: io.out, stderr: io.err.replaceAll(`${folder}/`, ""), code };
}

describe("vitgraph plan", () => {
  test("prints the budgets, and what they save", async () => {
    const { stdout } = await plan("--trace", file("sizes.txt", "100,10\n110\n400,10\n"));
    expect(stdout).toBe(`sizes.txt: 3 sizes, 100 to 400 tokens

budget   items  padding
-----------------------
   100  47.6 %    0.0 %
   110   4.8 %    0.0 %
   400  47.6 %    0.0 %

budgets        graphs  padding  cost: tokens per item, with padding
-------------------------------------------------------------------
planned             3    0.0 %                                243.3
powers of two       4   21.7 %                                310.9

Each item runs alone; --waiting COUNT plans for batches of several.
The cost is vLLM's, which computes the padding. vitgraph does not compute it: closer budgets save it little.

--compilation-config '{"cudagraph_mm_encoder":true,"encoder_cudagraph_token_budgets":[100,110,400]}'
`);
  });

  test("prints a config that works when pasted: config check has nothing to say", async () => {
    const { stdout } = await plan("--trace", file("t.json", "[100, 200, 3000]"));
    const [, config = ""] = /--compilation-config '(.*)'/.exec(stdout) ?? [];
    const io = createFakeIo({ stdin: config });
    expect(await main(["config", "check", "-"], io)).toBe(0);
    expect(io.out).toBe("standard input: 0 errors, 0 warnings\n");
  });

  test("reports the padding of both for the common grids", async () => {
    const { stdout } = await plan("--common-grids");
    expect(stdout).toMatch(/^planned {13}9 {3}10\.5 % /m);
    expect(stdout).toMatch(/^powers of two {7}9 {3}26\.0 % /m);
  });

  test("turns pixels into tokens as Qwen3-VL does", async () => {
    const trace = file("pixels.json", "[[480, 640], [1000, 1000]]");
    const { stdout } = await plan("--trace", trace, "--model", model, "--json");
    expect(JSON.parse(stdout).planned.budgets).toEqual([300, 961]);
  });

  test("turns pixels into tokens as the checkpoint says", async () => {
    const directory = modelOf("qwen2_vl");
    writeFileSync(
      join(directory, "preprocessor_config.json"),
      JSON.stringify({ min_pixels: 3136, max_pixels: 1_003_520 }),
    );
    const budgets = async () => {
      const trace = file("pixels.csv", "width,height\n640,480\n");
      const { stdout } = await plan("--trace", trace, "--model", directory, "--json");
      return JSON.parse(stdout).planned.budgets;
    };
    expect(await budgets()).toEqual([23 * 17]);
    // transformers 5 writes one file for all processors, and it wins.
    const image_processor = { min_pixels: 3136, max_pixels: 28 * 28 * 100 };
    writeFileSync(join(directory, "processor_config.json"), JSON.stringify({ image_processor }));
    expect(await budgets()).toEqual([8 * 11]);
  });

  test("turns pixels into the 256 tokens of Gemma 3, whatever the size", async () => {
    const trace = file("gemma.json", "[[1080, 1920], [64, 64]]");
    const gemma3 = modelOf("gemma3", { vision_config: { image_size: 896, patch_size: 14 } });
    const { stdout } = await plan("--trace", trace, "--model", gemma3, "--json");
    expect(JSON.parse(stdout).planned.budgets).toEqual([256]);
  });

  test("counts tokens with the patches of config.json, which SmolVLM's processor file leaves out", async () => {
    const vision_config = { image_size: 512, patch_size: 16 };
    const directory = modelOf("smolvlm", { scale_factor: 4, vision_config });
    const sizes = { size: { longest_edge: 2048 }, max_image_size: { longest_edge: 512 } };
    writeFileSync(join(directory, "preprocessor_config.json"), JSON.stringify(sizes));
    const trace = file("smolvlm.txt", "640x480\n");
    const { stdout } = await plan("--trace", trace, "--model", directory);
    // 4 × 3 tiles and the whole picture, of 64 tokens each.
    expect(stdout).toContain("smolvlm.txt: one size, 832 tokens\n");
  });

  test("plans for the patches of LLaVA-OneVision's tiles, of which an image can have more than rows", async () => {
    const onevision = modelOf("llava_onevision", { vision_config: { image_size: 384, patch_size: 14 } });
    const trace = file("onevision.txt", "200x768\n");
    const { stdout } = await plan("--trace", trace, "--model", onevision);
    // The base tile and two more, of 27 × 27 patches. The answer has 1593 rows: padding is left out.
    expect(stdout).toContain("onevision.txt: one size, 2187 tokens\n");
  });

  test("keeps to graphs and memory", async () => {
    const trace = file("many.json", "[100, 200, 300, 400, 500]");
    const { stdout } = await plan("--trace", trace, "--bytes-per-graph", "100M", "--memory-limit", "0.3g");
    expect(stdout).toContain("The planned graphs take 209715200 bytes.");
    expect(stdout).toContain("[300,500]");
    expect((await plan("--trace", trace, "--max-graphs", "1")).stdout).toContain("[500]");
  });

  test("reads standard input", async () => {
    const { stdout, code } = await planFrom("[100, 200]", "--trace", "-", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout).planned.budgets).toEqual([100, 200]);
  });

  test("skips sizes that no model takes, and names file and line", async () => {
    const trace = file("aspect.txt", "640x480\n3x9000\n");
    const { stdout, stderr, code } = await plan("--trace", trace, "--model", model, "--json");
    expect(stderr).toBe(
      "note: aspect.txt, line 2: skipped: image of 3 × 9000 pixels has an aspect ratio of 3000, above 200\n",
    );
    expect(JSON.parse(stdout).planned.budgets).toEqual([300]);
    expect(code).toBe(0);
  });

  test("names the first of many skipped sizes, and counts the others", async () => {
    const lines = Array.from({ length: 1000 }, () => "3x9000").join("\n");
    const { stderr } = await plan("--trace", file("many.txt", `640x480\n${lines}`), "--model", model);
    expect(stderr.split("\n")).toHaveLength(12);
    expect(stderr).toContain("note: many.txt, line 11: skipped: ");
    expect(stderr).toContain("note: many.txt: 990 more skipped\n");
  });

  test("skips sizes above the largest token budget: the configuration would be refused", async () => {
    const { stdout, stderr } = await plan(
      "--trace",
      file("b.txt", "64\n1048577\n9007199254740991\n"),
      "--json",
    );
    expect(stderr).toBe(`note: b.txt, line 2: skipped: 1048577 tokens are more than the largest token budget
note: b.txt, line 3: skipped: 9007199254740991 tokens are more than the largest token budget
`);
    expect(JSON.parse(stdout).planned.budgets).toEqual([64]);
  });

  test("prints the plan though its picture cannot be written", async () => {
    const { stdout, stderr, code } = await plan(
      "--common-grids",
      "--picture",
      join(folder, `${"x".repeat(300)}.svg`),
    );
    expect(stdout).toContain("--compilation-config");
    expect(stderr).toMatch(/^error: cannot write x+\.svg \(ENAMETOOLONG/);
    expect(code).toBe(1);
  });

  test("names columns that have no effect", async () => {
    const { stderr } = await plan("--trace", file("c.csv", "tokens,cuont,width\n961,3,640\n"));
    expect(stderr).toBe("note: c.csv: columns without effect: cuont, width\n");
  });

  test("writes a picture", async () => {
    const picture = join(folder, "plan.svg");
    await plan("--common-grids", "--picture", picture);
    const svg = readFileSync(picture, "utf8");
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain("planned: 9 graphs, 1130 tokens computed for an item, 10.5 % of them padding");
    expect(svg).toContain("padding by budget, powers of two");
  });

  test("plans for batches where several items wait", async () => {
    // One, two, three or four of 300 tokens: three fit 1000.
    const args = ["--trace", file("batches.txt", "300\n"), "--waiting", "4", "--max-batch-tokens", "1000"];
    const { waiting, planned } = JSON.parse((await plan(...args, "--json")).stdout);
    expect(waiting).toBe(4);
    // Rounded up to multiples of 32.
    expect(planned.budgets).toEqual([320, 608, 928]);
    const mean = (2 * 320 + 608 + 2 * 928) / 10;
    expect(planned.computedTokensPerItem).toBeCloseTo(mean, 6);
    const { stdout } = await plan(...args);
    expect(stdout).toMatch(/^budget {2}batches {2}padding\n/m);
    expect(stdout).toContain("1 to 4 items wait at a time, their sizes drawn from the log.");
    const picture = join(folder, "batches.svg");
    await plan(...args, "--picture", picture);
    expect(readFileSync(picture, "utf8")).toContain("tokens of a batch");
  });

  test("shows the forms of a trace in its help", async () => {
    expect((await plan("--help")).stdout).toContain("[961, [480, 640]");
  });

  test.each<[string, () => string[], RegExp]>([
    ["no log", () => [], /^error: plan needs a log of sizes: give --trace FILE or --common-grids\n/],
    [
      "a limit of batches where each item runs alone",
      () => ["--common-grids", "--max-batch-tokens", "64"],
      /--max-batch-tokens has no effect without --waiting of 2 or more/,
    ],
    [
      "two logs",
      () => ["--trace", "x", "--common-grids"],
      /'--common-grids' cannot be used with option '--trace/,
    ],
    [
      "a model that has no effect",
      () => ["--model", "x", "--common-grids"],
      /cannot be used with option '--model/,
    ],
    [
      "a memory limit that has no effect",
      () => ["--common-grids", "--memory-limit", "100M"],
      /^error: --memory-limit has no effect without --bytes-per-graph: add it\n/,
    ],
    [
      "a picture of another format",
      () => ["--common-grids", "--picture", join(folder, "plan.png")],
      /'plan\.png' is invalid\. the file is written as \.svg: give a name that ends in \.svg/,
    ],
    [
      "an option twice",
      () => ["--trace", "a", "--trace", "b"],
      /'--trace <file>' is given twice: give it once/,
    ],
    [
      "bytes that are none",
      () => ["--bytes-per-graph", "much"],
      /expected bytes, like 200000000, 200M or 1\.5g/,
    ],
    ["no graphs", () => ["--max-graphs", "0"], /expected a positive whole number/],
    [
      "a budget that no config can have",
      () => ["--common-grids", "--smallest-budget", "1048577"],
      /^error: a token budget has at most 1048576 tokens: lower --smallest-budget\n/,
    ],
  ])("refuses %s as an error of the command line", async (_, args, message) => {
    const { code, stdout, stderr } = await plan(...args());
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  test.each<[string, () => string[], string | RegExp]>([
    [
      "a log that is not there",
      () => ["--trace", join(folder, "missing")],
      /^error: cannot read missing .*: check the path given to --trace \[VG_FILE_UNREADABLE\]\n$/,
    ],
    [
      "a picture without a directory",
      () => ["--common-grids", "--picture", join(folder, "no", "where.svg")],
      /^error: cannot write no\/where\.svg \(there is no directory no\): make it first \[VG_FILE_UNWRITABLE\]\n$/,
    ],
    [
      "image sizes without a model",
      () => ["--trace", file("p.txt", "640x480")],
      "error: p.txt has image sizes, and no model turns them into tokens: give the model with --model, or token counts [VG_ARGUMENT_INVALID]\n",
    ],
    [
      "a model that is not there",
      () => ["--trace", file("p.txt", "640x480"), "--model", join(folder, "none")],
      /give the directory of a checkpoint, or its id on the Hugging Face hub \(ORG\/NAME\) \[VG_FILE_UNREADABLE\]/,
    ],
    [
      "a model whose config.json is nested too deep",
      () => {
        const model = mkdtempSync(join(folder, "m"));
        writeFileSync(join(model, "config.json"), "[".repeat(100_000));
        return ["--trace", file("p.txt", "640x480"), "--model", model];
      },
      /config\.json is nested more than 64 deep: copy or download it again \[VG_MODEL_INVALID\]/,
    ],
    [
      "a log of impossible sizes",
      () => ["--trace", file("none.txt", "3x9000"), "--model", model],
      /error: none\.txt has no size to plan for: give one that the model takes, with a count above 0 \[VG_ARGUMENT_INVALID\]\n$/,
    ],
    [
      "a log whose sizes never came",
      () => ["--trace", file("zero.txt", "640x480,0"), "--model", model],
      /^error: zero\.txt has no size to plan for: /,
    ],
    [
      "too little memory",
      () => ["--common-grids", "--bytes-per-graph", "2g", "--memory-limit", "1g"],
      /^error: no graph of 2000000000 bytes fits into 1000000000 bytes: raise --memory-limit \[VG_ARGUMENT_INVALID\]\n$/,
    ],
  ])("refuses %s", async (_, args, message) => {
    const { code, stdout, stderr } = await plan(...args());
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });
});

describe("parseTrace", () => {
  const token = (tokens: number, count = 1) => ({ tokens, count });
  const pixels = (width: number, height: number, count = 1) => ({ width, height, count });

  test.each<[string, string, object[]]>([
    ["a JSON array of tokens", "[961, 256]", [token(961), token(256)]],
    ["a JSON array of pixels", "[[480, 640],\n [8, 9]]", [pixels(640, 480), pixels(9, 8)]],
    [
      "a JSON array of objects",
      '[{"tokens": 4, "count": 2}, {"height": 8, "width": 9}]',
      [token(4, 2), pixels(9, 8)],
    ],
    ["JSON lines", '[480, 640]\n{"tokens": 4}\n[8, 9]\n', [pixels(640, 480), token(4), pixels(9, 8)]],
    ["lines of pixels", "640x480\n8 × 9\n", [pixels(640, 480), pixels(8, 9)]],
    [
      "lines with counts",
      "640x480,12\n961 3\n5\t2.5\n",
      [pixels(640, 480, 12), token(961, 3), token(5, 2.5)],
    ],
    ["comments, empty lines and other line ends", "\uFEFF# sizes\r\n\r\n961\r\n", [token(961)]],
    ["CSV with several kinds of line ends", "# a\r\ntokens\n961\r\n256\r", [token(961), token(256)]],
    ["CSV of tokens", "tokens,count\n961,3\n256,1\n", [token(961, 3), token(256)]],
    [
      "CSV with quoted cells, comments and tabs",
      '# log\n"width"\t"height"\tcount\n"640"\t"480"\t"5"\n\n# more\n8\t9\t1\n',
      [pixels(640, 480, 5), pixels(8, 9)],
    ],
    ["a separator and a line end inside quotes", 'name,tokens\n"a, ""b""\nc",961\n', [token(961)]],
    ["CSV of pixels, with other columns", '"Name";Height;Width\na.png;480;640\n', [pixels(640, 480)]],
  ])("reads %s", (_, text, entries) => {
    const read = parseTrace(text, "log").entries.map(({ place: _, ...entry }) => entry);
    expect(read).toEqual(entries);
  });

  test.each<[string, string, string[]]>([
    ["lines", "# x\n961\n\n640x480", ["log, line 2", "log, line 4"]],
    ["CSV", "# x\ntokens\n\n961\n", ["log, line 4"]],
    ["a JSON array", "[961, 256]", ["log, entry 0", "log, entry 1"]],
  ])("knows the places of %s", (_, text, places) => {
    expect(parseTrace(text, "log").entries.map(({ place }) => place)).toEqual(places);
  });

  test("cuts what it quotes", () => {
    expect(() => parseTrace(`12${"9".repeat(10_000)}z`, "log")).toThrow(
      /^log, line 1: 12.{98}… is not a size/,
    );
  });

  test.each<[string, string, string]>([
    ["nothing", "", "log has no sizes: give a log with at least one"],
    ["an empty array", "[]", "log has no sizes: give a log with at least one"],
    ["a word", "961\nlarge\n", "log, line 2: large is not a size: "],
    ["a size of zero", "0x480", "log, line 1: 0x480 is not a size: "],
    ["a fraction", "[1.5]", "log, entry 0: 1.5 is not a size: "],
    ["three numbers", "[[1, 2, 3]]", "log, entry 0: [1,2,3] is not a size: "],
    ["a bad count", '[{"tokens": 4, "count": -1}]', 'log, entry 0: {"tokens":4,"count":-1} is not a size: '],
    ["a count that no sum holds", "tokens,count\n961,1e308\n", "log, line 2: 961,1e308 is not a size: "],
    ["text in JSON", '["640x480"]', 'log, entry 0: "640x480" is not a size: '],
    ["an array that does not end", "[1,\n2,", "log, line 1: not JSON ("],
    [
      "columns without sizes",
      "name,count\na,1",
      'log, line 1: no column for sizes in "name,count": ' +
        "name the columns tokens, width, height, count; tokens, or width and height, are needed",
    ],
    ["a quote inside a cell", 'tokens\na"b"c,1\n', "log is not CSV (Invalid Opening Quote"],
    ["an empty cell", "tokens,count\n961,\n", "log, line 2: 961, is not a size: "],
  ])("refuses %s", (_, text, message) => {
    expect(() => parseTrace(text, "log")).toThrow(
      expect.objectContaining({ code: "VG_ARGUMENT_INVALID", message: expect.stringContaining(message) }),
    );
  });
});
