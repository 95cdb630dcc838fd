/**
 * Entry points of @vitgraph/core on a machine without its optional packages: each program is bundled into a temporary
 * folder, where sharp, pino, prom-client and OpenTelemetry cannot be resolved, and runs there in a process of its own.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BuildResult, build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TINY } from "./fixtures.js";

const OPTIONAL = ["@opentelemetry/api", "pino", "prom-client", "sharp"];
const here = fileURLToPath(new URL(".", import.meta.url));
const addon =
  process.env.VITGRAPH_CPU_ADDON ?? join(here, "../packages/cuda-kernels/build/Release/vitgraph_cpu.node");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-optional-"));
});
afterAll(() => rm(folder, { recursive: true }));

function bundle(contents: string, outfile: string): Promise<BuildResult<{ metafile: true }>> {
  return build({
    stdin: { contents, resolveDir: here, loader: "ts" },
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    conditions: ["vitgraph-source"],
    mainFields: ["module", "main"],
    external: OPTIONAL,
    metafile: true,
    logLevel: "silent",
  });
}

/** Runs a program that prints one line of JSON. */
async function run(name: string, contents: string): Promise<unknown> {
  const path = join(folder, `${name}.mjs`);
  await bundle(contents, path);
  const env = { ...process.env, VITGRAPH_CPU_ADDON: addon, NODE_PATH: "" };
  const { stdout } = await promisify(execFile)(process.execPath, [path], { cwd: folder, env });
  return JSON.parse(stdout);
}

test("the contract loads no other module", async () => {
  const { metafile } = await bundle(
    'export * from "@vitgraph/core/contract"',
    join(folder, "contract-only.mjs"),
  );
  const inputs = Object.keys(metafile.inputs).filter((path) => !path.includes("<stdin>"));
  expect(inputs.map((path) => path.replace(/^.*packages\//, ""))).toEqual(["core/src/plugin/contract.ts"]);
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
  expect(
    await run(
      "contract",
      `import * as contract from "@vitgraph/core/contract";
      console.log(JSON.stringify(contract.isEncoderPlugin({ [contract.ENCODER_PLUGIN]: 1 })));`,
    ),
  ).toBe(true);
});

test("a host that passes pixels gets embeddings; for bytes it is told to install sharp", async () => {
  const outcomes = await run(
    "pixels",
    `import { createEncoderPlugin, type MultimodalEncoder } from "@vitgraph/core";
    import { readFileSync } from "node:fs";
    const path = ${JSON.stringify(TINY)};
    let encoder: MultimodalEncoder | undefined;
    await using registration = await createEncoderPlugin({ backend: "cpu", modalities: ["image"] }).register({
      name: "a host",
      specificationVersions: [1],
      model: { config: JSON.parse(readFileSync(path + "/config.json", "utf8")), path },
      takenModalities: () => [],
      registerMultimodalEncoder(_, registered) {
        encoder = registered;
        return () => {};
      },
    });
    const raster = { width: 64, height: 48, rgb: new Uint8Array(64 * 48 * 3) };
    const image = readFileSync(${JSON.stringify(join(here, "fixtures/images/pillow/rgb.png"))});
    const outcomes = await encoder!.encode([{ raster }, { image }]);
    console.log(JSON.stringify(outcomes.map((outcome) =>
      outcome.status === "fulfilled" ? outcome.value.tokens : [outcome.reason.code, outcome.reason.message])));`,
  );
  expect(outcomes).toEqual([
    expect.any(Number),
    [
      "VG_PACKAGE_UNAVAILABLE",
      "decoding images needs the package sharp, which is not installed: npm install sharp",
    ],
  ]);
});

test("metrics, traces and the logger say what to install, and the rest of the entry point works", async () => {
  const messages = await run(
    "observability",
    `import { BatchEvents, createLogger, EngineLog, EngineMetrics, EngineTracing } from "@vitgraph/core/observability";
    new EngineLog({ logger: { ...console, info() {} } }).stateChanged("ready");
    new BatchEvents().read().end();
    const messageOf = (made: Promise<unknown>) => made.then(() => "made", ({ message }) => message);
    console.log(JSON.stringify([
      await messageOf(EngineMetrics.create()),
      await messageOf(EngineTracing.create()),
      await messageOf(createLogger()),
    ]));`,
  );
  expect(messages).toEqual([
    "the metrics registry needs the package prom-client, which is not installed: npm install prom-client",
    "tracing needs the package @opentelemetry/api, which is not installed: npm install @opentelemetry/api",
    "a logger of JSON lines needs the package pino, which is not installed: npm install pino",
  ]);
});
