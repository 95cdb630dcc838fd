import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFakeIo } from "../testing.js";
import { registerPlan } from "./plan.js";
import { parseTrace } from "./plan-trace.js";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-plan-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function plan(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const io = createFakeIo();
  const program = new Command("vitgraph")
    .exitOverride()
    .configureOutput({ writeErr: io.stderr, writeOut: io.stdout });
  registerPlan(program, io);
  await program.parseAsync(["plan", ...args], { from: "user" });
  return { stdout: io.out, stderr: io.err };
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

budgets        graphs  padding  eager  cost of an item
------------------------------------------------------
planned             3    0.0 %  0.0 %            243.3
powers of two       4   21.7 %  0.0 %            310.9

--compilation-config '{"encoder_cudagraph_token_budgets":[100,110,400]}'
`);
  });

  test("reports both wastes for the common grids", async () => {
    const { stdout } = await plan("--common-grids");
    expect(stdout).toContain("planned             9   10.5 %  0.0 %");
    expect(stdout).toContain("powers of two       9   26.0 %  0.0 %");
  });

  test("turns pixels into tokens as Qwen3-VL does", async () => {
    const { stdout } = await plan("--trace", file("pixels.json", "[[480, 640], [1000, 1000]]"), "--json");
    expect(JSON.parse(stdout).planned.budgets).toEqual([300, 961]);
  });

  test("turns pixels into tokens as the checkpoint says", async () => {
    writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "qwen2_vl" }));
    writeFileSync(
      join(folder, "preprocessor_config.json"),
      JSON.stringify({ min_pixels: 3136, max_pixels: 1_003_520 }),
    );
    const { stdout } = await plan(
      "--trace",
      file("pixels.csv", "width,height\n640,480\n"),
      "--model",
      folder,
      "--json",
    );
    expect(JSON.parse(stdout).planned.budgets).toEqual([23 * 17]);
  });

  test("keeps to graphs, memory and multiples", async () => {
    const trace = file("many.json", "[100, 200, 300, 400, 500]");
    const { stdout } = await plan(
      "--trace",
      trace,
      "--bytes-per-graph",
      "100M",
      "--memory-limit",
      "0.3g",
      "--multiple-of",
      "64",
    );
    expect(stdout).toContain("The planned graphs take 209715200 bytes.");
    expect(stdout).toContain("[320,512]");
    expect((await plan("--trace", trace, "--max-graphs", "1")).stdout).toContain("[500]");
  });

  test("leaves to eager what is cheaper eagerly", async () => {
    const trace = file("rare.txt", "100,1000\n8000,1\n");
    const { stdout } = await plan("--trace", trace, "--max-graphs", "1", "--eager-overhead", "300");
    expect(stdout).toContain("[100]");
    const all = await plan("--trace", trace, "--eager-overhead", "0");
    expect(all.stdout).toContain("Eager is cheapest for every size.");
  });

  test("writes a picture", async () => {
    const picture = join(folder, "plan.svg");
    await plan("--common-grids", "--picture", picture);
    const svg = readFileSync(picture, "utf8");
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain("planned: 9 graphs, 10.5 % of computed tokens are padding");
  });

  test("shows the forms of a trace in its help", async () => {
    let help = "";
    const io = createFakeIo();
    const program = new Command("vitgraph")
      .exitOverride()
      .configureOutput({ writeOut: (text) => (help += text) });
    registerPlan(program, io);
    await program.parseAsync(["plan", "--help"], { from: "user" }).catch(() => {});
    expect(help).toContain("[961, [480, 640]");
  });

  test.each<[string, () => string[], object]>([
    [
      "no log",
      () => [],
      {
        code: "VG_ARGUMENT_INVALID",
        message: "plan needs a log of sizes: give either --trace FILE or --common-grids",
      },
    ],
    [
      "two logs",
      () => ["--trace", "x", "--common-grids"],
      {
        code: "VG_ARGUMENT_INVALID",
        message: "plan needs a log of sizes: give either --trace FILE or --common-grids",
      },
    ],
    [
      "a log that is not there",
      () => ["--trace", join(folder, "missing")],
      { code: "VG_FILE_UNREADABLE", message: expect.stringContaining("check the path given to --trace") },
    ],
    [
      "a picture that cannot be written",
      () => ["--common-grids", "--picture", join(folder, "no", "where.svg")],
      { code: "VG_FILE_UNREADABLE", message: expect.stringContaining("check the path given to --picture") },
    ],
    [
      "a model that is not there",
      () => ["--trace", file("p.txt", "640x480"), "--model", join(folder, "none")],
      {
        code: "VG_FILE_UNREADABLE",
        message: expect.stringContaining("give the directory of a checkpoint to --model"),
      },
    ],
    [
      "too little memory",
      () => ["--common-grids", "--bytes-per-graph", "2g", "--memory-limit", "1g"],
      {
        code: "VG_ARGUMENT_INVALID",
        message:
          "no set of budgets fits into 1000000000 bytes: one graph for 8836 tokens takes 2000000000: " +
          "raise the memory limit, or give a cost for eager runs",
      },
    ],
  ])("refuses %s", async (_, args, error) => {
    await expect(plan(...args())).rejects.toMatchObject(error);
  });

  test.each([
    [["--bytes-per-graph", "much"], "expected bytes, like 200000000, 200M or 1.5g"],
    [["--eager-overhead", "-1"], "expected a number of at least 0"],
    [["--max-graphs", "0"], "expected a positive whole number"],
  ])("refuses %j", async (args, message) => {
    await expect(plan("--common-grids", ...args)).rejects.toThrow(message);
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
    ["CSV of tokens", "tokens,count\n961,3\n256,1\n", [token(961, 3), token(256)]],
    ["CSV of pixels, with other columns", '"Name";Height;Width\na.png;480;640\n', [pixels(640, 480)]],
  ])("reads %s", (_, text, entries) => {
    expect(parseTrace(text, "log")).toEqual(entries);
  });

  test.each<[string, string, string]>([
    ["nothing", "", "log has no sizes in it: give a log with at least one"],
    ["an empty array", "[]", "log has no sizes in it: give a log with at least one"],
    ["a word", "961\nlarge\n", "log, line 2: large is no size: "],
    ["a size of zero", "0x480", "log, line 1: 0x480 is no size: "],
    ["a fraction", "[1.5]", "log, entry 0: 1.5 is no size: "],
    ["three numbers", "[[1, 2, 3]]", "log, entry 0: [1,2,3] is no size: "],
    ["a bad count", '[{"tokens": 4, "count": -1}]', 'log, entry 0: {"tokens":4,"count":-1} is no size: '],
    ["text in JSON", '["640x480"]', 'log, entry 0: "640x480" is no size: '],
    ["an array that does not end", "[1,\n2,", "log, line 1: not JSON ("],
    [
      "columns without sizes",
      "name,count\na,1",
      'log, line 1: no column for sizes in "name,count": ' +
        "name the columns tokens, width, height, count; tokens, or width and height, are needed",
    ],
    ["an empty cell", "tokens,count\n961,\n", "log, line 2: 961, is no size: "],
  ])("refuses %s", (_, text, message) => {
    expect(() => parseTrace(text, "log")).toThrow(
      expect.objectContaining({ code: "VG_ARGUMENT_INVALID", message: expect.stringContaining(message) }),
    );
  });
});
