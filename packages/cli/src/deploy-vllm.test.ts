/**
 * deploy/vllm-compose.yaml and deploy/vllm-helm-values.yaml: vitgraph's commands are ones that this command line takes, and
 * the three parts find each other. Neither was run.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { main } from "./cli.js";
import { createFakeIo } from "./testing.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterAll(() => rm(directory, { recursive: true }));

interface Deployment {
  /** URL as the proxy reaches it → command. */
  readonly encoders: ReadonlyMap<string, readonly string[]>;
  readonly vllm: readonly string[];
  readonly vllmUrl: string;
  readonly proxy: readonly string[];
  /** For each encoder and vLLM: the volume at the shared directory. */
  readonly sharedVolumes: readonly (string | undefined)[];
  /** GPUs of each encoder and of vLLM. */
  readonly gpus: readonly string[];
}

interface ComposeService {
  readonly command: readonly string[];
  readonly volumes?: readonly (string | { readonly target: string })[];
  readonly deploy?: {
    readonly resources: { readonly reservations: { readonly devices: readonly { device_ids: string[] }[] } };
  };
}

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly resources: { readonly limits: Readonly<Record<string, number | string>> };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

const readDeploy = async (name: string) =>
  parse(await readFile(new URL(`../../../deploy/${name}`, import.meta.url), "utf8"), { merge: true });

async function readCompose(): Promise<Deployment> {
  const { services } = (await readDeploy("vllm-compose.yaml")) as {
    readonly services: Readonly<Record<string, ComposeService>>;
  };
  const { vllm, proxy, ...encoders } = services as { readonly [name: string]: ComposeService } & {
    readonly vllm: ComposeService;
    readonly proxy: ComposeService;
  };
  const withGpu = [...Object.values(encoders), vllm];
  const volumeAt = (target: string) => (volume: string | { readonly target: string }) =>
    typeof volume === "string" && volume.endsWith(`:${target}`);
  return {
    encoders: new Map(
      Object.entries(encoders).map(([name, { command }]) => [
        `http://${name}:${optionOf(command, "--port")}`,
        command,
      ]),
    ),
    vllm: vllm.command,
    vllmUrl: `http://vllm:${optionOf(vllm.command, "--port")}`,
    proxy: proxy.command,
    sharedVolumes: withGpu.map(({ volumes }) => volumes?.find(volumeAt("/ec")) as string | undefined),
    gpus: withGpu.flatMap(({ deploy }) => deploy?.resources.reservations.devices[0]?.device_ids ?? []),
  };
}

async function readHelm(): Promise<Deployment> {
  const { image, resources, extraContainers } = (await readDeploy("vllm-helm-values.yaml")) as {
    readonly image: { readonly command: readonly string[] };
    readonly resources: Container["resources"];
    readonly extraContainers: readonly Container[];
  };
  const encoders = extraContainers.filter(({ args }) => args !== undefined);
  return {
    encoders: new Map(
      encoders.map(({ args = [] }) => [`http://127.0.0.1:${optionOf(args, "--port")}`, args]),
    ),
    vllm: image.command,
    vllmUrl: `http://127.0.0.1:${optionOf(image.command, "--port")}`,
    proxy: extraContainers.find(({ name }) => name === "proxy")?.command ?? [],
    // vLLM's container gets the chart's volume at /data.
    sharedVolumes: [
      ...encoders.map(
        ({ volumeMounts }) => volumeMounts?.find(({ mountPath }) => mountPath === "/data")?.name,
      ),
      "vllm-storage",
    ],
    // The device plugin gives each container its own.
    gpus: [...encoders, { resources }].flatMap(({ resources: { limits } }, index) =>
      limits["nvidia.com/gpu"] === 1 ? [`of container ${index}`] : [],
    ),
  };
}

function optionOf(command: readonly string[], option: string): string | undefined {
  return command.find((text) => text.startsWith(`${option}=`))?.slice(option.length + 1);
}

/** The exit code and the error of a command whose model does not exist: 2 for a command line that is wrong. */
async function run(command: readonly string[]) {
  const io = createFakeIo();
  const args = command.map((argument) =>
    argument
      .replace(/^--model=.*/, `--model=${join(directory, "no-model")}`)
      .replace(/^--shared-storage-path=.*/, `--shared-storage-path=${join(directory, "ec")}`),
  );
  return { code: await main(args, io), error: io.err };
}

test.each([
  ["vllm-compose.yaml", readCompose],
  ["vllm-helm-values.yaml", readHelm],
])("%s: vitgraph takes its commands, up to the model that is not there", async (_, read) => {
  const { encoders } = await read();
  expect(encoders.size).toBe(2);
  for (const command of encoders.values()) {
    expect(command.slice(0, 1)).toEqual(["serve"]);
    const { code, error } = await run(command);
    expect(error).toContain("no-model");
    expect(code).toBe(1);
    expect((await run([...command, "--shared-storage=/ec"])).code).toBe(2);
  }
});

test.each([
  ["vllm-compose.yaml", readCompose],
  ["vllm-helm-values.yaml", readHelm],
])(
  "%s: the proxy names all servers, and they share the model, its name and the directory",
  async (_, read) => {
    const { encoders, vllm, vllmUrl, proxy, sharedVolumes, gpus } = await read();
    expect(optionOf(proxy, "--encode-servers-urls")?.split(",")).toEqual([...encoders.keys()]);
    expect(optionOf(proxy, "--decode-servers-urls")).toBe(vllmUrl);
    const { ec_role, ec_connector_extra_config } = JSON.parse(optionOf(vllm, "--ec-transfer-config") ?? "{}");
    expect(ec_role).toBe("ec_consumer");
    for (const command of encoders.values()) {
      expect(command).toContain("--vllm-encode");
      expect(optionOf(command, "--shared-storage-path")).toBe(ec_connector_extra_config.shared_storage_path);
      expect(optionOf(command, "--served-model-name")).toBe(optionOf(vllm, "--served-model-name"));
      expect(vllm).toContain(optionOf(command, "--model"));
    }
    expect(new Set(sharedVolumes).size).toBe(1);
    expect(sharedVolumes[0]).toBeDefined();
    expect(new Set(gpus).size).toBe(3);
  },
);
