/** Which backend is taken, and what is said of those that are not there. */
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const NOWHERE = "/nowhere/vitgraph.node";
const PREBUILT = `@vitgraph/cuda-kernels-${process.platform}-${process.arch}`;
const BUILD = `build it with \`node ${fileURLToPath(new URL("../scripts/build-native.mjs", import.meta.url))}\``;

/** The package anew, since it looks for its addons once. */
async function freshPackage(environment: Readonly<Record<string, string>>) {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  vi.resetModules();
  return await import("./index.js");
}

function failure(run: () => unknown): { code: string; message: string } {
  try {
    run();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error("it succeeded");
}

beforeEach(() => vi.resetModules());
afterEach(() => vi.unstubAllEnvs());

describe("without a CUDA addon", () => {
  const environment = { VITGRAPH_CUDA_ADDON: NOWHERE };

  test("auto is the CPU", async () => {
    const { createDevice } = await freshPackage(environment);
    using device = createDevice({ threads: 1 });
    expect(device.info.backend).toBe("cpu");
  });

  test.each([{ backend: "cuda" }, { device: 1 }] as const)(
    "asking for %o fails, and never falls back",
    async (options) => {
      const { createDevice } = await freshPackage(environment);
      expect(failure(() => createDevice(options))).toEqual({
        code: "VG_BACKEND_UNAVAILABLE",
        message: `the CUDA backend cannot be loaded (${NOWHERE}: there is no such file): install ${PREBUILT}-cuda, or install the CUDA toolkit (nvcc) and ${BUILD}; or use backend "cpu"`,
      });
    },
  );

  test("the doctor says what is chosen, where it lies, and why not the other", async () => {
    const { describeBackends } = await freshPackage(environment);
    const { chosen, backends } = describeBackends();
    expect(chosen).toBe("cpu");
    expect(backends.cuda).toEqual({
      usable: false,
      reasons: [`${NOWHERE}: there is no such file`],
      remedy: `install ${PREBUILT}-cuda, or install the CUDA toolkit (nvcc) and ${BUILD}; or use backend "cpu"`,
    });
    expect(backends.cpu).toMatchObject({
      usable: true,
      addonPath: expect.stringMatching(/vitgraph_cpu\.node$/),
      device: { backend: "cpu", facts: { threads: expect.any(Number), simd: expect.any(String) } },
    });
  });
});

test("an addon that was built loads, CUDA's on a machine without a GPU, too: no symbol is missing", async () => {
  await freshPackage({});
  const { loadAddon } = await import("./native.js");
  for (const backend of ["cpu", "cuda"] as const) {
    const addon = loadAddon(backend);
    // CUDA's is not built where there is no nvcc.
    const reasons = addon.found ? [] : addon.attempts.map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason !== "there is no such file")).toEqual([]);
  }
});

describe("without any addon", () => {
  const environment = { VITGRAPH_CUDA_ADDON: NOWHERE, VITGRAPH_CPU_ADDON: NOWHERE };

  test("every device fails, with the remedy", async () => {
    const { createDevice, createCpuDevice } = await freshPackage(environment);
    const expected = {
      code: "VG_BACKEND_UNAVAILABLE",
      message: `the CPU backend cannot be loaded (${NOWHERE}: there is no such file): install ${PREBUILT}, which npm leaves out with --omit=optional, or ${BUILD}`,
    };
    expect(failure(() => createCpuDevice())).toEqual(expected);
    expect(failure(() => createDevice())).toEqual(expected);
  });

  test("the doctor still answers", async () => {
    const { describeBackends } = await freshPackage(environment);
    expect(describeBackends()).toMatchObject({ chosen: null, backends: { cpu: { usable: false } } });
  });
});

test("a file that is no addon is named with the system's reason", async () => {
  const file = new URL("./index.ts", import.meta.url).pathname;
  const { describeBackends } = await freshPackage({ VITGRAPH_CPU_ADDON: file, VITGRAPH_CUDA_ADDON: NOWHERE });
  const { cpu } = describeBackends().backends;
  expect(cpu).toMatchObject({ usable: false });
  if (!cpu.usable) expect(cpu.reasons).toEqual([expect.stringMatching(new RegExp(`^${file}: .+`))]);
});

describe("names that do not exist are refused, with the nearest that does", () => {
  test.each<[options: unknown, message: string]>([
    [{ backend: "tpu" }, 'backend is "tpu": did you mean cpu? Or use one of auto, cpu, cuda'],
    [{ backend: "gpu" }, 'backend is "gpu": did you mean cuda? Or use one of auto, cpu, cuda'],
    [{ backend: "vulkan" }, 'backend is "vulkan": use one of auto, cpu, cuda'],
    [{ backend: 7 }, "backend is 7: use one of auto, cpu, cuda"],
    [{ backend: "cpu", thread: 2 }, 'createDevice has no option "thread": did you mean "threads"?'],
    [
      { ["x".repeat(1000)]: 1 },
      `createDevice has no option "${"x".repeat(60)}"… of 1000 characters: the options are backend, threads, simd, gemm, dtype, device, algorithmCache, programmaticLaunch`,
    ],
    ["cpu", 'the options of createDevice are "cpu": pass an object'],
  ])("%j", async (options, message) => {
    const { createDevice } = await freshPackage({});
    expect(failure(() => createDevice(options as never))).toEqual({ code: "VG_ARGUMENT_INVALID", message });
  });

  test("by the functions for one backend, too", async () => {
    const { createCpuDevice, createCudaDevice } = await freshPackage({});
    expect(failure(() => createCpuDevice({ device: 0 } as never)).message).toBe(
      'createCpuDevice has no option "device": the options are threads, simd, gemm, dtype',
    );
    expect(failure(() => createCudaDevice({ devise: 0 } as never)).message).toBe(
      'createCudaDevice has no option "devise": did you mean "device"?',
    );
  });
});
