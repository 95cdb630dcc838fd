/** The command line as a user meets it, run in this process. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SafetensorsFile } from "@vitgraph/core";
import { main } from "@vitgraph/server";
import { createFakeIo } from "@vitgraph/server/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CASES, fixture, TINY } from "./fixtures.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = createFakeIo();
  const code = await main(args, io);
  return { code, out: io.out, err: io.err };
}

const image = fixture("images/image0_224x224.png");
const other = fixture("images/image3_57x301.png");

describe("encode", () => {
  test("prints a row an image and writes a tensor an image, the grid in the metadata", async () => {
    const output = join(directory, "new", "e.safetensors");
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
    expect(rows[0]).toEqual(["image", "grid", "tokens", "batch", "budget", "waste", "batch ms"]);
    expect(rows[2]?.slice(0, 6)).toEqual(["image0_224x224.png", "1×16×16", "64", "0", "256", "45.3 %"]);
    expect(rows[3]?.slice(0, 6)).toEqual(["image3_57x301.png", "1×38×8", "76", "0", "256", "45.3 %"]);
    await using file = await SafetensorsFile.open(output);
    expect(file.tensor("image0_224x224.png")).toMatchObject({ dtype: "F32", shape: [64, 192] });
    expect(file.metadata).toEqual({
      "image0_224x224.png.grid_thw": "[1,16,16]",
      "image3_57x301.png.grid_thw": "[1,38,8]",
    });
  });

  test("--dtype bf16 halves the file", async () => {
    const output = join(directory, "e.safetensors");
    expect((await run("encode", image, "--model", TINY, "--output", output, "--dtype", "bf16")).code).toBe(0);
    await using file = await SafetensorsFile.open(output);
    expect(file.tensor("image0_224x224.png")).toMatchObject({ dtype: "BF16", sizeBytes: 64 * 192 * 2 });
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
    expect(out).toContain("wrote 1 tensor to");
    expect(err).toContain(`error: ${bad}: `);
    expect(err).toContain("[VG_IMAGE_INVALID]");
    expect(err).toMatch(/gone.png: cannot read .* check the path \[VG_FILE_UNREADABLE\]/);
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

  test("a missing option is answered with its name and the help", async () => {
    const { code, err } = await run("encode", image);
    expect(code).toBe(2);
    expect(err).toContain("required option '--model <dir>' not specified");
  });

  test("a configuration that is wrong is answered with the place", async () => {
    const { code, err } = await run(
      "encode",
      image,
      "--model",
      TINY,
      "--compilation-config",
      '{"cudagraph_mm_encodr": true}',
    );
    expect(code).toBe(1);
    expect(err).toContain("cudagraph_mm_encoder");
    expect(err).toContain("[VG_CONFIG_INVALID]");
  });
});

describe("verify", () => {
  test("prints each case's errors and passes on the fixtures", async () => {
    const { code, out } = await run("verify", "--model", TINY, "--reference", CASES);
    expect(out).toContain("5 of 5 cases within 0.00001 on ");
    expect(code).toBe(0);
  });

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

test("print shows what runs over a grid cache", async () => {
  const rows = ["--model", TINY, "--grid-cache-rows", "500"];
  const fused = await run("print", "fused", ...rows);
  expect(fused.out).toContain("cache.embeddings, grid_rows)");
  expect(fused.out).toContain("# linear-gather-rows at embeddings");
  expect((await run("print", "program", ...rows)).out).toContain("cache.positions:i32[500,4]@cache+");
});

test("doctor says what is chosen", async () => {
  const { code, out } = await run("doctor");
  expect(code).toBe(0);
  expect(out).toMatch(/cpu/);
});

test("--help lists the commands; a command that does not exist is refused", async () => {
  const help = await run("--help");
  expect(help.code).toBe(0);
  for (const name of ["encode", "verify", "print", "bench", "config", "plan", "doctor"])
    expect(help.out).toContain(name);
  expect((await run("encod")).code).toBe(2);
});
