import { VitgraphError } from "@vitgraph/errors";
import { afterEach, describe, expect, test, vi } from "vitest";
import { EngineLog } from "./engine-log.js";
import { createLogger, type Logger, standardErrorLogger } from "./logger.js";
import { type BatchEvent, type EngineFigures, type EngineObserver, ObserverList } from "./observer.js";

const BATCH: BatchEvent = {
  index: 3,
  device: 0,
  items: 1,
  tokens: 16,
  budget: 64,
  padding: 0.75,
  itemTokens: [16],
  queueMs: [1],
  deviceMs: 2,
  wallMs: 3,
  outcome: "ok",
};
const FIGURES: EngineFigures = {
  graphHits: 1,
  graphMisses: 0,
  hitRate: 1,
  numBudgets: 2,
  tokenBudgets: [64, 128],
  paddingByBudget: { 64: 0.75 },
  queue: { items: 0, tokens: 0 },
  devices: [],
};

function recordingLogger() {
  const lines: string[] = [];
  const at = (level: string) => (_: object, message: string) => lines.push(`${level} ${message}`);
  const logger: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { lines, logger };
}

/** What may happen to an engine. */
function live(observer: EngineObserver): void {
  observer.watch?.(() => FIGURES);
  observer.graphsCaptured?.({ device: 0, budgets: [64], usedBytes: 2 ** 30, freeBytes: 2 ** 32 });
  observer.gridsWarmed?.({ device: 0, entries: 9, bytes: 2 ** 20 });
  observer.stateChanged?.("ready");
  observer.gridsMissed?.({ device: 0, frames: [{ t: 1, h: 4, w: 6 }] });
  observer.graphFailed?.({ device: 0, budget: 64, relativeL2: Number.NaN });
  observer.batchEnded?.(BATCH);
  observer.batchEnded?.({ ...BATCH, outcome: "failed" });
  observer.itemSettled?.({ outcome: "fulfilled", source: "device" });
  observer.itemSettled?.({ outcome: "rejected", source: "refused", code: "VG_IMAGE_INVALID" });
  observer.deviceChanged?.({ device: 0, state: "recovering" });
  observer.deviceChanged?.({ device: 0, state: "up" });
  observer.deviceChanged?.({ device: 0, state: "down" });
  observer.stateChanged?.("failed");
  observer.stateChanged?.("closed");
}

describe("the engine's log", () => {
  test("says what happens, each thing at its level", () => {
    const { lines, logger } = recordingLogger();
    live(new EngineLog({ logger }));
    expect(lines).toMatchInlineSnapshot(`
      [
        "info the engine is ready",
        "warn the graph of token budget 64 differs from the eager run: the budget runs eagerly on device 0",
        "debug ViT BUDGET BATCH: 1 images, 16 tokens, budget=64, waste=75.0%, graph_key=64",
        "error batch 3 failed on device 0",
        "debug an item was refused or failed",
        "warn device 0 failed, and is made again",
        "info device 0 is up",
        "error device 0 is down for good",
        "error the engine has failed: no device is left",
        "info the engine is closed",
      ]
    `);
  });

  test("with encoder_cudagraph_verbose has a line for each batch, and the statistics at the end", () => {
    const { lines, logger } = recordingLogger();
    live(new EngineLog({ logger, verbose: true }));
    expect(lines.filter((line) => /^info (ViT|Encoder|Embedding)/.test(line))).toEqual([
      "info Encoder CUDA graphs captured: 1.00 GiB used by encoder graphs, 4.00 GiB free",
      "info Embedding cache warmed: 9 grids total, memory: 1.00 MiB",
      "info Embedding cache miss for grids: [(1, 4, 6)] (computed on-the-fly)",
      "info ViT BUDGET BATCH: 1 images, 16 tokens, budget=64, waste=75.0%, graph_key=64",
      "info Encoder CUDA graph stats: hits=1, eager=0, hit_rate=100.0%, num_graphs=2",
    ]);
  });

  test("goes to the console as well as to any logger", () => {
    const info = vi.spyOn(console, "info").mockImplementation(() => {});
    new EngineLog({ logger: console }).stateChanged("ready");
    expect(info).toHaveBeenCalledWith({ state: "ready" }, "the engine is ready");
    info.mockRestore();
  });
});

test("a host without a logger sees warnings and errors, and with verbose the rest but debug", () => {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  const levels = (verbose: boolean) => {
    error.mockClear();
    const logger = standardErrorLogger({ verbose });
    for (const level of ["debug", "info", "warn", "error"] as const) logger[level]({}, level);
    return error.mock.calls.map(([message]) => message);
  };
  expect(levels(false)).toEqual(["vitgraph: warn", "vitgraph: error"]);
  expect(levels(true)).toEqual(["vitgraph: info", "vitgraph: warn", "vitgraph: error"]);
  error.mockRestore();
});

describe("createLogger", () => {
  afterEach(() => vi.unstubAllEnvs());

  async function written(level?: "info" | "error") {
    const lines: string[] = [];
    const destination = { write: (line: string) => lines.push(line) };
    const logger = await createLogger({ destination, ...(level === undefined ? {} : { level }) });
    live(new EngineLog({ logger }));
    return lines.map((line) => JSON.parse(line) as { level: number; name: string; msg: string });
  }

  test("writes lines of JSON, of its level and above", async () => {
    vi.stubEnv("VITGRAPH_LOG_LEVEL", undefined);
    const errors = await written("error");
    expect(errors.every(({ level, name }) => level === 50 && name === "vitgraph")).toBe(true);
    expect((await written()).map(({ level }) => level)).not.toContain(30);
    vi.stubEnv("VITGRAPH_LOG_LEVEL", "info");
    expect((await written()).map(({ level }) => level)).toContain(30);
  });

  test("keeps an error with its stack", async () => {
    const lines: string[] = [];
    const logger = await createLogger({ destination: { write: (line) => lines.push(line) } });
    logger.error({ err: new VitgraphError("VG_DEVICE_FAILED", "the device is gone") }, "failed");
    expect(JSON.parse(lines[0] as string).err).toMatchObject({
      code: "VG_DEVICE_FAILED",
      message: "the device is gone",
      stack: expect.stringContaining("engine-log.test.ts"),
    });
  });

  test("refuses a level that is none", async () => {
    vi.stubEnv("VITGRAPH_LOG_LEVEL", "loud");
    await expect(createLogger()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[VitgraphError: log level "loud" is not known: use one of trace, debug, info, warn, error, fatal, silent, as an option or in VITGRAPH_LOG_LEVEL]`,
    );
  });
});

describe("a list of observers", () => {
  test("lets observers read the engine's figures, also those that come later", () => {
    const [first, second] = [{ watch: vi.fn() }, { watch: vi.fn() }];
    const list = new ObserverList([first]);
    const figures = () => FIGURES;
    list.watch(figures);
    list.add(second);
    for (const { watch } of [first, second]) expect(watch.mock.calls).toEqual([[figures]]);
  });

  test("tells all of them, until they leave", () => {
    const [first, second] = [{ itemsArrived: vi.fn() }, { itemsArrived: vi.fn() }];
    const list = new ObserverList([first]);
    const leave = list.add(second);
    list.itemsArrived(2);
    leave();
    list.itemsArrived(3);
    expect(first.itemsArrived.mock.calls).toEqual([[2], [3]]);
    expect(second.itemsArrived.mock.calls).toEqual([[2]]);
  });

  test("hands on every event", () => {
    const names = [
      "callStarted",
      "callEnded",
      "itemsArrived",
      "itemSettled",
      "prepared",
      "batchStarted",
      "batchEnded",
      "graphFailed",
      "deviceChanged",
      "stateChanged",
    ] as const satisfies (keyof EngineObserver)[];
    const heard: string[] = [];
    const observer = Object.fromEntries(names.map((name) => [name, () => heard.push(name)]));
    const list = new ObserverList([observer]);
    for (const name of names) (list[name] as (event: unknown) => void)({});
    expect(heard).toEqual(names);
  });

  test("goes on when one throws, and warns once", async () => {
    const warnings: Error[] = [];
    const hear = (warning: Error) => warnings.push(warning);
    process.on("warning", hear);
    const broken = {
      itemsArrived() {
        throw new Error("broken");
      },
    };
    const sound = { itemsArrived: vi.fn() };
    const list = new ObserverList([broken, sound]);
    list.itemsArrived(1);
    list.itemsArrived(1);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", hear);
    expect(sound.itemsArrived).toHaveBeenCalledTimes(2);
    expect(warnings.map(({ message }) => message)).toEqual([
      "an observer of the encoder engine threw: Error: broken",
    ]);
  });
});
