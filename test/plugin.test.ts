/** The plugin through the public doors: a host, vitgraph's own engine and a small checkpoint on the CPU. */
import { readFile } from "node:fs/promises";
import {
  createDevice,
  createEncoderPlugin,
  loadModel,
  REGISTRATION_FAILURES,
  VisionEncoder,
} from "@vitgraph/core";
import { EngineMetrics } from "@vitgraph/core/observability";
import { createFakeHost } from "@vitgraph/core/testing";
import { VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { CASES, joinEmbeddings, readCase, TINY } from "./fixtures.js";

const config = JSON.parse(await readFile(`${TINY}/config.json`, "utf8"));
const tinyHost = () =>
  createFakeHost({ model: { config, path: TINY }, compilationConfig: { cudagraph_mm_encoder: true } });

test("a host gets through the plugin what the encoder computes", async () => {
  const { items } = await readCase(1);
  await using model = await loadModel(TINY);
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({ model, device });
  const expected = joinEmbeddings(await encoder.encode(items));

  const host = tinyHost();
  await using registration = await createEncoderPlugin({ backend: "cpu" }).register(host);
  const pixelValues = items.map((item) => {
    if (item.format !== "normalized") throw new Error(`${CASES} has pixel values`);
    const { t, h, w } = item.grid;
    return { pixel_values: item.pixelValues, grid_thw: [t, h, w] as const };
  });
  const served = await host.serve("image", pixelValues);
  expect(joinEmbeddings(served as PromiseSettledResult<{ data: Float32Array }>[])).toEqual(expected);
  expect(served[0]).toMatchObject({ value: { columns: registration.encoder.out_hidden_size } });

  const specs = await registration.encoder.getItemSpecs(pixelValues);
  expect(specs.map((spec) => spec.status === "fulfilled" && spec.value.outputTokens)).toEqual(
    served.map((outcome) => outcome.status === "fulfilled" && outcome.value.tokens),
  );
  await registration.close();
  const error = await registration.encoder.encode(pixelValues).catch((reason) => reason);
  expect(VitgraphError.is(error) && error.code).toBe("VG_CLOSED");
});

test("metrics tell what the engine did: items, batches, devices, cache", async () => {
  const host = tinyHost();
  const metrics = await EngineMetrics.create();
  const plugin = createEncoderPlugin({ backend: "cpu", outputCacheBytes: 1e6, observers: [metrics] });
  await using _registration = await plugin.register(host);
  const { items } = await readCase(0);
  await host.serve("image", [...items]);
  await host.serve("image", [...items]);
  const page = await metrics.prometheus();
  const value = (sample: string) =>
    Number(
      page
        .split("\n")
        .find((line) => line.startsWith(`${sample} `))
        ?.split(" ")[1],
    );
  expect(value("vitgraph_items_arrived_total")).toBe(2 * items.length);
  expect(value('vitgraph_items_total{outcome="fulfilled",source="device"}')).toBe(items.length);
  expect(value('vitgraph_items_total{outcome="fulfilled",source="output_cache"}')).toBe(items.length);
  expect(value('vitgraph_cache_hits_total{cache="output"}')).toBe(items.length);
  expect(value("vitgraph_devices_up")).toBe(1);
  expect(value('vitgraph_engine_state{state="ready"}')).toBe(1);
  expect(value('vitgraph_batches_in_flight{device="0"}')).toBe(0);
  expect(value("vitgraph_encode_seconds_count")).toBe(2);
});

test("a checkpoint that is not there is an engine that did not start", async () => {
  const host = createFakeHost({ model: { config, path: `${TINY}/nowhere` } });
  const error = await createEncoderPlugin({ backend: "cpu" })
    .register(host)
    .catch((reason) => reason);
  expect(error.details.reason).toBe("engine_failed" satisfies keyof typeof REGISTRATION_FAILURES);
  expect(error.cause.code).toBe("VG_FILE_UNREADABLE");
  expect(host.takenModalities()).toEqual([]);
});

test("the recipe's table has every failure", async () => {
  const recipe = await readFile(new URL("../docs/plugging-into-a-host.md", import.meta.url), "utf8");
  const rows = [...recipe.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason);
  expect(rows).toEqual(Object.keys(REGISTRATION_FAILURES));
});
