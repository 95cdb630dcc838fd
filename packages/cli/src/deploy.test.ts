/** deploy/Dockerfile and deploy/compose.yaml: their commands are ones that this command line takes. Neither was built here. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { main } from "./cli.js";
import { createFakeIo } from "./testing.js";

interface Service {
  readonly command: readonly string[];
  readonly build: { readonly context: string; readonly dockerfile: string };
  readonly ports: readonly string[];
  readonly volumes: readonly (string | { readonly target: string })[];
  readonly secrets: readonly string[];
}

const root = fileURLToPath(new URL("../../../", import.meta.url));
let directory: string;
let dockerfile: string;
let compose: {
  readonly services: { readonly vitgraph: Service };
  readonly secrets: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeFile(join(directory, "keys"), "a-key-of-the-test-0123456789\n");
  dockerfile = await readFile(join(root, "deploy/Dockerfile"), "utf8");
  compose = parse(await readFile(join(root, "deploy/compose.yaml"), "utf8"));
});
afterAll(() => rm(directory, { recursive: true }));

/** The exit code and the error of a command whose model does not exist: 2 for a command line that is wrong. */
async function run(command: readonly string[]) {
  const io = createFakeIo();
  const args = command.map((argument) =>
    argument.replace("/run/secrets", directory).replace(/(^|=)\/model$/, `$1${join(directory, "no-model")}`),
  );
  return { code: await main(args, io), error: io.err };
}

/** The list of an instruction in its JSON form. */
function listOf(instruction: "ENTRYPOINT" | "CMD"): readonly string[] {
  const text = new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(dockerfile)?.[1];
  return JSON.parse(text ?? "[]") as string[];
}

test("the image's command and compose's are taken, up to the model that is not there", async () => {
  const service = compose.services.vitgraph;
  for (const command of [listOf("CMD"), service.command]) {
    expect(command[0]).toBe("serve");
    const { code, error } = await run(command);
    expect(error).toContain("no-model");
    expect(code).toBe(1);
  }
  expect((await run([...service.command, "--prot=1"])).code).toBe(2);
});

test("the entry point is the command line, and files that are named exist", () => {
  const [program, path] = listOf("ENTRYPOINT");
  expect(program).toBe("node");
  expect(existsSync(join(root, path?.replace("/opt/vitgraph/", "") ?? ""))).toBe(true);
  const { context, dockerfile: name } = compose.services.vitgraph.build;
  expect(existsSync(join(root, "deploy", context, name))).toBe(true);
});

test("the image runs as another user than root, on a base without compilers, with a health check", () => {
  const last = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "));
  expect(last).toMatch(/^\nFROM nvidia\/cuda:\S+-base-/);
  expect(last).toMatch(/^USER [1-9]\d*$/m);
  expect(last).toContain("HEALTHCHECK");
  expect(last).toContain("/health/live");
});

test("compose's secrets, volumes and port are those of its command", () => {
  const { command, secrets, volumes, ports } = compose.services.vitgraph;
  const optionOf = (option: string) =>
    command.find((text) => text.startsWith(`${option}=`))?.slice(option.length + 1);
  expect(secrets.map((name) => `/run/secrets/${name}`)).toEqual([optionOf("--api-key-file")]);
  expect(Object.keys(compose.secrets)).toEqual(secrets);
  const targets = volumes.map((volume) =>
    typeof volume === "string" ? volume.split(":")[1] : volume.target,
  );
  expect(targets).toEqual([optionOf("--model"), /XDG_CACHE_HOME=(\S+)/.exec(dockerfile)?.[1]]);
  expect(Object.keys(compose.volumes)).toEqual(["cache"]);
  expect(ports.map((port) => port.split(":").at(-1))).toEqual([optionOf("--port")]);
});
