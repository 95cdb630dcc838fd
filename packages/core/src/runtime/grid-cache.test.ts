/** When the cache fills, what a run then brings, and what becomes of failures: on a device that only records. */
import { createNullDevice, type NullDevice, type NullDeviceOptions } from "@vitgraph/cuda-kernels/testing";
import { commonGrids } from "@vitgraph/scheduler";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { EncoderItem, Grid } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { embeddingCacheMissLine, embeddingCacheWarmedLine } from "../observability/verbose-lines.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import type { VisionEncoderOptions } from "./open-encoder.js";
import { VisionEncoder } from "./vision-encoder.js";

let miniature: MiniatureModel;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  model = miniature.model;
});
afterAll(() => miniature[Symbol.asyncDispose]());

/** 16 columns of f32, and two words of positions. */
const ROW_BYTES = 16 * 4 + 8;
const GRAPHS = {
  compile_mm_encoder: true,
  cudagraph_mm_encoder: true,
  encoder_cudagraph_token_budgets: [16, 64],
};

async function withEncoder(
  options: Omit<Partial<VisionEncoderOptions>, "model" | "device"> & { readonly device?: NullDeviceOptions },
  use: (encoder: VisionEncoder, device: NullDevice) => Promise<void>,
): Promise<void> {
  using device = createNullDevice(options.device ?? {});
  {
    using encoder = await VisionEncoder.create({ compilationConfig: GRAPHS, ...options, model, device });
    await use(encoder, device);
  }
  expect(device.liveHandles()).toBe(0);
}

function item(grid: Grid): EncoderItem {
  return { format: "u8_still", grid, pixels: new Uint8Array(grid.t * grid.h * grid.w * 12) };
}
const still = (h: number, w: number): Grid => ({ t: 1, h, w });

/** What each submission was: a fill of so many patches, or a run with these inputs. */
function journal(device: NullDevice): string[] {
  return device.submissions.map(({ program, counts, inputs }) => {
    if (program.instructions.some(({ kernel }) => kernel === "scatter_rows")) return `fill ${counts[0]}`;
    const names = inputs.map(({ buffer }) => program.buffers[buffer]!.name);
    return `run with ${names
      .filter((name) => name !== "pixels")
      .sort()
      .join(", ")}`;
  });
}
const OVER_CACHE = "run with cu_seqlens, grid_rows, patch_sources";
const WITHOUT = "run with cu_seqlens, patch_sources, positions, tap_rows, tap_weights";

test("a grid is filled before the batch that has it first, and kept", () =>
  withEncoder({}, async (encoder, device) => {
    await encoder.encode([item(still(4, 4)), item(still(4, 4))]);
    await encoder.encode([item(still(4, 4)), item({ t: 3, h: 4, w: 2 })]);
    expect(journal(device)).toEqual(["fill 16", OVER_CACHE, "fill 8", OVER_CACHE]);
    expect(encoder.stats().gridCache).toEqual({
      hits: 2,
      misses: 2,
      evictions: 0,
      entries: 2,
      bytes: 24 * ROW_BYTES,
      capacityBytes: Math.floor((32 * 2 ** 20) / ROW_BYTES) * ROW_BYTES,
    });
  }));

test("large grids are filled in parts", () =>
  withEncoder({ maxBatchTokens: 4096 }, async (encoder, device) => {
    await encoder.encode([item(still(80, 100))]);
    expect(journal(device)).toEqual(["fill 4096", "fill 3904", OVER_CACHE]);
  }));

test("programs for more patches than the cache has rows do without it", () =>
  withEncoder({ gridCacheBytes: 100 * ROW_BYTES }, async (encoder, device) => {
    await encoder.encode([item(still(8, 8))]);
    await encoder.encode([item(still(2, 34))]);
    await encoder.encode([item(still(40, 40))]);
    expect(journal(device)).toEqual(["fill 64", OVER_CACHE, WITHOUT, WITHOUT]);
  }));

test("without memory there is no cache", () =>
  withEncoder({ gridCacheBytes: 0, warmUpGrids: [still(4, 4)] }, async (encoder, device) => {
    await encoder.encode([item(still(4, 4))]);
    expect(journal(device)).toEqual([WITHOUT]);
    expect(encoder.stats().gridCache).toBeNull();
  }));

test("warmed up, the grids of the list are there: the first as long as there is room", () =>
  withEncoder(
    { gridCacheBytes: 70 * ROW_BYTES, warmUpGrids: [still(4, 4), still(8, 8), still(4, 4), still(4, 8)] },
    async (encoder, device) => {
      const { gridCache: stats } = encoder.stats();
      expect(stats).toMatchObject({ hits: 0, misses: 0, entries: 2, bytes: 48 * ROW_BYTES });
      expect(embeddingCacheWarmedLine(stats!)).toBe(
        "Embedding cache warmed: 2 grids total, memory: 0.00 MiB",
      );
      expect(journal(device)).toEqual(["fill 32", "fill 16"]);
      // The last of the list makes room first.
      await encoder.encode([item(still(6, 6))]);
      await encoder.encode([item(still(4, 4))]);
      expect(journal(device).slice(2)).toEqual(["fill 36", OVER_CACHE, OVER_CACHE]);
      expect(encoder.stats().gridCache).toMatchObject({ evictions: 1, hits: 1, misses: 1 });
    },
  ));

test("warming up grids that the graphs were checked with takes each row once", async () => {
  using device = capturing(createNullDevice());
  const grids = [still(4, 4), still(8, 8), still(2, 30), still(2, 32), still(6, 8)];
  using encoder = await VisionEncoder.create({
    compilationConfig: GRAPHS,
    model,
    device,
    gridCacheBytes: 400 * ROW_BYTES,
    warmUpGrids: grids,
  });
  const { entries, bytes } = encoder.stats().gridCache!;
  const patches = grids.reduce((sum, { h, w }) => sum + h * w, 0);
  expect({ entries, bytes }).toEqual({ entries: grids.length, bytes: patches * ROW_BYTES });
});

/** The device, with programs that are captured, so that their graphs are checked. */
function capturing(device: NullDevice): NullDevice {
  return new Proxy(device, {
    get(target, name) {
      if (name === "load") {
        return (...given: Parameters<NullDevice["load"]>) =>
          Object.assign(target.load(...given), { capture: async () => ({ measureMs: 0, captureMs: 0 }) });
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("the common grids of the scheduler are a choice", () =>
  withEncoder({ warmUpGrids: "common" }, async (encoder) => {
    const patches = commonGrids.reduce((sum, { h, w }) => sum + h * w, 0);
    const { bytes, entries } = encoder.stats().gridCache!;
    expect({ bytes, entries }).toEqual({ bytes: patches * ROW_BYTES, entries: commonGrids.length });
  }));

test("of the common grids, those that the model has no positions for are left out", async () => {
  using device = createNullDevice();
  const vision = { ...model.vision, maxGridSide: 32 };
  const small = commonGrids.filter(({ h, w }) => Math.max(h, w) <= 32);
  using encoder = await VisionEncoder.create({
    compilationConfig: GRAPHS,
    model: { ...model, vision },
    device,
    warmUpGrids: "common",
  });
  expect(small.length).toBeLessThan(commonGrids.length);
  expect(encoder.stats().gridCache!.entries).toBe(small.length);
});

test("a list with a grid that the model does not encode is refused at start", async () => {
  using device = createNullDevice();
  const create = (grid: Grid) => VisionEncoder.create({ model, device, warmUpGrids: [grid] });
  await expect(create(still(3, 4))).rejects.toThrow("grid 1 × 3 × 4 cannot be merged 2 × 2");
  await expect(create(still(2, 9000))).rejects.toThrow(
    "a grid side has 9000 patches, above the limit of 8192",
  );
  expect(device.liveHandles()).toBe(0);
});

test("a device that is short of memory keeps nothing of a start that failed", async () => {
  const KIB = 2 ** 10;
  // Enough for 161 KiB of weights; for 1 MiB of cache as well; for the fill program's first buffer, too.
  for (const [room, asked] of [
    [200, 1024 * KIB + 256],
    [1200, 176 * KIB],
    [1400, 256 * KIB],
  ] as const) {
    using device = createNullDevice({ memoryBytes: room * KIB });
    const created = VisionEncoder.create({ model, device, gridCacheBytes: 1024 * KIB });
    await expect(created).rejects.toThrow(`the null device was asked for ${asked} bytes`);
    expect(device.liveHandles()).toBe(0);
  }
});

test("who asks hears which grids were missing", async () => {
  const lines: string[] = [];
  await withEncoder(
    { onGridMiss: (frames) => lines.push(embeddingCacheMissLine(frames)) },
    async (encoder) => {
      await encoder.encode([item(still(4, 4)), item({ t: 2, h: 2, w: 6 })]);
      await encoder.encode([item(still(4, 4))]);
    },
  );
  expect(lines).toEqual(["Embedding cache miss for grids: [(1, 4, 4), (1, 2, 6)] (computed on-the-fly)"]);
});

test("a batch whose fill failed is not answered, and the next one fills again", async () => {
  let failing = true;
  const respond: NullDeviceOptions["respond"] = (_, { instructions }) => {
    if (failing && instructions.some(({ kernel }) => kernel === "scatter_rows")) throw new Error("no more");
  };
  await withEncoder({ device: { respond } }, async (encoder, device) => {
    const [first, second] = await Promise.all([
      encoder.encode([item(still(4, 4))]),
      // Staged while the first one's fill is still under way.
      encoder.encode([item(still(4, 4))]),
    ]);
    expect([first[0]!.status, second[0]!.status]).toEqual(["rejected", "rejected"]);
    expect(encoder.stats().gridCache).toMatchObject({ entries: 0, bytes: 0 });
    failing = false;
    expect((await encoder.encode([item(still(4, 4))]))[0]!.status).toBe("fulfilled");
    expect(journal(device)).toEqual(["fill 16", OVER_CACHE, OVER_CACHE, "fill 16", OVER_CACHE]);
  });
});

test("a grid whose tables cannot be made is not answered, and the next batch fills it again", async () => {
  let failing = true;
  const layout: typeof model.vision.layout = (grid) => ({
    ...model.vision.layout(grid),
    patchTables() {
      if (failing) throw new RangeError("no memory for the tables");
      return model.vision.layout(grid).patchTables();
    },
  });
  using device = createNullDevice();
  const withLayout = { ...model, vision: { ...model.vision, layout } };
  using encoder = await VisionEncoder.create({ compilationConfig: GRAPHS, model: withLayout, device });
  expect((await encoder.encode([item(still(4, 4))]))[0]!.status).toBe("rejected");
  failing = false;
  expect((await encoder.encode([item(still(4, 4))]))[0]!.status).toBe("fulfilled");
  expect(journal(device).at(-2)).toBe("fill 16");
});
