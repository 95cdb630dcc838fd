/**
 * Runs the suite on a host that keeps the contract, and on hosts with each known fault, to prove that each check can
 * fail.
 */
import { describe, expect, test } from "vitest";
import { createFakeHost, HOST_FAULTS, type HostFault } from "./fake-host.js";
import { type HostUnderTest, hostConformance } from "./host-conformance.js";

async function failures(makeHost: () => HostUnderTest): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const { name, run } of hostConformance(makeHost)) {
    await run().catch(() => failed.push(name));
  }
  return failed;
}

describe("a host that keeps the contract passes", () => {
  for (const { name, run } of hostConformance(() => createFakeHost())) test(name, run);
});

test("a host without the optional parts passes", async () => {
  const lean = () => {
    const host = createFakeHost();
    const { name, specificationVersions, model } = host;
    return {
      host: {
        name,
        specificationVersions,
        model,
        takenModalities: () => host.takenModalities(),
        registerMultimodalEncoder: host.registerMultimodalEncoder.bind(host),
      },
      serve: host.serve.bind(host),
      close: async () => {},
    };
  };
  expect(await failures(lean)).toEqual([]);
});

test("a host that encodes images itself is checked with videos", async () => {
  expect(await failures(() => createFakeHost({ taken: ["image"] }))).toEqual([]);
});

/** Checks that each fault fails, other than those that cannot run with the fault. */
const CAUGHT_BY: { readonly [Fault in HostFault]: string } = {
  lacks_a_method: "has every part of the contract",
  speaks_no_known_version: "speaks version 1 of the specification",
  serves_an_unknown_model: "serves a model that vitgraph encodes",
  hands_over_an_invalid_config: "hands over a compilation config that is valid",
  logger_throws: "has a logger that takes fields and a message",
  hides_taken_modalities: "lists a modality as taken while it has an encoder",
  takes_a_second_encoder: "refuses a second encoder for a modality",
  keeps_calling_a_lost_encoder: "sends nothing to an encoder that was taken off",
  keeps_a_lost_encoder_listed: "takes an encoder again when the one before has left",
  lets_a_stale_unregister_work: "is not confused when an encoder is taken off twice",
  reorders_items: "keeps the items' order, and hands their rows on as they are",
  fails_the_request_for_one_item: "lets an item that fails fail alone",
  keeps_cancellations_to_itself: "passes a cancellation on to the encoder",
  drops_the_priority: "passes a request's priority on",
  drops_the_time_limit: "passes a request's time limit on, in milliseconds from now",
  passes_the_time_limit_in_seconds: "passes a request's time limit on, in milliseconds from now",
  passes_the_time_limit_as_a_deadline: "passes a request's time limit on, in milliseconds from now",
  drops_the_caller: "passes a request's caller on",
  drops_the_uuids: "passes the items' uuids on",
  mixes_requests_up: "keeps requests that run at the same time apart",
  closes_without_telling: "closes its registration, and waits for that, before it is closed",
  closes_without_waiting: "closes its registration, and waits for that, before it is closed",
};

describe("a broken host", () => {
  test.each(HOST_FAULTS)("that %s fails the checks for this fault", async (misbehave) => {
    expect(await failures(() => createFakeHost({ misbehave }))).toContain(CAUGHT_BY[misbehave]);
  });

  test("every check can fail", () => {
    const names = hostConformance(() => createFakeHost()).map(({ name }) => name);
    expect(new Set(Object.values(CAUGHT_BY))).toEqual(new Set(names));
  });

  // Checks of other behaviour must still pass.
  test.each([
    "mixes_requests_up",
    "keeps_cancellations_to_itself",
    "drops_the_priority",
    "drops_the_time_limit",
    "passes_the_time_limit_in_seconds",
    "passes_the_time_limit_as_a_deadline",
    "drops_the_caller",
    "drops_the_uuids",
    "closes_without_waiting",
  ] as const)("that %s fails one check alone", async (misbehave) => {
    const failed = await failures(() => createFakeHost({ misbehave }));
    expect(failed.filter((name) => name !== CAUGHT_BY[misbehave])).toEqual([]);
  });
});

test("the error of a check names the host's mistake", async () => {
  const check = hostConformance(() => createFakeHost({ misbehave: "fails_the_request_for_one_item" })).find(
    ({ name }) => name === "lets an item that fails fail alone",
  );
  await expect(check?.run()).rejects.toThrow(
    "one bad item of three fails the whole request (VitgraphError: the item's pixel values are NaN: pass numbers)",
  );
});
