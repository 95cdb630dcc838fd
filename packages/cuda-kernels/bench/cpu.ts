/**
 * The CPU backend's kernels at the sizes of Qwen3-VL's larger tower (hidden 1152, 16 heads of 72, MLP 4304):
 *
 *     pnpm bench            in this directory; `pnpm bench 4096` for another number of patches
 *
 * Every figure is the best of several runs by the device's own clock. Columns of one row were measured in turns, so that
 * they saw the same machine; rows further apart may not have.
 */
import { availableParallelism } from "node:os";
import { type CpuDeviceOptions, createCpuDevice, type Device } from "../src/index.js";
import {
  activationCase,
  attentionCase,
  type KernelCase,
  layernormCase,
  linearCase,
  loadKernelCase,
  ropeCase,
} from "../src/testing.js";

const patches = Number(process.argv[2] ?? 1024);
const ROUNDS = 15;

interface Contender {
  readonly name: string;
  readonly device: Device;
  readonly kernelCase: KernelCase;
}

/** Milliseconds of each, the best of several rounds in which they take turns. */
async function race(contenders: readonly Contender[]): Promise<number[]> {
  const loaded = await Promise.all(
    contenders.map(({ device, kernelCase }) => loadKernelCase(device, kernelCase)),
  );
  const best = loaded.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, contender] of loaded.entries()) {
      best[index] = Math.min(best[index]!, (await contender.run()).durationMs);
    }
  }
  for (const contender of loaded) contender[Symbol.dispose]();
  return best;
}

function device(options: CpuDeviceOptions): Device | undefined {
  try {
    return createCpuDevice(options);
  } catch {
    return undefined;
  }
}

async function benchProducts(threads: number): Promise<void> {
  const own = device({ threads, gemm: "blocked" })!;
  const openblas = device({ threads, gemm: "openblas" });
  console.log(
    `\nlinear, ${threads} thread${threads === 1 ? "" : "s"}: GFLOP/s   (${own.info.name}; ${openblas?.info.facts.gemmVersion ?? "no OpenBLAS"})`,
  );
  const rows: Record<string, Record<string, string>> = {};
  for (const [layer, m, n, k] of [
    ["qkv", patches, 3456, 1152],
    ["proj", patches, 1152, 1152],
    ["fc1", patches, 4304, 1152],
    ["fc2", patches, 1152, 4304],
    ["merger", patches / 4, 4608, 4608],
    ["patch embedding", patches, 1152, 1536],
  ] as const) {
    const weights = (["bf16", "f32"] as const).map((weightDType) =>
      linearCase({ m, n, k, weightDType, bias: true }),
    );
    const contenders = [own, openblas].flatMap((device, index) =>
      device === undefined
        ? []
        : weights.map((kernelCase, dtype) => ({
            name: `${index === 0 ? "own" : "OpenBLAS"}, ${dtype === 0 ? "bf16" : "f32"} weights`,
            device,
            kernelCase,
          })),
    );
    const rates = (await race(contenders)).map((ms) => (2 * m * n * k) / ms / 1e6);
    const row: Record<string, string> = Object.fromEntries(
      contenders.map(({ name }, i) => [name, rates[i]!.toFixed(1)]),
    );
    if (rates.length === 4) row["own bf16 / OpenBLAS f32"] = (rates[0]! / rates[3]!).toFixed(2);
    rows[`${layer} ${m}×${n}×${k}`] = row;
  }
  console.table(rows);
  own[Symbol.dispose]();
  openblas?.[Symbol.dispose]();
}

async function benchAttention(threads: number): Promise<void> {
  using cpu = createCpuDevice({ threads });
  console.log(`\nattention, 16 heads, ${threads} thread${threads === 1 ? "" : "s"}: GFLOP/s of q·kᵀ and p·v`);
  const rows: Record<string, Record<string, string>> = {};
  for (const segments of [
    [patches],
    Array<number>(4).fill(patches / 4),
    Array<number>(16).fill(patches / 16),
  ]) {
    const row: Record<string, string> = {};
    for (const headSize of [64, 72, 80, 128]) {
      const kernelCase = attentionCase({ segments, heads: 16, headSize, thirds: true });
      const [ms] = await race([{ name: "attention", device: cpu, kernelCase }]);
      const flops = segments.reduce((sum, length) => sum + 4 * length ** 2 * headSize * 16, 0);
      row[`head size ${headSize}`] = (flops / ms! / 1e6).toFixed(1);
    }
    rows[`${segments.length} × ${segments[0]}`] = row;
  }
  console.table(rows);
}

async function benchRows(threads: number): Promise<void> {
  using cpu = createCpuDevice({ threads });
  const side = Math.sqrt(patches);
  console.log(`\nrow kernels, ${threads} thread${threads === 1 ? "" : "s"}: GB/s read and written`);
  const rows: Record<string, Record<string, string>> = {};
  for (const [kernelCase, columns] of [
    [layernormCase({ m: patches, n: 1152 }), 1152],
    [activationCase({ m: patches, n: 4304, activation: "gelu_tanh" }), 4304],
    [activationCase({ m: patches, n: 4304, activation: "gelu_erf" }), 4304],
    [ropeCase({ kernel: "rope_qk", heads: 16, headSize: 72, grid: [side, side], inPlace: "qkv" }), 3456],
  ] as const) {
    const [ms] = await race([{ name: kernelCase.name, device: cpu, kernelCase }]);
    rows[kernelCase.name] = { "GB/s": ((2 * 4 * patches * columns) / ms! / 1e6).toFixed(1) };
  }
  console.table(rows);
}

for (const threads of new Set([1, availableParallelism()])) {
  await benchProducts(threads);
  await benchAttention(threads);
  await benchRows(threads);
}
