import { type EncoderOptions, encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test, vi } from "vitest";
import type { EncoderEngineOptions } from "../engine/engine-options.js";
import { ARCHITECTURES } from "../models/architectures.js";
import { BatchEvents } from "../observability/batch-events.js";
import { EngineMetrics } from "../observability/engine-metrics.js";
import { FakeEngine, fakeItem } from "../testing/fake-engine.js";
import { createFakeHost, type FakeHostOptions } from "../testing/fake-host.js";
import {
  ENCODER_PLUGIN,
  type HostEngine,
  type HostModel,
  isEncoderPlugin,
  type REGISTRATION_FAILURES,
  type Registration,
} from "./contract.js";
import { createEncoderPlugin } from "./encoder-plugin.js";
import type { EncoderPluginOptions } from "./plugin-options.js";

/** A plugin whose engines are fakes, and what they were started with. */
function fakePlugin(options: EncoderPluginOptions = {}, outputColumns?: readonly number[]) {
  const started: EncoderEngineOptions[] = [];
  const encoders: EncoderOptions[] = [];
  const engines: FakeEngine[] = [];
  const plugin = createEncoderPlugin({
    createEngine: async (given, encoder) => {
      started.push(given);
      encoders.push(encoder);
      const { observers = [] } = given;
      const engine = new FakeEngine({ observers, ...(outputColumns === undefined ? {} : { outputColumns }) });
      engines.push(engine);
      return engine;
    },
    ...options,
  });
  return { plugin, started, encoders, engines };
}

async function failureOf(registering: Promise<Registration>): Promise<VitgraphError> {
  const error = await registering.then(
    () => expect.unreachable("the registration went through"),
    (reason) => reason,
  );
  expect(VitgraphError.is(error) && error.code).toBe("VG_REGISTRATION_FAILED");
  return error;
}

const GEMMA: HostModel = {
  path: "gemma",
  config: { ...ARCHITECTURES["gemma-3-4b"] },
};

describe("a model without videos", () => {
  test("is registered for images", async () => {
    const host = createFakeHost({ model: GEMMA });
    await using registration = await fakePlugin({}, [2560]).plugin.register(host);
    expect(registration.modalities).toEqual(["image"]);
    expect(host.takenModalities()).toEqual(["image"]);
  });

  test("and not for videos", async () => {
    const host = createFakeHost({ model: GEMMA });
    const error = await failureOf(
      fakePlugin({ modalities: ["image", "video"] }, [2560]).plugin.register(host),
    );
    expect(error.details.reason).toBe("model_unsupported");
    expect(error.message).toMatch(
      /^the model of .* takes no videos: leave video out of the plugin's modalities$/,
    );
  });
});

describe("a registration", () => {
  test("gives the host an encoder that speaks vLLM's nouns", async () => {
    const host = createFakeHost();
    await using registration = await fakePlugin().plugin.register(host);
    expect(host.takenModalities()).toEqual(["image", "video"]);
    const { encoder } = registration;
    expect(encoder).toMatchObject({
      specificationVersion: 1,
      modalities: ["image", "video"],
      out_hidden_size: 16,
    });
    expect(encoder.budgetRange()).toEqual({ min: 64, max: 16_384 });
    expect(await encoder.getItemSpecs([{ pixel_values: Float32Array.of(1), grid_thw: [1, 4, 6] }])).toEqual([
      { status: "fulfilled", value: { inputSize: 24, outputTokens: 6, frames: 1 } },
    ]);
    const [outcome] = await host.serve("image", [fakeItem(5)]);
    expect(outcome).toMatchObject({ status: "fulfilled", value: { tokens: 1, columns: 16 } });
    expect(encoder.stats()).toMatchObject({
      graphHits: 1,
      graphMisses: 0,
      numBudgets: 1,
      tokenBudgets: [64],
      paddingByBudget: { 64: 63 / 64 },
    });
  });

  test("starts the engine with the host's config, parsed, and the plugin's own options", async () => {
    const compilationConfig = { cudagraph_mm_encoder: true, cudagraph_mode: "FULL" } as const;
    const host = createFakeHost({ compilationConfig });
    const { plugin, started, encoders } = fakePlugin({
      packing: "greedy",
      batchWindowMs: 2,
      limits: { maxQueuedItems: 9 },
    });
    await using _ = await plugin.register(host);
    const [{ observers, ...options }] = started as [EncoderEngineOptions];
    expect(options).toEqual({
      model: "path/to/checkpoint",
      devices: [{ backend: "auto" }],
      packing: "greedy",
      batchWindowMs: 2,
      limits: { maxQueuedItems: 9 },
    });
    expect(encoders).toEqual([encoderOptions(parseCompilationConfig(compilationConfig).config)]);
    expect(observers?.length).toBeGreaterThan(0);
  });

  test("several GPUs are several devices of one engine", async () => {
    const { plugin, started } = fakePlugin({ backend: "cuda", device: [0, 2] });
    await using _ = await plugin.register(createFakeHost());
    expect(started[0]?.devices).toEqual([
      { backend: "cuda", device: 0 },
      { backend: "cuda", device: 2 },
    ]);
  });

  test("may be for one modality", async () => {
    const host = createFakeHost({ taken: ["video"] });
    await using registration = await fakePlugin({ modalities: ["image"] }).plugin.register(host);
    expect(registration.modalities).toEqual(["image"]);
    expect(host.takenModalities()).toEqual(["video", "image"]);
  });

  test("closing it takes the encoder off the host before the engine closes, once", async () => {
    const host = createFakeHost();
    const { plugin, engines } = fakePlugin();
    const registration = await plugin.register(host);
    const [engine] = engines as [FakeEngine];
    const close = vi.spyOn(engine, "close").mockImplementation(async () => {
      expect(host.takenModalities()).toEqual([]);
    });
    await Promise.all([registration.close(), registration[Symbol.asyncDispose]()]);
    expect(close).toHaveBeenCalledTimes(1);
  });

  test("of a running engine leaves it open, for further hosts and its owner", async () => {
    const engine = new FakeEngine();
    const { plugin, started } = fakePlugin({ engine });
    const hosts = [createFakeHost(), createFakeHost()] as const;
    for (const host of hosts) {
      await using _ = await plugin.register(host);
      expect(await host.serve("image", [fakeItem(5)])).toMatchObject([{ status: "fulfilled" }]);
    }
    expect([engine.closed, started]).toEqual([false, []]);
  });

  test("closing the host closes it", async () => {
    const host = createFakeHost();
    const { plugin, engines } = fakePlugin();
    await plugin.register(host);
    await host.close();
    expect(engines[0]?.closed).toBe(true);
    expect(host.takenModalities()).toEqual([]);
  });

  test("may be followed by another", async () => {
    const host = createFakeHost();
    const { plugin, engines } = fakePlugin();
    await (await plugin.register(host)).close();
    await using _ = await plugin.register(host);
    expect(engines.map(({ closed }) => closed)).toEqual([true, false]);
  });

  test("one plugin serves several hosts, each with an engine of its own", async () => {
    const { plugin, engines } = fakePlugin();
    await using _first = await plugin.register(createFakeHost());
    await using _second = await plugin.register(createFakeHost());
    expect(engines).toHaveLength(2);
  });

  test("metrics and a stream of batches are observers of its engine, and the host has its log", async () => {
    const host = createFakeHost({ compilationConfig: { encoder_cudagraph_verbose: true } });
    const [metrics, batches] = [await EngineMetrics.create(), new BatchEvents()];
    const observers = [metrics, batches];
    const registration = await fakePlugin({ observers }).plugin.register(host);
    const reader = batches.read();
    await host.serve("image", [fakeItem(1), fakeItem(2)]);
    expect((await reader.next()).value).toMatchObject({ items: 2, budget: 64 });
    expect(await metrics.prometheus()).toMatch(/^vitgraph_graph_hits_total 2$/m);
    expect(await metrics.prometheus()).toMatch(/^vitgraph_token_budget\{budget="64"\} 1$/m);
    await registration.close();
    expect(host.logged).toEqual([
      "info the engine is ready",
      "info ViT BUDGET BATCH: 2 images, 2 tokens, budget=64, waste=96.9%, graph_key=64",
      "info the engine is closed",
      "info Encoder CUDA graph stats: hits=2, eager=0, hit_rate=100.0%, num_graphs=1",
    ]);
  });
});

describe("identity", () => {
  test("a plugin is known by its symbol, also one of another copy of the package", () => {
    expect(isEncoderPlugin(createEncoderPlugin())).toBe(true);
    expect(isEncoderPlugin({ [Symbol.for("vitgraph.encoder-plugin")]: 7 })).toBe(true);
    expect(ENCODER_PLUGIN).toBe(Symbol.for("vitgraph.encoder-plugin"));
  });

  test.each([undefined, null, "vitgraph", {}, { name: "vitgraph" }])("%j is none", (value) => {
    expect(isEncoderPlugin(value)).toBe(false);
  });
});

describe("a registration that fails says why, and leaves nothing behind", () => {
  const failing = (options: FakeHostOptions, pluginOptions: EncoderPluginOptions = {}) =>
    failureOf(fakePlugin(pluginOptions).plugin.register(createFakeHost(options)));

  const cases: { readonly [Reason in keyof typeof REGISTRATION_FAILURES]: () => Promise<VitgraphError> } = {
    host_malformed: () => failing({ misbehave: "lacks_a_method" }),
    version: () => failing({ misbehave: "speaks_no_known_version" }),
    already_registered: async () => {
      const host = createFakeHost();
      await using _ = await fakePlugin().plugin.register(host);
      return await failureOf(fakePlugin().plugin.register(host));
    },
    model_unsupported: () => failing({ misbehave: "serves_an_unknown_model" }),
    model_missing: () => failing({ model: { config: createFakeHost().model.config } }),
    config_invalid: () => failing({ misbehave: "hands_over_an_invalid_config" }),
    modality_taken: () => failing({ taken: ["video"] }),
    engine_failed: () =>
      failing(
        {},
        {
          createEngine: async () => {
            throw new VitgraphError("VG_BACKEND_UNAVAILABLE", "there is no GPU", {
              remedy: 'set backend to "cpu"',
            });
          },
        },
      ),
    model_mismatch: () => failureOf(fakePlugin({}, [8, 8, 8]).plugin.register(createFakeHost())),
    host_refused: () => {
      const host = createFakeHost();
      host.registerMultimodalEncoder = () => {
        throw new Error("no more than text today");
      };
      return failureOf(fakePlugin().plugin.register(host));
    },
    host_closed: async () => {
      const host = createFakeHost();
      const registering = failureOf(fakePlugin().plugin.register(host));
      await host.close();
      return registering;
    },
  };

  test.each(Object.entries(cases))("%s", async (reason, failure) => {
    const error = await failure();
    expect(error.details.reason).toBe(reason);
    expect(error.message).toMatchSnapshot();
  });

  test("of a host, everything that is malformed is named", async () => {
    const host = { ...createFakeHost(), name: "", model: {}, onClose: 3 } as unknown as HostEngine;
    const error = await failureOf(fakePlugin().plugin.register(host));
    expect(error.message).toMatchInlineSnapshot(
      `"the host "" is malformed: name must be a name; model must be an object with the model's config; takenModalities must be a function; registerMultimodalEncoder must be a function; onClose must be a function, or left out: see HostEngine in @vitgraph/core for what a host must have"`,
    );
  });

  test("embeddings that the loaded language model does not take are found before an engine starts", async () => {
    const host = createFakeHost();
    const { plugin, engines } = fakePlugin();
    const model = { ...host.model, embeddingColumns: 7 };
    const error = await failureOf(plugin.register(Object.assign(host, { model })));
    expect(error.details).toMatchObject({ reason: "model_mismatch", expected: 7 });
    expect(error.message).toMatch(
      /^the vision model's embeddings have \d+ columns, and the language model of fake host takes 7: give both halves of one checkpoint$/,
    );
    expect(engines).toEqual([]);
  });

  test("a host that is being registered is not registered twice, whatever the modalities", async () => {
    const host = createFakeHost();
    const registering = fakePlugin({ modalities: ["image"] }).plugin.register(host);
    const error = await failureOf(fakePlugin({ modalities: ["video"] }).plugin.register(host));
    expect(error.details.reason).toBe("already_registered");
    await (await registering).close();
  });

  test.each([null, undefined, "vllm"])("a host that is %j is malformed", async (host) => {
    const error = await failureOf(fakePlugin().plugin.register(host as unknown as HostEngine));
    expect(error.details.reason).toBe("host_malformed");
  });

  test("a host that returns nothing to take the encoder off with is malformed", async () => {
    const host = createFakeHost();
    host.registerMultimodalEncoder = () => undefined as never;
    const { plugin, engines } = fakePlugin();
    const error = await failureOf(plugin.register(host));
    expect(error.message).toMatchInlineSnapshot(
      `"registerMultimodalEncoder of fake host returned a value of type undefined: return the function that takes the encoder off again"`,
    );
    expect(engines[0]?.closed).toBe(true);
  });

  test.each(["takenModalities", "onClose", "registerMultimodalEncoder"] as const)(
    "a host that throws in %s has refused, and the engine is closed",
    async (method) => {
      const host = createFakeHost();
      const cause = new Error("out of order");
      Object.assign(host, {
        [method]: () => {
          throw cause;
        },
      });
      const { plugin, engines } = fakePlugin();
      const error = await failureOf(plugin.register(host));
      expect(error.details).toEqual({ reason: "host_refused", method });
      expect(error.cause).toBe(cause);
      expect(engines.every(({ closed }) => closed)).toBe(true);
    },
  );

  test("a host whose modalities are no list is malformed", async () => {
    const host = createFakeHost();
    host.takenModalities = () => undefined as never;
    const error = await failureOf(fakePlugin().plugin.register(host));
    expect(error.message).toMatchInlineSnapshot(
      `"takenModalities of fake host does not return a list: return the names of the modalities that have an encoder"`,
    );
  });

  test("a config's problems are there as data", async () => {
    const error = await failing({ misbehave: "hands_over_an_invalid_config" });
    expect(error.details.problems).toMatchObject([{ pointer: "/encoder_cudagraph_token_budgets/0" }]);
  });

  test("an engine that had started is closed, and what was registered is taken off", async () => {
    const host = createFakeHost();
    const register = host.registerMultimodalEncoder.bind(host);
    host.registerMultimodalEncoder = (modality, encoder) => {
      if (modality === "video") throw new Error("not videos");
      return register(modality, encoder);
    };
    const { plugin, engines } = fakePlugin();
    await failureOf(plugin.register(host));
    expect(engines[0]?.closed).toBe(true);
    expect(host.takenModalities()).toEqual([]);
  });

  test("a modality that was taken while the engine started is not taken over", async () => {
    const host = createFakeHost();
    const { plugin, engines } = fakePlugin();
    const registering = failureOf(plugin.register(host));
    host.registerMultimodalEncoder("video", {} as never);
    expect((await registering).details).toMatchObject({ reason: "modality_taken", modality: "video" });
    expect(engines[0]?.closed).toBe(true);
    expect(host.takenModalities()).toEqual(["video"]);
  });

  test("closing the host while the engine starts waits until the engine is closed", async () => {
    const host = createFakeHost();
    let start: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      start = resolve;
    });
    const engine = new FakeEngine();
    const createEngine = async () => {
      await gate;
      return engine;
    };
    const registering = failureOf(fakePlugin({ createEngine }).plugin.register(host));
    const closing = host.close();
    start();
    await closing;
    expect(engine.closed).toBe(true);
    expect((await registering).details.reason).toBe("host_closed");
  });

  test("after a failure the same host can be tried again", async () => {
    const host = createFakeHost();
    const createEngine = vi.fn(async () => {
      throw new Error("not today");
    });
    await failureOf(fakePlugin({ createEngine }).plugin.register(host));
    await using _ = await fakePlugin().plugin.register(host);
  });

  test("a host that throws when the encoder is taken off still has its engine closed", async () => {
    const host = createFakeHost();
    host.registerMultimodalEncoder = () => () => {
      throw new Error("stuck");
    };
    const { plugin, engines } = fakePlugin();
    const registration = await plugin.register(host);
    await expect(registration.close()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[VitgraphError: fake host threw in what registerMultimodalEncoder returned: stuck: see the cause; the contract's types say when a host may throw]`,
    );
    expect(engines[0]?.closed).toBe(true);
  });
});

describe("the plugin's own options", () => {
  const refused = (options: object) => {
    try {
      createEncoderPlugin(options as EncoderPluginOptions);
    } catch (error) {
      return (error as VitgraphError).message;
    }
    return expect.unreachable("the options were taken");
  };

  test("every one is taken in its form", () => {
    const options: Required<Omit<EncoderPluginOptions, "createEngine" | "engine" | "logger">> = {
      model: "path/to/checkpoint",
      modalities: ["image"],
      backend: "cuda",
      device: [0, 1],
      maxBatchTokens: 8192,
      packing: "cost",
      batchWindowMs: 1.5,
      limits: {
        maxQueuedItems: 1,
        maxQueuedTokens: 2,
        maxPixels: 3,
        maxPixelsInFlight: 4,
        preprocessConcurrency: 5,
      },
      outputCacheBytes: 0,
      gridCacheBytes: 1e6,
      warmUpGrids: [{ t: 1, h: 16, w: 16 }],
      observers: [],
    };
    expect(() => createEncoderPlugin({ ...options, logger: console })).not.toThrow();
    expect(() => createEncoderPlugin({ warmUpGrids: "common", device: 1 })).not.toThrow();
  });

  test("an option that is left undefined is left out", () => {
    expect(() => createEncoderPlugin({ packing: undefined, limits: undefined } as never)).not.toThrow();
  });

  test("an unknown one is answered with the nearest", () => {
    expect(refused({ batchWindow: 5 })).toMatchInlineSnapshot(
      `"the options of the encoder plugin are invalid: "batchWindow" is unknown: did you mean "batchWindowMs"?"`,
    );
    expect(refused({ limits: { maxQueueItems: 5 } })).toMatchInlineSnapshot(
      `"the options of the encoder plugin are invalid: "limits.maxQueueItems" is unknown: did you mean "limits.maxQueuedItems"?"`,
    );
  });

  test("a key of the compilation config is sent where it belongs", () => {
    expect(refused({ cudagraph_mm_encoder: true })).toMatchInlineSnapshot(
      `"the options of the encoder plugin are invalid: "cudagraph_mm_encoder" is a key of the compilation config, which the host hands over"`,
    );
  });

  test("everything that is wrong is named at once", () => {
    expect(
      refused({
        packing: "best",
        device: -1,
        warmUpGrids: [{ t: 1, h: 16 }],
        batchWindowMs: Number.NaN,
      }),
    ).toMatchInlineSnapshot(
      `"the options of the encoder plugin are invalid: "packing" is "best", and must be one of cost, greedy, first-fit; "device" is -1, and must be the ordinal of a GPU, from 0, or a list of them; "warmUpGrids" is a list of 1, and must be "common", "none", or a list of grids { t, h, w } in patches; "batchWindowMs" is NaN, and must be a number of milliseconds, 0 for no window"`,
    );
  });

  test.each([null, 3, "cuda"])("%j is no options", (options) => {
    expect(() => createEncoderPlugin(options as never)).toThrow("must be an object");
  });
});
