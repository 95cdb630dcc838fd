/** The programs of examples/ that need no other engine, as their first lines say to run them. test/hosts runs the others. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fixture, TINY } from "./fixtures.js";

const EXAMPLES = fileURLToPath(new URL("../examples/", import.meta.url));
const TSX = [join(EXAMPLES, "node_modules/tsx/dist/cli.mjs"), "--conditions=vitgraph-source"];
const IMAGE = fixture("images/image0_224x224.png");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-examples-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(command: string, ...args: readonly string[]): Promise<string> {
  const PATH = `${join(EXAMPLES, "node_modules/.bin")}:${process.env.PATH}`;
  const env = { ...process.env, PATH, PORT: String(await freePort()) };
  return (await promisify(execFile)(command, args, { cwd: EXAMPLES, env })).stdout;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

const runTs = (name: string, ...args: readonly string[]) => run(process.execPath, ...TSX, name, ...args);

test("plain.mjs runs on the built packages", async () => {
  expect(await run(process.execPath, "plain.mjs", TINY, IMAGE)).toBe(`${IMAGE}: 64 tokens of 192 numbers\n`);
});

test("encode-and-save.ts writes a tensor an image", async () => {
  const output = join(folder, "embeddings.safetensors");
  await writeFile(join(folder, "a.png"), await readFile(IMAGE));
  await writeFile(join(folder, "b.png"), await readFile(fixture("images/image3_57x301.png")));
  expect(await runTs("encode-and-save.ts", TINY, folder, output)).toContain("2 of 2: ");
  const bytes = await readFile(output);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  expect(header["b.png"]).toMatchObject({ dtype: "BF16", shape: [76, 192] });
});

test("web-server.ts answers with the rows of an image, and refuses what is none", async () => {
  const server = spawn(process.execPath, [...TSX, "web-server.ts", TINY, "0"], { cwd: EXAMPLES });
  try {
    const [line] = await once(server.stdout, "data");
    const url = `http://127.0.0.1:${/port: (\d+)/.exec(String(line))?.[1]}`;
    const answer = await fetch(url, { method: "POST", body: await readFile(IMAGE) });
    expect(answer.headers.get("x-shape")).toBe("64, 192");
    expect((await answer.arrayBuffer()).byteLength).toBe(64 * 192 * 4);
    expect((await fetch(url, { method: "POST", body: "no image" })).status).toBe(400);
    // An upload that breaks off ends neither the server nor another client's request.
    const broken = connect(Number(new URL(url).port), "127.0.0.1");
    broken.end("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc");
    await once(broken.resume(), "close");
    expect((await fetch(url, { method: "POST", body: "no image" })).status).toBe(400);
  } finally {
    server.kill();
    await once(server, "exit");
  }
});

test("worker-threads.mjs gets its rows from the other thread", async () => {
  expect(await run(process.execPath, "worker-threads.mjs", TINY, IMAGE)).toMatch(
    /^64 tokens of 192 numbers, the first -?\d/,
  );
});

test("host.ts takes the encoder", async () => {
  expect(await runTs("host.ts", TINY, IMAGE)).toMatch(/^64 rows of 192 for .*outputTokens: 64/s);
});

test("plan-budgets.ts pads less than powers of two", async () => {
  const sizes = join(folder, "sizes.txt");
  await writeFile(sizes, "640x480\n1024x768\n640x480\n1920x1080\n");
  const out = await runTs("plan-budgets.ts", sizes);
  expect(out).toMatch(/^padding: 0\.0 % planned, \d\d\.\d % with powers of two/);
  expect(out).toContain('"encoder_cudagraph_token_budgets":[300,768,2040]');
});

test("plan-budgets.ts names the form of the file where it has no size", async () => {
  const sizes = join(folder, "sizes.csv");
  await writeFile(sizes, "width,height\n640,480\n");
  await expect(runTs("plan-budgets.ts", sizes)).rejects.toMatchObject({
    code: 1,
    stderr: `${sizes} has no sizes: write one WIDTHxHEIGHT a line\n`,
  });
});

test("vllm-encode-instance.sh answers with the grid, and leaves the file for the decoder", async () => {
  const out = await run("sh", "vllm-encode-instance.sh", TINY, IMAGE);
  expect(out).toContain('"image_grid_thw":[[1,16,16]]');
  expect(out).toContain("encoder_cache.safetensors");
});
